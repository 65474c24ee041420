/* SPDX-License-Identifier: Apache-2.0
 *
 * The body that the AVX2 and AVX-512 matmuls of plain weights share: y = x W^T with x in fp32 and W as its file stores
 * it, never copied. A step is ROWS rows of W times up to MAX_TOKENS tokens. Every product sum has one vector of fp32
 * sums over the columns, added up at the end, whatever the number of tokens: results do not depend on the batch.
 *
 * The including file defines LANES, ROWS, MAX_TOKENS, vfloat and f_zero(), f_fma(a, b, c) = a b + c, f_sum(a),
 * f_load(const float *), f_load_first(const float *, int n), load_weights(const void *, dtype),
 * load_first_weights(const void *, dtype, int n): the first n lanes, zeros in the others. */
#include "base/half.h"
#include "base/num.h"
#include "cpu/unroll.h"
#include "kernels/kernel.h"

enum { TASK_ROWS = 8 * ROWS, TOKEN_BLOCK = 16 * MAX_TOKENS };

typedef struct job {
    const kcall *call;
    const char *weights;
    size_t row_bytes;
    const float *x;
    int64_t n, k, x_stride;
} job;

ALWAYS_INLINE void store_row(const job *j, int64_t row, int64_t token, int tokens, const float *sums) {
    const kcall *c = j->call;
    float bias = c->weight.data ? (float)float_at(c->weight.data, c->weight.type, row) : 0.0f;
    for (int64_t t = 0; t < tokens; t++) {
        float y = sums[t];
        if (c->weight.data) y += bias;
        if (c->residual.data) y += ((const float *)c->residual.data)[(token + t) * c->residual.stride + row];
        ((float *)c->y.data)[(token + t) * c->y.stride + row] = y;
    }
}

ALWAYS_INLINE void step(const job *j, int64_t row, int64_t token, int tokens, dtype type) {
    const size_t size = type == DT_F32 ? 4 : 2;
    const char *w[ROWS];
    const float *x = j->x + token * j->x_stride;
    vfloat sums[ROWS][MAX_TOKENS], weights[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) { /* rows behind the last one are not stored */
        w[r] = j->weights + (size_t)min_i64(row + r, j->n - 1) * j->row_bytes;
        UNROLL for (int t = 0; t < tokens; t++) sums[r][t] = f_zero();
    }
    int64_t i = 0;
    for (; i + LANES <= j->k; i += LANES) {
        UNROLL for (int r = 0; r < ROWS; r++) weights[r] = load_weights(w[r] + (size_t)i * size, type);
        UNROLL for (int t = 0; t < tokens; t++) {
            vfloat a = f_load(x + t * j->x_stride + i);
            UNROLL for (int r = 0; r < ROWS; r++) sums[r][t] = f_fma(a, weights[r], sums[r][t]);
        }
    }
    if (i < j->k) {
        int rest = (int)(j->k - i);
        UNROLL for (int r = 0; r < ROWS; r++) weights[r] = load_first_weights(w[r] + (size_t)i * size, type, rest);
        UNROLL for (int t = 0; t < tokens; t++) {
            vfloat a = f_load_first(x + t * j->x_stride + i, rest);
            UNROLL for (int r = 0; r < ROWS; r++) sums[r][t] = f_fma(a, weights[r], sums[r][t]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        float totals[MAX_TOKENS];
        UNROLL for (int t = 0; t < tokens; t++) totals[t] = f_sum(sums[r][t]);
        if (row + r < j->n) store_row(j, row + r, token, tokens, totals);
    }
}

static int64_t token_blocks(const kcall *c) {
    return max_i64(div_up(c->y.rows, TOKEN_BLOCK), 1);
}

static int64_t plain_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, TASK_ROWS) * token_blocks(c);
}

static bool plain_takes(const krow *row, const kcall *c) {
    return c->w->mode == W_PLAIN && (int)c->w->type == row->param[0] && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

typedef void step_fn(const job *j, int64_t row, int64_t token);

/* A task is TASK_ROWS rows times a block of tokens. A few tokens are multiplied by all of its rows before the next few
 * come, so that they stay in the first cache. */
static void run_tasks(const kcall *c, int64_t begin, int64_t end, step_fn *const steps[MAX_TOKENS]) {
    job j = {
        .call = c,
        .weights = c->w->codes,
        .row_bytes = (size_t)c->w->k * dtype_size(c->w->type),
        .x = c->x.data,
        .n = c->w->n,
        .k = c->w->k,
        .x_stride = c->x.stride,
    };
    int64_t blocks = token_blocks(c);
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task / blocks * TASK_ROWS, token = task % blocks * TOKEN_BLOCK;
        int64_t last = min_i64(first + TASK_ROWS, j.n), last_token = min_i64(token + TOKEN_BLOCK, c->y.rows);
        while (token < last_token) {
            int64_t tokens = min_i64(MAX_TOKENS, last_token - token);
            for (int64_t row = first; row < last; row += ROWS) steps[tokens - 1](&j, row, token);
            token += tokens;
        }
    }
}
