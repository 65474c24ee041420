/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL: y[t][i] = sum over j of x[t][j] W[i][j], + bias[i] + residual[t][i]. Weights are [outputs, inputs], as
 * PyTorch's and MLX's linear layers keep them. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"

ref_product ref_product_new(const kcall *c) {
    int64_t n = c->x.rows * c->x.cols;
    double *x = malloc((size_t)(n + 3 * c->w->k) * sizeof *x);
    ref_product p = {x, x + n, x + n + c->w->k, x + n + 2 * c->w->k};
    if (x) ref_input(c, c->w->k, &c->weight2, x);
    return p;
}

void ref_product_row(ref_product *p, const kweight *w, int64_t i) {
    ref_weight_row(w, i, p->values, p->biases);
    for (int64_t j = 0; j < w->k; j++) p->magnitudes[j] = fabs(p->values[j] - p->biases[j]) + fabs(p->biases[j]);
}

/* In four sums each, which a processor adds to at the same time. */
void ref_product_dot(const ref_product *p, const double *x, int64_t k, double *sum, double *magnitude) {
    const double *values = p->values;
    double sums[4] = {0}, magnitudes[4] = {0};
    int64_t j = 0;
    for (; j + 4 <= k; j += 4) {
        for (int i = 0; i < 4; i++) sums[i] += x[j + i] * values[j + i];
        for (int i = 0; i < 4; i++) magnitudes[i] += fabs(x[j + i]) * p->magnitudes[j + i];
    }
    for (; j < k; j++) {
        sums[0] += x[j] * values[j];
        magnitudes[0] += fabs(x[j]) * p->magnitudes[j];
    }
    *sum = sums[0] + sums[1] + sums[2] + sums[3];
    *magnitude = magnitudes[0] + magnitudes[1] + magnitudes[2] + magnitudes[3];
}

int64_t ref_product_cols(const kcall *c) {
    return c->act == ACT_NONE ? c->y.cols : 2 * c->y.cols;
}

static void multiply(const kcall *c, ref_product *p, double *y, double *mag) {
    for (int64_t i = 0; i < c->w->n; i++) {
        double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, i) : 0.0;
        ref_product_row(p, c->w, i);
        for (int64_t t = 0; t < c->y.rows; t++) {
            double sum, magnitude;
            ref_product_dot(p, p->x + t * c->w->k, c->w->k, &sum, &magnitude);
            y[t * c->w->n + i] = sum + bias;
            if (mag) mag[t * c->w->n + i] = magnitude + fabs(bias);
        }
    }
}

void ref_matmul(const kcall *c, double *y, double *mag) {
    ref_product p = ref_product_new(c);
    double *halves = p.x && c->act != ACT_NONE ? malloc((size_t)(2 * c->y.rows * c->w->n) * sizeof *halves) : NULL;
    bool failed = !p.x || (c->act != ACT_NONE && !halves);
    if (!failed && halves) {
        double *halves_mag = halves + c->y.rows * c->w->n;
        multiply(c, &p, halves, halves_mag);
        ref_gate(c, halves, halves_mag, y, mag);
    } else if (!failed) {
        multiply(c, &p, y, mag);
    }
    for (int64_t at = 0; at < c->y.rows * c->y.cols; at++) {
        double residual = c->residual.data ? ref_at(&c->residual, at / c->y.cols, at % c->y.cols) : 0.0;
        y[at] = failed ? NAN : y[at] + residual; /* out of memory: agrees with nothing */
        if (mag && !failed) mag[at] += fabs(residual);
    }
    free(halves);
    free(p.x);
}
