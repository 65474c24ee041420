/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL_EXPERTS: y[t][s] = x W_e^T + bias_e, e the s-th expert of token t. x is the token's row, which all its experts
 * share, or its part s. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"

/* Output i of expert e for every token and place s that chose it; the weights are looked up once for all of them. */
static void add_output(const kcall *c, int64_t e, int64_t i, double *weights, double *y, double *mag) {
    const kweight *w = &c->w->experts[e];
    double *magnitudes = weights + w->k;
    double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, e * w->n + i) : 0.0;
    for (int64_t j = 0; j < w->k; j++) {
        weights[j] = ref_weight(w, i, j);
        magnitudes[j] = ref_weight_magnitude(w, i, j);
    }
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t s = 0; s < c->n_chosen; s++) {
            if (ref_at(&c->z, t, s) != (double)e) continue;
            int64_t from = c->x.cols == w->k ? 0 : s * w->k;
            double sum = bias, magnitude = fabs(bias);
            for (int64_t j = 0; j < w->k; j++) {
                double x = ref_at(&c->x, t, from + j);
                sum += x * weights[j];
                magnitude += fabs(x) * magnitudes[j];
            }
            y[t * c->y.cols + s * w->n + i] = sum;
            if (mag) mag[t * c->y.cols + s * w->n + i] = magnitude;
        }
    }
}

void ref_matmul_experts(const kcall *c, double *y, double *mag) {
    double *weights = malloc((size_t)(2 * c->w->k) * sizeof *weights);
    for (int64_t at = 0; !weights && at < c->y.rows * c->y.cols; at++)
        y[at] = NAN; /* out of memory: agrees with nothing */
    for (int64_t e = 0; weights && e < c->w->n_experts; e++)
        for (int64_t i = 0; i < c->w->n; i++) add_output(c, e, i, weights, y, mag);
    free(weights);
}
