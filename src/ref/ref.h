/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference: what every operation means, in double precision, written to be read. One operation a file. */
#ifndef NB_REF_REF_H
#define NB_REF_REF_H

#include "kernels/kernel.h"

/* Computes a call. y receives the output as doubles, row-major without gaps: [y.rows, y.cols], for KV_STORE [x.rows,
 * x.cols] (what the pages must hold). magnitude (same shape, may be NULL) receives the sum of the absolute values of
 * the terms that the element is a sum of: the scale of rounding errors in the model
 * |err| <= c (eps_out |y| + eps_acc magnitude). */
void ref_run(const kcall *c, double *y, double *magnitude);

/* Element (i, j) of a weight as it is stored (never from the packed copy). */
double ref_weight(const kweight *w, int64_t i, int64_t j);
/* Code (i, j) of an affine weight: bits [j * bits, (j + 1) * bits) of row i's little-endian bit stream. */
uint32_t ref_code(const kweight *w, int64_t i, int64_t j);

/* Element (i, j) of a matrix of any type, activation forms included. */
double ref_at(const kmat *m, int64_t i, int64_t j);

#endif
