/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL_EXPERTS: y[t][s] = x W_e^T + bias_e, e the s-th expert of token t. x is the token's row, which all its experts
 * share, or its part s. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"

/* Output i of expert e for every token and place s that chose it; the weights are looked up once for all of them. */
static void add_output(const kcall *c, int64_t e, int64_t i, ref_product *p, double *y, double *mag) {
    const kweight *w = &c->w->experts[e];
    double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, e * w->n + i) : 0.0;
    ref_product_row(p, w, i);
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t s = 0; s < c->n_chosen; s++) {
            if (ref_at(&c->z, t, s) != (double)e) continue;
            const double *x = p->x + t * c->x.cols + (c->x.cols == w->k ? 0 : s * w->k);
            double sum, magnitude;
            ref_product_dot(p, x, w->k, &sum, &magnitude);
            int64_t at = (t * c->n_chosen + s) * w->n + i;
            y[at] = sum + bias;
            if (mag) mag[at] = magnitude + fabs(bias);
        }
    }
}

static void multiply(const kcall *c, ref_product *p, double *y, double *mag) {
    for (int64_t e = 0; e < c->w->n_experts; e++)
        for (int64_t i = 0; i < c->w->n; i++) add_output(c, e, i, p, y, mag);
}

void ref_matmul_experts(const kcall *c, double *y, double *mag) {
    int64_t n = c->y.rows * ref_product_cols(c);
    ref_product p = ref_product_new(c);
    double *halves = p.x && c->act != ACT_NONE ? malloc((size_t)(2 * n) * sizeof *halves) : NULL;
    bool failed = !p.x || (c->act != ACT_NONE && !halves);
    for (int64_t at = 0; failed && at < c->y.rows * c->y.cols; at++) y[at] = NAN; /* agrees with nothing */
    if (!failed && halves) {
        multiply(c, &p, halves, halves + n);
        ref_gate(c, halves, halves + n, y, mag);
    } else if (!failed) {
        multiply(c, &p, y, mag);
    }
    free(halves);
    free(p.x);
}
