/* SPDX-License-Identifier: Apache-2.0
 *
 * Which rows a model's plan uses on a device, and for what: each different call as a case of the check, with the
 * model's own shapes and types. */
#ifndef NB_VERIFY_USED_H
#define NB_VERIFY_USED_H

#include "plan/backend.h"
#include "verify/check.h"

typedef struct used_call {
    const krow *row;
    check_spec spec; /* of this shape, made smaller where that changes nothing for the row */
    int step;        /* of the plan: the first with it; PLAN_NONE: of drawing tokens */
    int64_t n_tokens;
} used_call;

typedef struct used_calls {
    used_call *items;
    size_t n, cap;
} used_calls;

/* What a plan needs of a device. */
typedef struct plan_on_device {
    const backend *backend;
    device *device;
    const plan *plan;
    const weights *files;
    executor_options options;
} plan_on_device;

/* Adds the calls that a batch of n_tokens falls into, with what is now set aside left out: of all steps, or each once.
 * Where the device draws tokens, those too.
 * NB_ERR_UNSUPPORTED names a step that no row takes. */
nb_status used_collect(const plan_on_device *p, int64_t n_tokens, bool once, used_calls *out, nb_error *err);
/* Each once, of batches of 1, 2, 8 and n_batch tokens. */
nb_status used_find(const plan_on_device *p, used_calls *out, nb_error *err);
void used_free(used_calls *calls);

/* The case of a call: its shape and types, with numbers still to be chosen. */
check_spec used_spec(const kcall *c);

/* *set: a hash of the set of shapes and types that the plan's steps have; layers that repeat them add nothing. Never 0,
 * which is the whole registry's. */
nb_status used_set(const plan *p, const executor_options *options, uint64_t *set, nb_error *err);

#endif
