/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference: what every operation means, in double precision, written to be read. One operation a file. */
#ifndef NB_REF_REF_H
#define NB_REF_REF_H

#include "kernels/kernel.h"

/* Computes a call. y receives the output as doubles, row-major without gaps: [y.rows, y.cols], for KV_STORE [x.rows,
 * x.cols] (what the pages must hold; of what is normed or rotated, before it is rounded to their type). CONV1D and
 * DELTA leave the call's states as they are; the new ones follow y, one after the other, in the order in which their
 * sequences stand in the call. magnitude (same shape, may be NULL) receives the sum of the absolute values of the terms
 * that the element is a sum of: the scale of rounding errors in the model |err| <= c (eps_out |y| + eps_acc magnitude).
 */
void ref_run(const kcall *c, double *y, double *magnitude);
/* How many numbers that are. */
int64_t ref_count(const kcall *c);

/* The variance that roundings are expected to give each element of y when fp32 sums run in `chains` chains, in units of
 * the square of fp32's unit roundoff; y is what ref_run made. False, and nothing is written, for operations without
 * such a model: copies, and DELTA (src/ref/variance.c). */
bool ref_variance(const kcall *c, const double *y, int chains, double *variance);

/* What rounding the operands of products to a 16-bit type `to` (krow.rounds_to) does to each element of y: how far it
 * may be off by that at most, and the variance. Infinite where an operand does not fit into the type, and the variance
 * also where nothing is known of it. False: out of memory. (src/ref/rounding.c) */
bool ref_rounding(const kcall *c, dtype to, double *most, double *variance);

/* Element (i, j) of a weight as it is stored (never from the packed copy). */
double ref_weight(const kweight *w, int64_t i, int64_t j);
/* Code (i, j) of a quantized weight: bits [j * bits, (j + 1) * bits) of row i's little-endian bit stream. */
uint32_t ref_code(const kweight *w, int64_t i, int64_t j);

/* The number that a code of 4 or 8 bits, or a scale byte, stands for; NaN where the format says so. */
double ref_e2m1(uint32_t code);
double ref_e4m3(uint32_t code);
double ref_e8m0(uint32_t code);

/* Element (i, j) of a matrix of any type, activation forms included. */
double ref_at(const kmat *m, int64_t i, int64_t j);

#endif
