/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation forms: a matrix of activations rounded to 16-bit integers with one fp32 scale a group of columns. Within a
 * group that is finer than fp16's 11-bit mantissa for all elements above 1/16 of the largest, and the products with
 * integer weight codes become exact integer sums. Two forms, for two kinds of instructions; both stand for the same
 * numbers x ~ scale * q, q in [-XFORM_MAX, XFORM_MAX], scale = max|x| / XFORM_MAX of the group (0 for an all-zero one):
 *   DT_XI16   q as int16, for 16-bit multiply-add (AVX2 vpmaddwd, NEON smlal)
 *   DT_XI8X2  q as two signed bytes, q = 256 * high + low, for 8-bit dot products (VNNI vpdpbusd, NEON sdot)
 * With the groups' sums scale * sum(q), which the affine bias needs. */
#ifndef NB_QUANT_XFORM_H
#define NB_QUANT_XFORM_H

#include "kernels/kernel.h"

enum { XFORM_MAX = 32512 }; /* 127 * 256: the high byte stays within [-127, 127] */

/* Bytes of a [rows, cols] matrix in this form; cols must be a multiple of group. Offsets inside: */
size_t xform_bytes(dtype form, int64_t rows, int64_t cols, int64_t group);
/* Scales and sums, fp32 [rows, cols / group] each. */
float *xform_scales(const kmat *m);
float *xform_sums(const kmat *m);
/* The codes of one row: DT_XI16: int16 [cols]; DT_XI8X2: for each 4 columns 4 high bytes, then 4 low bytes. */
void *xform_codes(const kmat *m, int64_t row);
/* What element (i, j) stands for. */
double xform_get(const kmat *m, int64_t i, int64_t j);

/* Puts x[0..group) into group g of row i: codes, scale and sum. A group with a NaN or an infinity gets NaN as scale and
 * sum; a group whose step would be below the normal fp32 numbers becomes 0. The SIMD rows do the same. */
void xform_encode(const kmat *m, int64_t i, int64_t g, const float *x);

#endif
