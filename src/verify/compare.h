/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares what a row has written with what the reference says, element by element by the error model, and says of what
 * is wrong how much, where, and in what pattern. Cases, lock-step and the re-checks of a running model all end here. */
#ifndef NB_VERIFY_COMPARE_H
#define NB_VERIFY_COMPARE_H

#include "verify/finding.h"

/* What the worst element is one of. */
typedef enum compare_part { PART_OUTPUT, PART_STATE, PART_SUMS } compare_part;

typedef struct comparison {
    const krow *row; /* that made it */
    kop op;
    int64_t rows, cols; /* of the whole output */
    int64_t group;      /* of columns that share a scale; 0: none */
    uint8_t *wrong;     /* [rows, cols] (see pattern.h); allocated with the first wrong element */
    float *share;       /* [rows, cols]: error as a share of its bound; allocated with it */
    int64_t n_checked, n_wrong, n_unwritten;
    double worst; /* the largest share, of all that were checked */
    compare_part part;
    int64_t row_at, col_at; /* of the worst one, with... */
    double got, expected, bound;
    double squares, n_squares; /* for FOUND_INACCURATE: see comparison_add_variance */
    int64_t n_samples;
    struct columns {
        int64_t first, end;
    } * looked_at; /* columns that were added so far, for `wrong` */
    int64_t n_looked_at, cap_looked_at;
    bool no_memory;
} comparison;

/* Everything starts at zero. c: the call as the row ran it, in host memory. */
void comparison_begin(comparison *cmp, const krow *row, const kcall *c);
/* Adds columns [first, first + part->y.cols) of the output (all of it where part is the whole call): part is a call of
 * its own, with y in host memory, ref and mag what ref_run says of it, rounding what ref_rounding says where the row
 * rounds operands (else NULL). States, where the call has such, follow y in ref
 * and are compared in part->states. KV_STORE: what the pages hold at the places of its tokens. poison: the byte that
 * the output was filled with before (an element that still has it is unwritten), or 0: not known. */
void comparison_add(comparison *cmp, const kcall *part, int64_t first, const double *ref, const double *mag,
                    const double *rounding, uint8_t poison);
/* Adds the errors of the whole output (of a call on random numbers) to a test of their size as a whole: variance is
 * what ref_variance said, in units of u^2. Roundings of the output's own type are added here. */
void comparison_add_variance(comparison *cmp, const kcall *c, const double *ref, const double *variance);
/* Whether something is wrong; then *out (may be NULL) says what: kind, kernel, what, pattern, numbers and picture;
 * level, where, step and layer are the caller's to fill in. Frees what the comparison holds. */
bool comparison_end(comparison *cmp, finding *out);

#endif
