/* SPDX-License-Identifier: Apache-2.0
 *
 * What the portable rows share: a weight row as fp32, a dot product. The SIMD rows
 * use them too where speed does not matter. */
#ifndef NB_CPU_SCALAR_WEIGHT_H
#define NB_CPU_SCALAR_WEIGHT_H

#include "kernels/kernel.h"

/* y[0..k) = row i of W as stored. */
void scalar_weight_row(const kweight *w, int64_t i, float *y);

/* 16 sums of every 16th product, added in a fixed order. */
enum { SCALAR_DOT_CHAINS = 16 };
float scalar_dot(const float *a, const float *b, int64_t n);

#endif
