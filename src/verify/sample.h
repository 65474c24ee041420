/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks what a step of a real model has computed: against the reference, from the step's own inputs, all of it where
 * that is affordable, else at sampled outputs and at all that lie at a boundary. */
#ifndef NB_VERIFY_SAMPLE_H
#define NB_VERIFY_SAMPLE_H

#include "base/pool.h"
#include "verify/compare.h"

typedef struct sample_range {
    int64_t begin, end; /* columns that each expert, or the one matrix, gives y */
} sample_range;

enum { SAMPLE_MAX_RANGES = 96 };

/* What the reference says of a call, at some of its outputs. */
typedef struct sample {
    kcall call; /* as it ran, operands in host memory */
    int64_t n;  /* outputs: for products of each expert, else of the call */
    sample_range ranges[SAMPLE_MAX_RANGES];
    int n_ranges;
    double **ref, **mag; /* [n_ranges] */
    double **rounding;   /* [n_ranges]: ref_rounding's results for... */
    dtype rounds_to;     /* ...this type, which a row compared with it had; DT_NONE: not worked out yet */
    pool *threads;
} sample;

/* Chooses outputs of a call and works out what they should be. With work > 0 products are only looked at where that
 * takes about so many multiplications of the reference: always at the first and last outputs and around multiples of
 * the usual tiles, and at random ones, that `seed` chooses. pool: NULL computes on the caller alone. */
nb_status sample_make(const kcall *c, double work, uint64_t seed, pool *threads, sample *out, nb_error *err);
/* Compares what a row has left in c->y (and c->states): c is the sample's call, or the first rows of it. */
void sample_compare(sample *s, const krow *row, const kcall *c, comparison *cmp);
void sample_free(sample *s);

#endif
