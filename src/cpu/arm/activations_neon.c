/* SPDX-License-Identifier: Apache-2.0
 *
 * NEON rows of the operations that make activations for a matmul: QUANTIZE, and RMSNORM and SILU_MUL to fp32 or
 * straight into the activation form, which spares a step. A task is a token. */
#include <math.h>

#include "base/num.h"
#include "cpu/arm/neon.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "quant/xform.h"

enum { MOST_GROUP = 128 };

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

/* 16 columns of a block as three planes of bytes, see xform_encode. Returns the sums of q in 4 lanes. */
static int32x4_t quantize_half(const float *x, float inverse, int8_t *to) {
    uint8x16x4_t bytes;
    int32x4_t total = vdupq_n_s32(0);
    for (int i = 0; i < 4; i++) {
        int32x4_t q = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse));
        total = vaddq_s32(total, q);
        bytes.val[i] = vreinterpretq_u8_s32(vaddq_s32(q, vdupq_n_s32(0x8080)));
    }
    const uint8x16_t every_4th = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60};
    for (int plane = 0; plane < XFORM_PLANES; plane++) {
        uint8x16_t p = vqtbl4q_u8(bytes, vaddq_u8(every_4th, vdupq_n_u8((uint8_t)(2 - plane))));
        if (plane > 0) p = veorq_u8(p, vdupq_n_u8(0x80));
        vst1q_s8(to + plane * XFORM_BLOCK, vreinterpretq_s8_u8(p));
    }
    return total;
}

/* As xform_encode, bit for bit; what is not finite is left to it. */
static void quantize_group(const kmat *y, int64_t row, int64_t g, const float *x) {
    uint32x4_t most = vdupq_n_u32(0);
    for (int64_t j = 0; j < y->group; j += 4)
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + j))));
    uint32_t largest = vmaxvq_u32(most);
    if (largest >= 0x7f800000u) {
        xform_encode(y, row, g, x);
        return;
    }
    float scale = xform_scale(largest), inverse = xform_inverse(scale);
    int8_t *codes = xform_codes(y, row) + g * y->group * XFORM_PLANES;
    int32x4_t total = vdupq_n_s32(0);
    for (int64_t j = 0; j < y->group; j += XFORM_BLOCK, codes += XFORM_BLOCK * XFORM_PLANES) {
        total = vaddq_s32(total, quantize_half(x + j, inverse, codes));
        total = vaddq_s32(total, quantize_half(x + j + XFORM_BLOCK / 2, inverse, codes + XFORM_BLOCK / 2));
    }
    int64_t at = row * (y->cols / y->group) + g;
    xform_scales(y)[at] = scale;
    xform_sums(y)[at] = scale * (float)vaddvq_s32(total);
}

static bool quantize_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_XI8X3 && y_is_known(&c->y);
}

static void quantize_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        for (int64_t g = 0; g < c->y.cols / c->y.group; g++)
            quantize_group(&c->y, t, g, row_of(&c->x, t) + g * c->y.group);
}

/* ---- RMSNORM ------------------------------------------------------------------------------------------------- */

static bool rmsnorm_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && y_is_known(&c->y) &&
           (c->y.type == DT_F32 || c->x.cols / c->n_parts % c->y.group == 0);
}

static float sum_of_squares(const float *x, int64_t n) {
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    int64_t j = 0;
    for (; j + 16 <= n; j += 16) {
        for (int i = 0; i < 4; i++) {
            float32x4_t a = vld1q_f32(x + j + 4 * i);
            sums[i] = vfmaq_f32(sums[i], a, a);
        }
    }
    float rest = 0;
    for (; j < n; j++) rest += x[j] * x[j];
    return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3]))) + rest;
}

/* y = x * factor * weight[at..at + n) */
static void scale_columns(const float *x, float factor, const kvec *weight, int64_t at, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
        float32x4_t a = vmulq_n_f32(vld1q_f32(x + j), factor);
        vst1q_f32(y + j, weight->data ? vmulq_f32(a, load_stored(weight->data, weight->type, at + j)) : a);
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
                quantize_group(&c->y, t, (start + j) / c->y.group, y);
            }
        }
    }
}

/* ---- SILU_MUL ------------------------------------------------------------------------------------------------ */

static bool silu_mul_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->z.type == DT_F32 && y_is_known(&c->y);
}

static float32x4_t silu_mul_4(float32x4_t x, float32x4_t z) {
    float32x4_t below = vaddq_f32(vdupq_n_f32(1), exp_4(vnegq_f32(x)));
    return vmulq_f32(vdivq_f32(x, below), z);
}

/* The last 1 to 3 columns go through vectors too: an element's bits do not depend on where it stands. */
static void silu_mul_columns(const float *x, const float *z, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) vst1q_f32(y + j, silu_mul_4(vld1q_f32(x + j), vld1q_f32(z + j)));
    float parts[3][4] = {{0}};
    for (int64_t i = j; i < n; i++) parts[0][i - j] = x[i], parts[1][i - j] = z[i];
    vst1q_f32(parts[2], silu_mul_4(vld1q_f32(parts[0]), vld1q_f32(parts[1])));
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
            quantize_group(&c->y, t, j / c->y.group, y);
        }
    }
}

#define ROW(what, operation)                                                                                           \
    {                                                                                                                  \
        .name = #what ".neon", .backend = "cpu", .op = operation, .rank = 20, .needs = CPU_NEON,                       \
        .takes = what##_takes, .tasks = tasks_of_tokens, .run = what##_run,                                            \
    }

static const krow rows[] = {ROW(quantize, KOP_QUANTIZE), ROW(rmsnorm, KOP_RMSNORM), ROW(silu_mul, KOP_SILU_MUL)};
const krow_table activations_neon_rows = KROW_TABLE(rows);
