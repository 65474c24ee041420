/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL: y[t][i] = sum over j of x[t][j] W[i][j], + bias[i] + residual[t][i]. Weights are [outputs, inputs], as
 * PyTorch's and MLX's linear layers keep them. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

void ref_matmul(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t i = 0; i < c->y.cols; i++) {
            double sum = 0, magnitude = 0;
            for (int64_t j = 0; j < c->w->k; j++) {
                double x = ref_at(&c->x, t, j);
                sum += x * ref_weight(c->w, i, j);
                if (mag) magnitude += fabs(x) * ref_weight_magnitude(c->w, i, j);
            }
            double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, i) : 0.0;
            double residual = c->residual.data ? ref_at(&c->residual, t, i) : 0.0;
            y[t * c->y.cols + i] = sum + bias + residual;
            if (mag) mag[t * c->y.cols + i] = magnitude + fabs(bias) + fabs(residual);
        }
    }
}
