/* SPDX-License-Identifier: Apache-2.0
 *
 * A loaded case: its operands between guards and what the reference says. Internal to the check. */
#ifndef NB_VERIFY_CHECK_CASE_H
#define NB_VERIFY_CHECK_CASE_H

#include "verify/check.h"
#include "verify/guard.h"
#include "verify/mirror.h"

enum check_slot {
    SLOT_X,
    SLOT_Z,
    SLOT_CODES,
    SLOT_SCALES,
    SLOT_BIASES,
    SLOT_WEIGHT,
    SLOT_RESIDUAL,
    SLOT_WEIGHT2,
    SLOT_INTS, /* tokens, positions, rows, columns or slots */
    SLOT_FREQS,
    SLOT_SAMPLERS,
    SLOT_TABLES,
    SLOT_TABLE_STARTS,
    SLOT_KEYS,
    SLOT_VALUES,
    SLOT_FORM, /* x in an activation form */
    SLOT_X_16, /* x and z in 16 bits */
    SLOT_Z_16,
    SLOT_X_SLICE, /* some of its rows */
    SLOT_PACKED,
    SLOT_PACKED_ONE, /* a matrix, packed over two kinds of poison */
    SLOT_PACKED_TWO,
    SLOT_SCRATCH,
    SLOT_Y,
    SLOT_Y_OTHER,
    SLOT_STATES, /* before the call */
    SLOT_STATES_Y,
    SLOT_STATES_OTHER,
    SLOT_COUNT
};

struct check {
    check_spec spec;
    kcall call; /* the inputs; y has no data yet (KV_STORE: keys have none) */
    kweight w;
    kweight experts[CHECK_MAX_EXPERTS];
    uint64_t random;
    guard slots[SLOT_COUNT];
    double *ref, *mag;        /* of y, without gaps; then of new states (ref_run) */
    double *variance;         /* of y, for rows that sum in... */
    int variance_chains;      /* ...so many chains; 0: not worked out yet, -1: there is none */
    dtype variance_rounds_to; /* and round operands to this type */
    double *rounding;         /* of y: ref_rounding's two results, for... */
    dtype rounding_type;      /* ...this type; DT_NONE: not worked out yet */
    size_t ref_cap;           /* elements */
    bool has_ref;             /* worked out when a row first asks */
    double ref_seconds;       /* that it took */
    check_clock clock;        /* begins NULL: nobody listens */
    bool only_shape;          /* operands are placed, but not filled */
    mirror mirror;
};

/* The matrices of the case's weight: *n of them, the experts or the one. */
kweight *check_matrices(check *c, int64_t *n);

uint64_t check_random(check *c);          /* 64 random bits */
int64_t check_below(check *c, int64_t n); /* 0 to n - 1 */
float check_normal(check *c);             /* near normal: the sum of four uniform numbers, variance 1 */
/* An fp32 matrix whose last element is the last of readable memory; gaps between rows hold NaN. False when out of
 * memory. */
bool check_matrix(check *c, int slot, kmat *m, int64_t rows, int64_t cols, check_pattern pattern);
/* n integers below `below`; NULL when out of memory. */
int32_t *check_integers(check *c, int64_t n, int64_t below);
/* The operands of PENALIZE and DRAW (check_draws.c); false when out of memory. */
bool check_load_draws(check *c);
/* Works out the reference's results, unless that was done. */
nb_status check_reference(check *c, nb_error *err);
/* What rounding operands does for a row that does so, of the call's y; *rounding NULL for other rows. */
nb_status check_rounding(check *c, const krow *row, const double **rounding, nb_error *err);
/* The variance of errors for a row's chains and roundings; NULL where there is no model of it. */
const double *check_variance(check *c, const krow *row);
/* Around what a row does with the case, or with `times` as much. */
void check_begins(const check *c, double times);
void check_ends(const check *c);
/* Runs tasks of a call, which is the case's, where the device can read it. */
nb_status check_run(const check *c, device *d, const krow *row, const kcall *call, int64_t begin, int64_t end,
                    void *scratch, double times, nb_error *err);
/* Puts the weight into the row's layout; a finding when the packing is wrong. */
nb_status check_pack(check *c, const krow *row, finding *found, nb_error *err);
/* Says what was found with a row, on the loaded case. */
void check_found(const check *c, const krow *row, finding_kind kind, finding *found, const char *format, ...)
    NB_PRINTF(5, 6);
nb_status check_no_memory(nb_error *err);

#endif
