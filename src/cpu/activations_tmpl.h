/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations that make activations for a matmul, for vectors of any width: QUANTIZE, and RMSNORM and SILU_MUL
 * either to fp32 or straight into the activation form, which spares a step and a trip through memory. A task is a
 * token.
 *
 * The including file defines LANES, vfloat, vint and
 *   v_load, v_store, v_set1, v_add, v_mul, v_div, v_neg, v_fma(a, b, c) = a b + c, v_exp, v_sum (horizontal),
 *   v_add_int, v_sum_int,
 *   load_stored(data, type, i): LANES elements of an array of f32, f16 or bf16, from element i on,
 *   largest_bits(x, n): the largest of the bits of |x[i]|, for whole vectors,
 *   quantize_block(x, inverse, to): a block as three planes of bytes, see xform_encode; returns sums of q in lanes,
 *   INSTRUCTIONS and NEEDS: the rows' last name, and the bits of caps.h without which they do not run. */
#include <math.h>

#include "base/half.h"
#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "quant/xform.h"

enum { MOST_GROUP = 128 }; /* columns of a group of the form, at most */

static int64_t tasks_of_tokens(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows);
}

static bool y_is_known(const kmat *y) {
    bool group = y->group == 32 || y->group == 64 || y->group == 128;
    return y->type == DT_F32 || (y->type == DT_XI8X3 && group && y->cols % y->group == 0);
}

static const float *row_of(const kmat *m, int64_t t) {
    return (const float *)m->data + t * m->stride;
}

/* ---- QUANTIZE ------------------------------------------------------------------------------------------------ */

/* xform_encode of the group that starts at column `at`, bit for bit; what is not finite is left to it. */
static void quantize_group(const kmat *y, int64_t row, int64_t at, const float *x) {
    int64_t g = at / y->group, n_groups = y->cols / y->group;
    uint32_t largest = largest_bits(x, y->group);
    if (largest >= 0x7f800000u) {
        xform_encode(y, row, g, x);
        return;
    }
    float scale = xform_scale(largest), inverse = xform_inverse(scale);
    int8_t *codes = xform_codes(y, row) + at * XFORM_PLANES;
    vint total = {0};
    for (int64_t j = 0; j < y->group; j += XFORM_BLOCK)
        total = v_add_int(total, quantize_block(x + j, inverse, codes + j * XFORM_PLANES));
    xform_scales(y)[row * n_groups + g] = scale;
    xform_sums(y)[row * n_groups + g] = scale * (float)v_sum_int(total);
}

static bool quantize_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_XI8X3 && y_is_known(&c->y);
}

static void quantize_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        for (int64_t j = 0; j < c->y.cols; j += c->y.group) quantize_group(&c->y, t, j, row_of(&c->x, t) + j);
}

/* ---- RMSNORM ------------------------------------------------------------------------------------------------- */

static bool rmsnorm_takes(const krow *row, const kcall *c) {
    (void)row;
    int64_t size = c->x.cols / c->n_parts;
    return c->x.type == DT_F32 && y_is_known(&c->y) && c->offset == 0 &&
           (c->y.type == DT_F32 || size % c->y.group == 0);
}

static float sum_of_squares(const float *x, int64_t n) {
    vfloat sums[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    int64_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        for (int i = 0; i < 4; i++) {
            vfloat a = v_load(x + j + LANES * i);
            sums[i] = v_fma(a, a, sums[i]);
        }
    }
    float rest = 0;
    for (; j < n; j++) rest += x[j] * x[j];
    return v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3]))) + rest;
}

/* y = x * factor * weight[at..at + n) */
static void scale_columns(const float *x, float factor, const kvec *weight, int64_t at, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vfloat a = v_mul(v_load(x + j), v_set1(factor));
        v_store(y + j, weight->data ? v_mul(a, load_stored(weight->data, weight->type, at + j)) : a);
    }
    for (; j < n; j++)
        y[j] = x[j] * factor * (weight->data ? (float)float_at(weight->data, weight->type, at + j) : 1.0f);
}

static void rmsnorm_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t size = c->x.cols / c->n_parts;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        for (int64_t start = 0; start < c->x.cols; start += size) {
            const float *x = row_of(&c->x, t) + start;
            float factor = 1.0f / sqrtf(sum_of_squares(x, size) / (float)size + c->eps);
            if (c->y.type == DT_F32) {
                scale_columns(x, factor, &c->weight, 0, size, (float *)c->y.data + t * c->y.stride + start);
                continue;
            }
            for (int64_t j = 0; j < size; j += c->y.group) {
                float y[MOST_GROUP];
                scale_columns(x + j, factor, &c->weight, j, c->y.group, y);
                quantize_group(&c->y, t, start + j, y);
            }
        }
    }
}

/* ---- SILU_MUL ------------------------------------------------------------------------------------------------ */

static bool silu_mul_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->z.type == DT_F32 && y_is_known(&c->y) && c->act == ACT_SILU &&
           c->x.cols == c->y.cols;
}

static vfloat silu_mul_vector(vfloat x, vfloat z) {
    return v_mul(v_div(x, v_add(v_set1(1), v_exp(v_neg(x)))), z);
}

/* The last columns go through a vector too: an element's bits do not depend on where it stands. */
static void silu_mul_columns(const float *x, const float *z, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) v_store(y + j, silu_mul_vector(v_load(x + j), v_load(z + j)));
    if (j == n) return;
    float parts[3][LANES] = {{0}};
    for (int64_t i = j; i < n; i++) parts[0][i - j] = x[i], parts[1][i - j] = z[i];
    v_store(parts[2], silu_mul_vector(v_load(parts[0]), v_load(parts[1])));
    for (int64_t i = j; i < n; i++) y[i] = parts[2][i - j];
}

static void silu_mul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_of(&c->x, t), *z = row_of(&c->z, t);
        if (c->y.type == DT_F32) {
            silu_mul_columns(x, z, c->x.cols, (float *)c->y.data + t * c->y.stride);
            continue;
        }
        for (int64_t j = 0; j < c->x.cols; j += c->y.group) {
            float y[MOST_GROUP];
            silu_mul_columns(x + j, z + j, c->y.group, y);
            quantize_group(&c->y, t, j, y);
        }
    }
}

#define ROW(what, operation)                                                                                           \
    {                                                                                                                  \
        .name = #what "." INSTRUCTIONS, .backend = "cpu", .op = operation, .rank = 20, .needs = NEEDS,                 \
        .takes = what##_takes, .tasks = tasks_of_tokens, .run = what##_run,                                            \
    }

static const krow rows[] = {ROW(quantize, KOP_QUANTIZE), ROW(rmsnorm, KOP_RMSNORM), ROW(silu_mul, KOP_ACT_MUL)};
