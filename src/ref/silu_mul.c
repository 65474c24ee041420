/* SPDX-License-Identifier: Apache-2.0
 *
 * SILU_MUL: the gated unit of SwiGLU (Shazeer 2020, "GLU Variants Improve Transformer"): silu(x) z, with
 * silu(x) = x / (1 + exp(-x)). */
#include "ref/ref_ops.h"

#include <math.h>

void ref_silu_mul(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            double x = ref_at(&c->x, t, j), z = ref_at(&c->z, t, j);
            int64_t at = t * c->y.cols + j;
            y[at] = x / (1 + exp(-x)) * z;
            if (mag) mag[at] = fabs(y[at]) + REF_UNDERFLOW * fabs(x * z);
        }
    }
}
