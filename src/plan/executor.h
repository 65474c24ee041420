/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine asks of a backend: memory for weights and caches, and running a plan over a batch. */
#ifndef NB_PLAN_EXECUTOR_H
#define NB_PLAN_EXECUTOR_H

#include "nibble.h"
#include "plan/plan.h"

enum { KV_PAGE_SIZE = 64 }; /* tokens in a page of the KV cache */

/* One forward pass. Tokens of a sequence stand together, in order. */
typedef struct batch {
    int64_t n_tokens, n_outputs;
    const int32_t *tokens, *positions; /* [n_tokens] */
    const int32_t *const *tables;      /* [n_tokens]: pages of the token's sequence (see kcall) */
    const int32_t *slots;              /* [n_tokens]: state of the token's sequence (see kcall); plans with states */
    const int32_t *outputs;            /* [n_outputs]: the tokens of which logits are wanted, ascending */
    const float *const *inputs;        /* [plan->n_inputs]: [n_tokens, cols] each, in the host's memory */
} batch;

/* Looks at a kernel call of a step: before it runs, and again at what it has made. Operands are the backend's, in its
 * memory, forms included. Nothing else runs meanwhile. */
typedef void (*executor_observer)(void *user, int step, bool done, const krow *row, const kcall *call);

/* Is told of a kernel call that a batch would make; its operands' data are not there. */
typedef void (*executor_call_fn)(void *user, int step, const krow *row, const kcall *call);

/* A draw from one row of logits: how, with the generator's state as its seed, after which tokens; and what came of it.
 */
typedef struct executor_draw {
    nb_sampling sampling;
    const int32_t *history; /* [n_history]: the last tokens, as far as penalties look back */
    size_t n_history;
    int32_t token; /* -1: none, since logits are not finite */
} executor_draw;

typedef struct executor executor;
struct executor {
    /* Runs the plan. *logits points at [n_outputs, vocab_size] floats in the executor's memory, until the next run; so
     * do `results`. Where there is `draw`, logits may be NULL: then they stay on the device. */
    nb_status (*run)(executor *e, const batch *b, const float **logits, nb_error *err);
    /* Whether tokens can be drawn so where the logits are. NULL, as the next three: logits are the host's anyway. */
    bool (*can_draw)(const executor *e, const nb_sampling *s);
    /* After a run: a token from each of its n outputs, as nb_sampler_draw draws. Penalties stay on the logits. Where
     * memory is short nothing was touched. */
    nb_status (*draw)(executor *e, executor_draw *draws, int64_t n, nb_error *err);
    /* Visits the calls that n such draws may fall into; they belong to no step (PLAN_NONE). What no row takes is left
     * out: the host draws. NULL where there is no `draw`. */
    void (*draws)(const executor *e, int64_t n, executor_call_fn visit, void *user);
    /* The logits of the last run, as `run` gives them. */
    nb_status (*fetch)(executor *e, const float **logits, nb_error *err);
    /* Copies the first n_slots slots of a page in every cache. */
    nb_status (*copy_page)(executor *e, int32_t from, int32_t to, int64_t n_slots, nb_error *err);
    /* The recurrent states of all layers: slot `to` becomes as slot `from` is, or empty where from is -1. */
    nb_status (*copy_state)(executor *e, int32_t from, int32_t to, nb_error *err);
    /* Visits the calls that a batch of so many tokens and outputs falls into, in order; a step of the plan may need
     * several. NB_ERR_UNSUPPORTED names a step that no row takes. */
    nb_status (*calls)(executor *e, int64_t n_tokens, int64_t n_outputs, executor_call_fn visit, void *user,
                       nb_error *err);
    /* Seconds of each call of the batch that the last run had, in the order of `calls`: seconds [n]. What the batch
     * leaves in caches and states is undefined afterwards. */
    nb_status (*profile)(executor *e, double *seconds, int n, nb_error *err);
    /* Bytes that the device's own copy reads and writes in a second. NULL: rows run on the host. */
    nb_status (*copy_rate)(executor *e, double *bytes_per_second, nb_error *err);
    void (*free)(executor *e);
    /* Called around the calls of a run while it is set: for tests, verification and profiles. */
    executor_observer observer;
    void *observer_user;
    int observed_step;                       /* only this step's; PLAN_NONE (as an executor begins): of all steps */
    const float *results[PLAN_MAX_CROSSING]; /* [plan->n_results]: [n_tokens, cols] each, of the last run */
    const plan *plan;
    const kweight *weights; /* [plan->n_weights]: with the layouts in which they are read */
    const char *device;     /* "cpu (AVX-512 VNNI, 2 threads)" */
    int n_threads;
    int64_t packed_bytes, work_bytes, kv_bytes_per_token;
    int64_t state_bytes; /* of all recurrent states of one sequence */
};

typedef struct executor_options {
    int n_threads;
    int64_t n_batch; /* tokens (and outputs) in a run at most */
    int64_t n_pages; /* of the KV cache */
    int64_t n_slots; /* recurrent states that there is room for; plans with states */
    dtype kv_type;
    bool dry; /* only to be asked for its calls: neither weights nor caches are made ready */
    nb_progress_fn progress;
    void *progress_user;
} executor_options;

#endif
