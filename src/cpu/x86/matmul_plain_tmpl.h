/* SPDX-License-Identifier: Apache-2.0
 *
 * The body that the AVX2 and AVX-512 matmuls of weights as their file stores them share, with x in fp32: plain
 * weights, and nvfp4 and mxfp8, whose codes become floats in registers. Of one matrix, or of the experts that ROUTE
 * chose. A step is ROWS rows of W times up to MAX_TOKENS tokens. Every product sum has one vector of fp32 sums over the
 * columns, added up at the end, whatever the number of tokens: results do not depend on the batch.
 *
 * The including file includes the header of its vectors (vec_avx2.h, vec_avx512.h) and defines ROWS, MAX_TOKENS,
 *   load_first_weights(const void *, dtype, int n): the first n plain weights, zeros in the other lanes,
 *   load_e2m1(const uint8_t *), load_e4m3(const uint8_t *): LANES numbers from packed codes. */
#include "base/half.h"
#include "base/num.h"
#include "cpu/experts.h"
#include "cpu/small_floats.h"
#include "cpu/unroll.h"
#include "kernels/kernel.h"

enum { TASK_ROWS = 8 * ROWS, TOKEN_BLOCK = 16 * MAX_TOKENS };

/* What weights are made of: a type of plain weights, or */
enum { NVFP4 = 100, MXFP8 };

typedef struct job {
    const kcall *call;
    const char *weights;
    const uint8_t *scales;
    size_t row_bytes, scales_of_row;
    int64_t n, k;
    /* Experts: the pairs that the current one multiplies, its number; pairs that share a row of x. */
    const int32_t *pairs;
    int64_t expert;
    bool shared;
} job;

/* What the i-th token or pair reads, and where its outputs start. */
ALWAYS_INLINE const float *x_row(const job *j, int64_t i) {
    const kmat *x = &j->call->x;
    if (!j->pairs) return (const float *)x->data + i * x->stride;
    const int64_t t = j->pairs[i] / j->call->n_chosen, slot = j->pairs[i] % j->call->n_chosen;
    return (const float *)x->data + t * x->stride + (j->shared ? 0 : slot * j->k);
}
ALWAYS_INLINE float *y_row(const job *j, int64_t i) {
    const kmat *y = &j->call->y;
    if (!j->pairs) return (float *)y->data + i * y->stride;
    const int64_t t = j->pairs[i] / j->call->n_chosen, slot = j->pairs[i] % j->call->n_chosen;
    return (float *)y->data + t * y->stride + slot * j->n;
}

ALWAYS_INLINE void store_row(const job *j, int64_t row, int64_t token, int tokens, const float *sums) {
    const kcall *c = j->call;
    float bias = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, j->expert * j->n + row) : 0.0f;
    for (int64_t t = 0; t < tokens; t++) {
        float y = sums[t];
        if (c->weight.data) y += bias;
        if (c->residual.data) y += ((const float *)c->residual.data)[(token + t) * c->residual.stride + row];
        y_row(j, token + t)[row] = y;
    }
}

/* Bytes of i columns of a row. */
ALWAYS_INLINE int64_t row_offset(int64_t i, int type) {
    return type == NVFP4 ? i / 2 : type == MXFP8 ? i : type == DT_F32 ? 4 * i : 2 * i;
}

/* Columns that share a scale: of these a step takes whole groups, of plain weights a vector at a time. */
ALWAYS_INLINE int64_t step_columns(int type) {
    return type == NVFP4 ? 16 : type == MXFP8 ? 32 : LANES;
}

ALWAYS_INLINE vfloat scale_at(const uint8_t *scales, int64_t i, int type) {
    return v_set1(type == NVFP4 ? e4m3_to_f32(scales[i / 16]) : e8m0_to_f32(scales[i / 32]));
}

/* LANES weights of a row from column i on, but for their scale. */
ALWAYS_INLINE vfloat weights_at(const char *row, int64_t i, int type) {
    const char *from = row + row_offset(i, type);
    if (type == NVFP4) return load_e2m1((const uint8_t *)from);
    if (type == MXFP8) return load_e4m3((const uint8_t *)from);
    return load_stored(from, (dtype)type, 0);
}

