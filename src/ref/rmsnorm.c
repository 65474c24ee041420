/* SPDX-License-Identifier: Apache-2.0
 *
 * RMSNORM (Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4, with the epsilon that
 * models' rms_norm_eps adds to the mean square): each part of a row is divided by its own root mean square and
 * multiplied by the weight, which all parts share. Some families store the weight's distance from 1: the offset. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

void ref_norm(const kcall *c, const kvec *weight, double *x, int64_t n) {
    double squares = 0;
    for (int64_t j = 0; j < n; j++) squares += x[j] * x[j];
    double root = sqrt(squares / (double)n + (double)c->eps);
    for (int64_t j = 0; j < n; j++) {
        double factor = weight->data ? float_at(weight->data, weight->type, j) : 1.0;
        x[j] = x[j] / root * ((double)c->offset + factor);
    }
}

void ref_input(const kcall *c, int64_t part, const kvec *weight, double *x) {
    for (int64_t i = 0; i < c->x.rows * c->x.cols; i++) x[i] = ref_at(&c->x, i / c->x.cols, i % c->x.cols);
    for (int64_t i = 0; c->normed && i < c->x.rows * c->x.cols; i += part) ref_norm(c, weight, x + i, part);
}

/* All terms of the sum of squares have one sign, so the magnitude is the result; a residual comes after all of it, then
 * a scale. */
void ref_rmsnorm(const kcall *c, double *y, double *mag) {
    int64_t size = c->x.cols / c->n_parts;
    const double scale = (double)kcall_norm_scale(c);
    ref_input(c, size, &c->weight, y);
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        if (i % size == 0) ref_norm(c, &c->weight, y + i, size);
        if (mag) mag[i] = fabs(y[i] * scale);
        if (c->residual.data) y[i] += ref_at(&c->residual, i / c->y.cols, i % c->y.cols);
        y[i] *= scale;
    }
}
