/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL of plain weights with NEON, as they are stored: fp32 products of fp32 activations. A task is 8 outputs; an
 * output's weights are converted once for up to 4 tokens. */
#include "base/num.h"
#include "cpu/arm/neon.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"

enum { TASK_OUTPUTS = 8, TOKENS = 4, CHAINS = 4 };

static bool matmul_takes(const krow *row, const kcall *c) {
    return c->w->mode == W_PLAIN && c->w->type == (dtype)row->param[0] && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

static int64_t matmul_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, TASK_OUTPUTS);
}

/* Output i of `tokens` tokens: CHAINS vectors of sums each, folded in one order; then what is left of the columns. */
ALWAYS_INLINE void multiply(const kcall *c, int64_t i, int64_t token, int tokens, dtype type) {
    const int64_t k = c->w->k, at = i * k;
    const float *x[TOKENS];
    float32x4_t sums[TOKENS][CHAINS];
    UNROLL for (int t = 0; t < tokens; t++) {
        x[t] = (const float *)c->x.data + (token + t) * c->x.stride;
        UNROLL for (int v = 0; v < CHAINS; v++) sums[t][v] = vdupq_n_f32(0);
    }
    int64_t j = 0;
    for (; j + 4 * CHAINS <= k; j += 4 * CHAINS) {
        UNROLL for (int v = 0; v < CHAINS; v++) {
            float32x4_t w = load_stored(c->w->codes, type, at + j + 4 * v);
            UNROLL for (int t = 0; t < tokens; t++) sums[t][v] = vfmaq_f32(sums[t][v], w, vld1q_f32(x[t] + j + 4 * v));
        }
    }
    UNROLL for (int t = 0; t < tokens; t++) {
        float y = vaddvq_f32(vaddq_f32(vaddq_f32(sums[t][0], sums[t][1]), vaddq_f32(sums[t][2], sums[t][3])));
        for (int64_t rest = j; rest < k; rest++) y += x[t][rest] * (float)float_at(c->w->codes, type, at + rest);
        if (c->weight.data) y += (float)float_at(c->weight.data, c->weight.type, i);
        if (c->residual.data) y += ((const float *)c->residual.data)[(token + t) * c->residual.stride + i];
        ((float *)c->y.data)[(token + t) * c->y.stride + i] = y;
    }
}

ALWAYS_INLINE void multiply_all(const kcall *c, int64_t i, dtype type) {
    int64_t t = 0;
    for (; t + TOKENS <= c->x.rows; t += TOKENS) multiply(c, i, t, TOKENS, type);
    for (; t < c->x.rows; t++) multiply(c, i, t, 1, type);
}

static void matmul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    for (int64_t i = begin * TASK_OUTPUTS; i < min_i64(end * TASK_OUTPUTS, c->w->n); i++) {
        if (row->param[0] == DT_F32)
            multiply_all(c, i, DT_F32);
        else if (row->param[0] == DT_F16)
            multiply_all(c, i, DT_F16);
        else
            multiply_all(c, i, DT_BF16);
    }
}

#define MATMUL_ROW(its_name, its_type)                                                                                 \
    {                                                                                                                  \
        .name = "matmul.plain." its_name ".neon", .backend = "cpu", .op = KOP_MATMUL, .rank = 20, .needs = CPU_NEON,   \
        .x_type = DT_F32, .param = {its_type}, .takes = matmul_takes, .tasks = matmul_tasks, .run = matmul_run,        \
    }

static const krow rows[] = {MATMUL_ROW("f32", DT_F32), MATMUL_ROW("f16", DT_F16), MATMUL_ROW("bf16", DT_BF16)};
const krow_table matmul_plain_neon_rows = KROW_TABLE(rows);
