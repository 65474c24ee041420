/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations that make activations for a matmul, for vectors of any width: QUANTIZE, and RMSNORM and ACT_MUL
 * either to fp32 or straight into the activation form, which spares a step and a trip through memory. A task is a
 * token.
 *
 * The including file includes the header of its vectors (x86/vec_avx2.h, arm/neon.h) and defines
 *   largest_bits(x, n): the largest of the bits of |x[i]|, for whole vectors,
 *   quantize_block(x, inverse, to): a block as three planes of bytes, see xform_encode; returns sums of q in lanes,
 *   INSTRUCTIONS and NEEDS: the rows' last name, and the bits of caps.h without which they do not run. */
#include <math.h>

#include "base/half.h"
#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"
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
    return c->x.type == DT_F32 && y_is_known(&c->y) && (c->y.type == DT_F32 || size % c->y.group == 0);
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

/* y = x * factor * (offset + weight[at..at + n)) */
static void scale_columns(const kcall *c, const float *x, float factor, int64_t at, int64_t n, float *y) {
    const kvec *weight = &c->weight;
    const float ones = c->offset + 1; /* no weights */
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vfloat w = v_set1(ones);
        if (weight->data) w = v_add(v_set1(c->offset), load_stored(weight->data, weight->type, at + j));
        v_store(y + j, v_mul(v_mul(v_load(x + j), v_set1(factor)), w));
    }
    for (; j < n; j++)
        y[j] = x[j] * factor * (weight->data ? c->offset + float_at_f32(weight->data, weight->type, at + j) : ones);
}

static void rmsnorm_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t size = c->x.cols / c->n_parts;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        for (int64_t start = 0; start < c->x.cols; start += size) {
            const float *x = row_of(&c->x, t) + start;
            float factor = 1.0f / sqrtf(sum_of_squares(x, size) / (float)size + c->eps);
            if (c->y.type == DT_F32) {
                scale_columns(c, x, factor, 0, size, (float *)c->y.data + t * c->y.stride + start);
                continue;
            }
            for (int64_t j = 0; j < size; j += c->y.group) {
                float y[MOST_GROUP];
                scale_columns(c, x + j, factor, j, c->y.group, y);
                quantize_group(&c->y, t, start + j, y);
            }
        }
    }
}

/* ---- ACT_MUL ------------------------------------------------------------------------------------------------- */

static bool act_mul_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->z.type == DT_F32 && y_is_known(&c->y);
}

ALWAYS_INLINE vfloat act_vector(kact act, vfloat x) {
    switch (act) {
    case ACT_SILU:
        return v_div(x, v_add(v_set1(1), v_exp(v_neg(x))));
    case ACT_GELU: {
        /* (1 + tanh u) / 2 = 1 / (1 + e^-2u) */
        vfloat cubic = v_fma(v_mul(v_mul(x, x), x), v_set1(0.044715f), x);
        return v_div(x, v_add(v_set1(1), v_exp(v_mul(cubic, v_set1(-0x1.988454p+0f))))); /* -2 sqrt(2 / pi) */
    }
    case ACT_SIGMOID:
        return v_sigmoid(x);
    case ACT_SWIGLU_OAI: {
        vfloat a = v_min(v_set1(7), x);
        return v_div(a, v_add(v_set1(1), v_exp(v_mul(a, v_set1(-1.702f)))));
    }
    default:
        return x;
    }
}

ALWAYS_INLINE vfloat act_other(kact act, vfloat z) {
    if (act != ACT_SWIGLU_OAI) return z;
    return v_add(v_min(v_set1(7), v_max(v_set1(-7), z)), v_set1(1));
}

/* The last columns go through a vector too: an element's bits do not depend on where it stands. */
ALWAYS_INLINE void act_columns(kact act, const float *x, bool one_x, const float *z, int64_t n, float *y) {
    vfloat gate = act_vector(act, v_set1(x[0]));
    for (int64_t j = 0; j < n; j += LANES) {
        const int part = (int)min_i64(LANES, n - j);
        if (!one_x) gate = act_vector(act, v_load_part(x + j, part));
        v_store_part(y + j, part, v_mul(gate, act_other(act, v_load_part(z + j, part))));
    }
}

static void act_mul_columns(kact act, const float *x, bool one_x, const float *z, int64_t n, float *y) {
    switch (act) {
    case ACT_SILU:
        act_columns(ACT_SILU, x, one_x, z, n, y);
        break;
    case ACT_GELU:
        act_columns(ACT_GELU, x, one_x, z, n, y);
        break;
    case ACT_SIGMOID:
        act_columns(ACT_SIGMOID, x, one_x, z, n, y);
        break;
    case ACT_SWIGLU_OAI:
        act_columns(ACT_SWIGLU_OAI, x, one_x, z, n, y);
        break;
    default:
        act_columns(ACT_NONE, x, one_x, z, n, y);
    }
}

static void act_mul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const bool one_x = c->x.cols == 1 && c->y.cols > 1;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_of(&c->x, t), *z = row_of(&c->z, t);
        if (c->y.type == DT_F32) {
            act_mul_columns(c->act, x, one_x, z, c->y.cols, (float *)c->y.data + t * c->y.stride);
            continue;
        }
        for (int64_t j = 0; j < c->y.cols; j += c->y.group) {
            float y[MOST_GROUP];
            act_mul_columns(c->act, one_x ? x : x + j, one_x, z + j, c->y.group, y);
            quantize_group(&c->y, t, j, y);
        }
    }
}

#define ROW(what, operation)                                                                                           \
    {                                                                                                                  \
        .name = #what "." INSTRUCTIONS, .backend = "cpu", .op = operation, .rank = 20, .needs = NEEDS,                 \
        .takes = what##_takes, .tasks = tasks_of_tokens, .run = what##_run,                                            \
    }

static const krow rows[] = {ROW(quantize, KOP_QUANTIZE), ROW(rmsnorm, KOP_RMSNORM), ROW(act_mul, KOP_ACT_MUL)};
