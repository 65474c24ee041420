/* SPDX-License-Identifier: Apache-2.0
 *
 * A loaded case: its operands between guards and what the reference says. Internal to the check. */
#ifndef NB_VERIFY_CHECK_CASE_H
#define NB_VERIFY_CHECK_CASE_H

#include "verify/check.h"
#include "verify/guard.h"

enum check_slot {
    SLOT_X,
    SLOT_Z,
    SLOT_CODES,
    SLOT_SCALES,
    SLOT_BIASES,
    SLOT_WEIGHT,
    SLOT_RESIDUAL,
    SLOT_INTS, /* tokens, positions or rows */
    SLOT_FREQS,
    SLOT_TABLES,
    SLOT_TABLE_STARTS,
    SLOT_KEYS,
    SLOT_VALUES,
    SLOT_FORM,    /* x in an activation form */
    SLOT_X_SLICE, /* some of its rows */
    SLOT_PACKED,
    SLOT_PACKED_OTHER,
    SLOT_SCRATCH,
    SLOT_Y,
    SLOT_Y_OTHER,
    SLOT_COUNT
};

struct check {
    check_spec spec;
    kcall call; /* the inputs; y has no data yet (KV_STORE: keys have none) */
    kweight w;
    uint64_t random;
    guard slots[SLOT_COUNT];
    double *ref, *mag; /* of y, without gaps */
    size_t ref_cap;    /* elements */
};

uint64_t check_random(check *c);           /* 64 random bits */
int64_t check_below(check *c, int64_t n);  /* 0 to n - 1 */
size_t check_pages_bytes(const kpages *p); /* of a layer's pages */
nb_status check_no_memory(nb_error *err);

#endif
