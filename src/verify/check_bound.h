/* SPDX-License-Identifier: Apache-2.0
 *
 * The error model's bound on one element, as docs/verification.md derives it. */
#ifndef NB_VERIFY_CHECK_BOUND_H
#define NB_VERIFY_CHECK_BOUND_H

#include "kernels/kernel.h"

/* Of one call, which is the same for all of its elements: how often a term may be rounded, and the whole sum. `exact`:
 * not at all. */
typedef struct bound_model {
    bool exact;
    double depth, results;
} bound_model;
/* row: whose number of chains counts; NULL: 8 of them. */
bound_model bound_model_of(const krow *row, const kcall *c);
/* The chains in which a row sums. */
int chains_of(const krow *row);

/* The most that an element of value y and magnitude mag (src/ref/ref.h) may be off, apart from rounding into the
 * output's own type where that is not fp32. */
double bound_of(const bound_model *model, double y, double mag);
/* Half a step of an activation form, for a group whose largest element is `largest`, with the rounding of the step. */
double check_half_step(double largest);

#endif
