/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults in how a kernel reads its weights: the product is made by a plain loop, over rows of weights that come out
 * wrong. They are taken from the stored form, which stays readable where the real row reads a packed one. */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "cpu/scalar_weight.h"
#include "ref/ref.h"
#include "support/faults/faults.h"

/* ---- Rows of weights ------------------------------------------------------------------------------------------- */

/* The bug report's: of each 8 elements the last four hold what the first four do. */
void fault_duplicated_stores(const kweight *w, int64_t i, float *row) {
    scalar_weight_row(w, i, row);
    for (int64_t j = 0; j + 8 <= w->k; j += 8) memcpy(row + j + 4, row + j, 4 * sizeof *row);
}

/* Of each 16 codes of a byte the last eight are the first eight. Groups are 32 or more, so the scales stay theirs. */
void fault_half_loads(const kweight *w, int64_t i, float *row) {
    scalar_weight_row(w, i, row);
    for (int64_t j = 0; j + 16 <= w->k; j += 16) memcpy(row + j + 8, row + j, 8 * sizeof *row);
}

void fault_without_biases(const kweight *w, int64_t i, float *row) {
    kweight without = *w;
    without.biases = NULL;
    scalar_weight_row(&without, i, row);
}

void fault_scales_as_f16(const kweight *w, int64_t i, float *row) {
    kweight other = *w;
    other.type = DT_F16;
    scalar_weight_row(&other, i, row);
}

/* Scales and biases of the next group; the last one of all has its own. */
void fault_next_group(const kweight *w, int64_t i, float *row) {
    size_t size = dtype_size(w->type);
    int64_t n_groups = w->k / w->group_size, first = i * n_groups;
    uint8_t *moved = fault_alloc((size_t)n_groups * size * 2), *biases = moved + (size_t)n_groups * size;
    for (int64_t g = 0; g < n_groups; g++) {
        size_t from = (size_t)min_i64(first + g + 1, w->n * n_groups - 1) * size, to = (size_t)g * size;
        memcpy(moved + to, (const uint8_t *)w->scales + from, size);
        if (w->biases) memcpy(biases + to, (const uint8_t *)w->biases + from, size);
    }
    kweight one = *w;
    one.codes = (const uint8_t *)w->codes + (size_t)i * (size_t)(w->k * w->bits / 8);
    one.scales = moved;
    one.biases = w->biases ? biases : NULL;
    scalar_weight_row(&one, 0, row);
    free(moved);
}

/* ---- Products -------------------------------------------------------------------------------------------------- */

/* x as fp32, whatever form it is in. */
static float *plain_x(const kmat *x) {
    float *plain = fault_alloc((size_t)(x->rows * x->cols) * sizeof *plain);
    for (int64_t i = 0; i < x->rows * x->cols; i++) plain[i] = (float)ref_at(x, i / x->cols, i % x->cols);
    return plain;
}

static float *output(const kcall *c, int64_t t, int64_t j) {
    return (float *)c->y.data + t * c->y.stride + j;
}

static void multiply(const kcall *c, const float *x, const float *row, int64_t i) {
    float bias = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, i) : 0.0f;
    for (int64_t t = 0; t < c->x.rows; t++) {
        float y = scalar_dot(x + t * c->x.cols, row, c->w->k) + bias;
        if (c->residual.data) y += ((const float *)c->residual.data)[t * c->residual.stride + i];
        *output(c, t, i) = y;
    }
}

/* Output i of expert e for all tokens that chose it. */
static void multiply_chosen(const kcall *c, const float *x, const float *row, int64_t e, int64_t i) {
    float bias = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, e * c->w->n + i) : 0.0f;
    for (int64_t t = 0; t < c->x.rows; t++) {
        const float *chosen = (const float *)c->z.data + t * c->z.stride;
        for (int64_t s = 0; s < c->n_chosen; s++) {
            if ((int64_t)chosen[s] != e) continue;
            const float *part = x + t * c->x.cols + (c->x.cols == c->w->k ? 0 : s * c->w->k);
            *output(c, t, s * c->w->n + i) = scalar_dot(part, row, c->w->k) + bias;
        }
    }
}

void fault_product(const kcall *c, fault_weight *weight) {
    float *x = plain_x(&c->x), *row = fault_alloc((size_t)c->w->k * sizeof *row);
    for (int64_t e = 0; e < max_i64(1, c->w->n_experts); e++) {
        const kweight *w = c->w->experts ? &c->w->experts[e] : c->w;
        for (int64_t i = 0; i < w->n; i++) {
            weight(w, i, row);
            if (c->w->experts)
                multiply_chosen(c, x, row, e, i);
            else
                multiply(c, x, row, i);
        }
    }
    free(x);
    free(row);
}
