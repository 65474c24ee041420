/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL with NEON of weights as they are stored: plain, nvfp4 and mxfp8, of one matrix or of the experts that ROUTE
 * chose, with fp32 products of fp32 activations. A task is 8 outputs; an output's weights are converted once for up to
 * 4 tokens. */
#include "base/num.h"
#include "cpu/arm/neon.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/experts.h"
#include "cpu/small_floats.h"
#include "cpu/unroll.h"

enum { TASK_OUTPUTS = 8, TOKENS = 4, CHAINS = 4, AT_ONCE = 4 * CHAINS };

/* What weights are made of: a type of plain weights, or */
enum { NVFP4 = 100, MXFP8 };

typedef struct job {
    const kcall *call;
    const kweight *w; /* the matrix, or the current expert's */
    /* Experts: the pairs that the current one multiplies, its number. */
    const int32_t *pairs;
    int64_t expert;
} job;

/* What the i-th token or pair reads, and where its outputs start. */
static const float *x_row(const job *j, int64_t i) {
    const kmat *x = &j->call->x;
    if (!j->pairs) return (const float *)x->data + i * x->stride;
    const int64_t t = j->pairs[i] / j->call->n_chosen, slot = j->pairs[i] % j->call->n_chosen;
    return (const float *)x->data + t * x->stride + (x->cols == j->w->k ? 0 : slot * j->w->k);
}
static float *y_row(const job *j, int64_t i) {
    const kmat *y = &j->call->y;
    if (!j->pairs) return (float *)y->data + i * y->stride;
    const int64_t t = j->pairs[i] / j->call->n_chosen, slot = j->pairs[i] % j->call->n_chosen;
    return (float *)y->data + t * y->stride + slot * j->w->n;
}

/* AT_ONCE weights of output i from column `at` on, which is a multiple of that. Of nvfp4 they are a group. Twice an
 * e2m1 number is a small integer; the bits of e4m3 are those of a 2^8 times smaller fp16. */
ALWAYS_INLINE void weights_at(const kweight *w, int64_t i, int64_t at, int type, float32x4_t out[CHAINS]) {
    const uint8_t *codes = (const uint8_t *)w->codes + (i * w->k + at) * w->bits / 8, *scales = w->scales;
    if (type == NVFP4) {
        const int8x16_t twice = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
        uint8x8_t both = vld1_u8(codes), low = vand_u8(both, vdup_n_u8(15)), high = vshr_n_u8(both, 4);
        int8x16_t values = vqtbl1q_s8(twice, vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high)));
        int16x8_t wide[2] = {vmovl_s8(vget_low_s8(values)), vmovl_high_s8(values)};
        float scale = 0.5f * e4m3_to_f32(scales[(i * w->k + at) / 16]);
        UNROLL for (int v = 0; v < CHAINS; v++) {
            int32x4_t q = v % 2 ? vmovl_high_s16(wide[v / 2]) : vmovl_s16(vget_low_s16(wide[v / 2]));
            out[v] = vmulq_n_f32(vcvtq_f32_s32(q), scale);
        }
    } else if (type == MXFP8) {
        int8x16_t values = vreinterpretq_s8_u8(vld1q_u8(codes));
        float scale = e8m0_to_f32(scales[(i * w->k + at) / 32]);
        UNROLL for (int v = 0; v < CHAINS; v++) {
            int16x8_t wide = v < 2 ? vmovl_s8(vget_low_s8(values)) : vmovl_high_s8(values);
            uint16x8_t bits = vandq_u16(vreinterpretq_u16_s16(vshlq_n_s16(wide, 7)), vdupq_n_u16(0xbf80));
            float16x4_t half = vreinterpret_f16_u16(v % 2 ? vget_high_u16(bits) : vget_low_u16(bits));
            out[v] = vmulq_n_f32(vmulq_n_f32(vcvt_f32_f16(half), 256), scale);
        }
    } else {
        UNROLL for (int v = 0; v < CHAINS; v++) out[v] = load_stored(w->codes, (dtype)type, i * w->k + at + 4 * v);
    }
}

