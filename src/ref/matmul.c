/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL: y[t][i] = sum over j of x[t][j] W[i][j], + bias[i] + residual[t][i]. Weights are [outputs, inputs], as
 * PyTorch's and MLX's linear layers keep them. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"
#include "base/num.h"

enum { BLOCK = 256 };

/* Adds columns [begin, end) of output i to the sums of all tokens; the weights are looked up once for all of them. */
static void add_columns(const kcall *c, int64_t i, int64_t begin, int64_t end, double *y, double *mag) {
    double weights[BLOCK], magnitudes[BLOCK];
    for (int64_t j = begin; j < end; j++) {
        weights[j - begin] = ref_weight(c->w, i, j);
        magnitudes[j - begin] = ref_weight_magnitude(c->w, i, j);
    }
    for (int64_t t = 0; t < c->y.rows; t++) {
        double sum = 0, magnitude = 0;
        for (int64_t j = begin; j < end; j++) {
            double x = ref_at(&c->x, t, j);
            sum += x * weights[j - begin];
            magnitude += fabs(x) * magnitudes[j - begin];
        }
        y[t * c->y.cols + i] += sum;
        if (mag) mag[t * c->y.cols + i] += magnitude;
    }
}

void ref_matmul(const kcall *c, double *y, double *mag) {
    for (int64_t i = 0; i < c->y.cols; i++) {
        double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, i) : 0.0;
        for (int64_t t = 0; t < c->y.rows; t++) {
            double residual = c->residual.data ? ref_at(&c->residual, t, i) : 0.0;
            y[t * c->y.cols + i] = bias + residual;
            if (mag) mag[t * c->y.cols + i] = fabs(bias) + fabs(residual);
        }
        for (int64_t j = 0; j < c->w->k; j += BLOCK) add_columns(c, i, j, min_i64(j + BLOCK, c->w->k), y, mag);
    }
}
