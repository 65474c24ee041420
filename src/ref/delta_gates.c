/* SPDX-License-Identifier: Apache-2.0
 *
 * DELTA_GATES: for each head how much of the state is kept, exp(-exp(A_log) softplus(a + dt_bias)), and how strongly it
 * is written, sigmoid(b) (Yang et al. 2024, arXiv 2412.06464, section 3.3; the form of the decay is Mamba 2's). */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

/* An error e |s| of the sum s = a + dt_bias moves its softplus by e |s| sigmoid(s), and relative errors of the exponent
 * move the decay by decay * exponent times as much. */
void ref_delta_gates(const kcall *c, double *y, double *mag) {
    int64_t n_heads = c->x.cols;
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t h = 0; h < n_heads; h++) {
            double s = ref_at(&c->x, t, h) + float_at(c->weight2.data, c->weight2.type, h);
            double rate = exp(float_at(c->weight.data, c->weight.type, h));
            int64_t decay = t * c->y.cols + h, beta = decay + n_heads;
            y[decay] = exp(-rate * softplus(s));
            y[beta] = ref_sigmoid(ref_at(&c->z, t, h));
            if (!mag) continue;
            mag[decay] = y[decay] * (1 + rate * (softplus(s) + fabs(s) * ref_sigmoid(s)));
            mag[beta] = y[beta];
        }
    }
}