/* Output i of `tokens` tokens: CHAINS vectors of sums each, folded in one order; then what is left of the columns. */
ALWAYS_INLINE void multiply(const job *j, int64_t i, int64_t token, int tokens, int type) {
    const kcall *c = j->call;
    const int64_t k = c->w->k;
    const float *x[TOKENS];
    float32x4_t sums[TOKENS][CHAINS], w[CHAINS];
    UNROLL for (int t = 0; t < tokens; t++) {
        x[t] = x_row(j, token + t);
        UNROLL for (int v = 0; v < CHAINS; v++) sums[t][v] = vdupq_n_f32(0);
    }
    int64_t at = 0;
    for (; at + AT_ONCE <= k; at += AT_ONCE) {
        weights_at(j->w, i, at, type, w);
        UNROLL for (int v = 0; v < CHAINS; v++) UNROLL for (int t = 0; t < tokens; t++) sums[t][v] =
            vfmaq_f32(sums[t][v], w[v], vld1q_f32(x[t] + at + 4 * v));
    }
    UNROLL for (int t = 0; t < tokens; t++) {
        float y = vaddvq_f32(vaddq_f32(vaddq_f32(sums[t][0], sums[t][1]), vaddq_f32(sums[t][2], sums[t][3])));
        for (int64_t rest = at; type < NVFP4 && rest < k; rest++)
            y += x[t][rest] * float_at_f32(j->w->codes, (dtype)type, i * k + rest);
        if (c->weight.data) y += float_at_f32(c->weight.data, c->weight.type, j->expert * c->w->n + i);
        if (c->residual.data) y += ((const float *)c->residual.data)[(token + t) * c->residual.stride + i];
        y_row(j, token + t)[i] = y;
    }
}

/* Output i of tokens or pairs [0, n). */
ALWAYS_INLINE void multiply_all(const job *j, int64_t i, int64_t n, int type) {
    int64_t t = 0;
    for (; t + TOKENS <= n; t += TOKENS) multiply(j, i, t, TOKENS, type);
    for (; t < n; t++) multiply(j, i, t, 1, type);
}

static void multiply_outputs(const job *j, int64_t task, int64_t n, int type) {
    const int64_t first = task * TASK_OUTPUTS, last = min_i64(first + TASK_OUTPUTS, j->w->n);
    for (int64_t i = first; i < last; i++) {
        if (type == DT_F32)
            multiply_all(j, i, n, DT_F32);
        else if (type == DT_F16)
            multiply_all(j, i, n, DT_F16);
        else if (type == DT_BF16)
            multiply_all(j, i, n, DT_BF16);
        else if (type == NVFP4)
            multiply_all(j, i, n, NVFP4);
        else
            multiply_all(j, i, n, MXFP8);
    }
}

/* ---- The rows ------------------------------------------------------------------------------------------------ */

static bool matmul_takes(const krow *row, const kcall *c) {
    const wmode mode = row->param[0] == NVFP4 ? W_NVFP4 : row->param[0] == MXFP8 ? W_MXFP8 : W_PLAIN;
    return c->w->mode == mode && (mode != W_PLAIN || (int)c->w->type == row->param[0]) && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

static int64_t matmul_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, TASK_OUTPUTS) * (c->w->experts ? experts_units(c) : 1);
}

static size_t matmul_scratch(const krow *row, const kcall *c) {
    (void)row;
    return c->w->experts ? experts_scratch(c) : 0;
}

static void matmul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    const int64_t pieces = div_up(c->w->n, TASK_OUTPUTS);
    job j = {.call = c, .w = c->w};
    int64_t unit = -1, n = c->x.rows;
    if (c->w->experts) j.pairs = scratch;
    for (int64_t task = begin; task < end; task++) {
        if (c->w->experts && task / pieces != unit) {
            unit = task / pieces;
            n = experts_list(c, unit, scratch, &j.expert);
            j.w = &c->w->experts[j.expert];
        }
        multiply_outputs(&j, task % pieces, n, row->param[0]);
    }
}

#define MATMUL_ROW(its_op, prefix, its_name, its_type)                                                                 \
    {                                                                                                                  \
        .name = prefix its_name ".neon", .backend = "cpu", .op = its_op, .rank = 20, .needs = CPU_NEON,                \
        .x_type = DT_F32, .param = {its_type}, .takes = matmul_takes, .tasks = matmul_tasks,                           \
        .scratch = matmul_scratch, .run = matmul_run,                                                                  \
    }
/* A row for one matrix, and one for experts. */
#define MATMUL_ROWS(...)                                                                                               \
    MATMUL_ROW(KOP_MATMUL, "matmul.", __VA_ARGS__), MATMUL_ROW(KOP_MATMUL_EXPERTS, "matmul_experts.", __VA_ARGS__)

static const krow rows[] = {MATMUL_ROWS("plain.f32", DT_F32), MATMUL_ROWS("plain.f16", DT_F16),
                            MATMUL_ROWS("plain.bf16", DT_BF16), MATMUL_ROWS("nvfp4", NVFP4),
                            MATMUL_ROWS("mxfp8", MXFP8)};
const krow_table matmul_plain_neon_rows = KROW_TABLE(rows);