ALWAYS_INLINE void step(const job *j, int64_t row, int64_t token, int tokens, int type) {
    const char *w[ROWS];
    const uint8_t *scales[ROWS];
    const float *x[MAX_TOKENS];
    vfloat sums[ROWS][MAX_TOKENS], weights[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) { /* rows behind the last one are not stored */
        const size_t from = (size_t)min_i64(row + r, j->n - 1);
        w[r] = j->weights + from * j->row_bytes;
        scales[r] = j->scales ? j->scales + from * j->scales_of_row : NULL;
        UNROLL for (int t = 0; t < tokens; t++) sums[r][t] = v_set1(0);
    }
    UNROLL for (int t = 0; t < tokens; t++) x[t] = x_row(j, token + t);
    int64_t i = 0;
    for (; i + step_columns(type) <= j->k; i += step_columns(type)) {
        /* A single token's weights come from memory: those of the next step are asked for, into the second cache. */
        const int64_t at = row_offset(i, type);
        if (tokens == 1 && at % 64 == 0)
            UNROLL for (int r = 0; r < ROWS; r++) _mm_prefetch(w[r] + ROWS * j->row_bytes + at, _MM_HINT_T1);
        vfloat scale[ROWS];
        if (type >= NVFP4) UNROLL for (int r = 0; r < ROWS; r++) scale[r] = scale_at(scales[r], i, type);
        UNROLL for (int64_t v = i; v < i + step_columns(type); v += LANES) {
            UNROLL for (int r = 0; r < ROWS; r++) {
                weights[r] = weights_at(w[r], v, type);
                if (type >= NVFP4) weights[r] = v_mul(weights[r], scale[r]);
            }
            UNROLL for (int t = 0; t < tokens; t++) {
                vfloat a = v_load(x[t] + v);
                UNROLL for (int r = 0; r < ROWS; r++) sums[r][t] = v_fma(a, weights[r], sums[r][t]);
            }
        }
    }
    if (type < NVFP4 && i < j->k) {
        const int rest = (int)(j->k - i);
        const int64_t at = row_offset(i, type);
        UNROLL for (int r = 0; r < ROWS; r++) weights[r] = load_first_weights(w[r] + at, (dtype)type, rest);
        UNROLL for (int t = 0; t < tokens; t++) {
            vfloat a = v_load_part(x[t] + i, rest);
            UNROLL for (int r = 0; r < ROWS; r++) sums[r][t] = v_fma(a, weights[r], sums[r][t]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        float totals[MAX_TOKENS];
        UNROLL for (int t = 0; t < tokens; t++) totals[t] = v_sum(sums[r][t]);
        if (row + r < j->n) store_row(j, row + r, token, tokens, totals);
    }
}

static int64_t token_blocks(const kcall *c) {
    return max_i64(div_up(c->y.rows, TOKEN_BLOCK), 1);
}

static int64_t plain_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, TASK_ROWS) * (c->w->experts ? experts_units(c) : token_blocks(c));
}

static size_t plain_scratch(const krow *row, const kcall *c) {
    (void)row;
    return c->w->experts ? experts_scratch(c) : 0;
}

static bool plain_takes(const krow *row, const kcall *c) {
    const wmode mode = row->param[0] == NVFP4 ? W_NVFP4 : row->param[0] == MXFP8 ? W_MXFP8 : W_PLAIN;
    return c->w->mode == mode && (mode != W_PLAIN || (int)c->w->type == row->param[0]) && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

typedef void step_fn(const job *j, int64_t row, int64_t token);

/* TASK_ROWS rows times tokens [token, last). A few tokens are multiplied by all of the rows before the next few come,
 * so that they stay in the first cache. */
static void run_steps(const job *j, int64_t first, int64_t token, int64_t last, step_fn *const steps[MAX_TOKENS]) {
    const int64_t end = min_i64(first + TASK_ROWS, j->n);
    while (token < last) {
        int64_t tokens = min_i64(MAX_TOKENS, last - token);
        for (int64_t row = first; row < end; row += ROWS) steps[tokens - 1](j, row, token);
        token += tokens;
    }
}

static void use_matrix(job *j, const kweight *w) {
    j->weights = w->codes;
    j->scales = w->scales;
}

static void run_experts(job *j, int64_t begin, int64_t end, int32_t *pairs, step_fn *const steps[MAX_TOKENS]) {
    const kcall *c = j->call;
    const int64_t blocks = div_up(j->n, TASK_ROWS);
    int64_t unit = -1, n = 0;
    j->pairs = pairs;
    j->shared = c->x.cols == j->k;
    for (int64_t task = begin; task < end; task++) {
        if (task / blocks != unit) {
            unit = task / blocks;
            n = experts_list(c, unit, pairs, &j->expert);
            use_matrix(j, &c->w->experts[j->expert]);
        }
        run_steps(j, task % blocks * TASK_ROWS, 0, n, steps);
    }
}

/* A task is TASK_ROWS rows times a block of tokens, or a unit of experts. */
static void run_tasks(const kcall *c, int64_t begin, int64_t end, void *scratch, step_fn *const steps[MAX_TOKENS]) {
    const kweight *w = c->w;
    const bool plain = w->mode == W_PLAIN;
    job j = {
        .call = c,
        .row_bytes = plain ? (size_t)w->k * dtype_size(w->type) : (size_t)(w->k * w->bits / 8),
        .scales_of_row = plain ? 0 : (size_t)(w->k / w->group_size),
        .n = w->n,
        .k = w->k,
    };
    if (w->experts) {
        run_experts(&j, begin, end, scratch, steps);
        return;
    }
    use_matrix(&j, w);
    int64_t blocks = token_blocks(c);
    for (int64_t task = begin; task < end; task++) {
        int64_t token = task % blocks * TOKEN_BLOCK;
        run_steps(&j, task / blocks * TASK_ROWS, token, min_i64(token + TOKEN_BLOCK, c->y.rows), steps);
    }
}

#define PLAIN_ROW(its_op, prefix, of, its_name, its_rank, its_needs)                                                   \
    {                                                                                                                  \
        .name = prefix its_name, .backend = "cpu", .op = its_op, .rank = its_rank, .needs = its_needs,                 \
        .x_type = DT_F32, .param = {of}, .chains = LANES, .takes = plain_takes, .tasks = plain_tasks,                  \
        .scratch = plain_scratch, .run = run_##of,                                                                     \
    }
/* A row for one matrix, and one for experts. */
#define PLAIN_ROWS(...)                                                                                                \
    PLAIN_ROW(KOP_MATMUL, "matmul.", __VA_ARGS__), PLAIN_ROW(KOP_MATMUL_EXPERTS, "matmul_experts.", __VA_ARGS__)
