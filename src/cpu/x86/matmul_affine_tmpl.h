/* SPDX-License-Identifier: Apache-2.0
 *
 * The body that the AVX2 and AVX-512 matmuls of affine and mxfp4 weights share: y = x W^T for x in the activation form,
 * W in the tiles of affine_layout.h, of one matrix or of the experts that ROUTE chose. A step multiplies TILES tiles by
 * up to MAX_TOKENS tokens, whose sums stay in registers. `bits` is E2M1 for mxfp4.
 *
 * For a group, y += (scale * x_scale) * dot(codes, q) + bias * x_sum, the dot product being an exact integer in two
 * parts, 256 * upper + lower. So an element's value depends only on the order of its groups, which is always the same,
 * and not on how many tokens are computed at once or on which thread: the results of a batch equal those of its rows
 * alone, bit for bit.
 *
 * The including file includes the header of its vectors (vec_avx2.h, vec_avx512.h) and defines TILES, MAX_TOKENS,
 * PREFETCH,
 *   vfloat load_scales(const uint8_t *p, dtype type): scales or biases of a tile,
 *   group_dot(tiles, tokens, bits, w, x, n_blocks, upper[][], lower[][]): the dot products of one group; upper those
 *   of the high plane * 256 and the middle plane, at most 255 * 128 * (XFORM_MAX / 256 + 1) < 2^31.
 *
 * A single token's weights are prefetched into the second cache: the first one has too few misses under way at a time
 * for a core to draw all that memory gives. Every line must be asked for, scales too; one that is left out costs its
 * whole latency in each group. */
#include <string.h>

#include "cpu/experts.h"
#include "cpu/unroll.h"
#include "cpu/x86/affine_layout.h"
#include "quant/xform.h"

enum { TOKEN_BLOCK = 96 }; /* tokens of a task */

/* What a run needs of a call, worked out once. */
typedef struct job {
    const kcall *call;
    const uint8_t *weights;
    size_t pair_bytes, group_bytes, head_bytes;
    bool has_biases;
    int64_t n_groups, n;
    int n_blocks; /* of 32 columns, in a group */
    const int32_t *codes;
    int64_t codes_stride; /* in int32: a token's 3 bytes per column */
    const float *scales, *sums;
    /* Experts: the pairs that the current one multiplies, its number; pairs that share a row of x. */
    const int32_t *pairs;
    int64_t expert, sharing;
} job;

/* The row of x that the i-th token or pair reads, and where its outputs start. */
ALWAYS_INLINE int64_t x_row(const job *j, int64_t i) {
    return j->pairs ? j->pairs[i] / j->sharing : i;
}
ALWAYS_INLINE float *y_row(const job *j, int64_t i) {
    const kcall *c = j->call;
    float *y = c->y.data;
    if (!j->pairs) return y + i * c->y.stride;
    return y + j->pairs[i] / c->n_chosen * c->y.stride + j->pairs[i] % c->n_chosen * j->n;
}

ALWAYS_INLINE vfloat add_group(vfloat sum, vint upper, vint lower, vfloat scale, vfloat bias, float x_scale,
                               float x_sum) {
    vfloat dot = v_fma(v_from_int(upper), v_set1(256), v_from_int(lower));
    return v_fma(bias, v_set1(x_sum), v_fma(dot, v_mul(scale, v_set1(x_scale)), sum));
}

/* Sums of `tiles` tiles and `tokens` tokens. */
ALWAYS_INLINE void sum_groups(const job *j, int64_t pair, int64_t token, int tiles, int tokens, int bits,
                              vfloat sums[TILES][MAX_TOKENS]) {
    const uint8_t *w[TILES];
    UNROLL for (int v = 0; v < tiles; v++) w[v] =
        j->weights + (size_t)pair * j->pair_bytes + (size_t)v * j->group_bytes;
    const int32_t *x[MAX_TOKENS];
    int64_t at[MAX_TOKENS]; /* of scales and sums */
    UNROLL for (int t = 0; t < tokens; t++) {
        int64_t row = x_row(j, token + t);
        x[t] = j->codes + row * j->codes_stride;
        at[t] = row * j->n_groups;
    }
    UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) sums[v][t] = v_set1(0);

    const dtype type = bits == E2M1 ? DT_U8 : j->call->w->type;
    const size_t scale_bytes = LANES * (type == DT_F32 ? 4 : type == DT_U8 ? 1 : 2);
    for (int64_t g = 0; g < j->n_groups; g++) {
        vint upper[TILES][MAX_TOKENS], lower[TILES][MAX_TOKENS];
        const uint8_t *codes[TILES];
        UNROLL for (int v = 0; v < tiles; v++) {
            codes[v] = w[v] + j->head_bytes;
            if (tokens == 1) _mm_prefetch((const char *)(w[v] + PREFETCH), _MM_HINT_T1);
        }
        group_dot(tiles, tokens, bits, codes, x, j->n_blocks, upper, lower);
        UNROLL for (int v = 0; v < tiles; v++) {
            vfloat scale = load_scales(w[v], type), bias;
            if (bits == E2M1)
                scale = v_mul(scale, v_set1(0.5f)), bias = v_mul(scale, v_set1(-E2M1_OFFSET));
            else
                bias = j->has_biases ? load_scales(w[v] + scale_bytes, type) : v_set1(0);
            UNROLL for (int t = 0; t < tokens; t++) sums[v][t] =
                add_group(sums[v][t], upper[v][t], lower[v][t], scale, bias, j->scales[at[t] + g], j->sums[at[t] + g]);
            w[v] += TILES * j->group_bytes;
        }
        UNROLL for (int t = 0; t < tokens; t++) x[t] += j->n_blocks * X_BLOCK;
    }
}

ALWAYS_INLINE void store_sums(const job *j, int64_t pair, int64_t token, int tiles, int tokens,
                              vfloat sums[TILES][MAX_TOKENS]) {
    const kcall *c = j->call;
    UNROLL for (int v = 0; v < tiles; v++) {
        int64_t row = (pair * TILES + v) * LANES;
        int n = (int)min_i64(LANES, j->n - row);
        if (n <= 0) break;
        vfloat bias = v_set1(0);
        if (c->weight.data) {
            float values[LANES] = {0};
            for (int i = 0; i < n; i++)
                values[i] = (float)float_at(c->weight.data, c->weight.type, j->expert * j->n + row + i);
            bias = v_load_part(values, LANES);
        }
        UNROLL for (int t = 0; t < tokens; t++) {
            vfloat y = sums[v][t];
            if (c->weight.data) y = v_add(y, bias);
            if (c->residual.data) {
                const float *from = (const float *)c->residual.data + (token + t) * c->residual.stride + row;
                y = v_add(y, v_load_part(from, n));
            }
            v_store_part(y_row(j, token + t) + row, n, y);
        }
    }
}

ALWAYS_INLINE void step(const job *j, int64_t pair, int64_t token, int tokens, int bits) {
    vfloat sums[TILES][MAX_TOKENS];
    sum_groups(j, pair, token, TILES, tokens, bits, sums);
    store_sums(j, pair, token, TILES, tokens, sums);
}

static int64_t token_blocks(const kcall *c) {
    return max_i64(div_up(c->y.rows, TOKEN_BLOCK), 1);
}

static int64_t affine_tasks(const krow *row, const kcall *c) {
    (void)row;
    return affine_pairs(c->w, LANES) * (c->w->experts ? experts_units(c) : token_blocks(c));
}

static size_t affine_scratch(const krow *row, const kcall *c) {
    (void)row;
    return c->w->experts ? experts_scratch(c) : 0;
}

static bool affine_row_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    const wmode mode = row->param[0] == E2M1 ? W_MXFP4 : W_AFFINE;
    return w->mode == mode && w->bits == (mode == W_MXFP4 ? 4 : row->param[0]) && w->group_size == row->param[1] &&
           (int)w->type == row->param[2] && c->x.group == w->group_size && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

typedef void step_fn(const job *j, int64_t pair, int64_t token);

/* One pair of tiles times tokens [token, last). */
static void run_steps(const job *j, int64_t pair, int64_t token, int64_t last, step_fn *const steps[MAX_TOKENS]) {
    while (token < last) {
        int64_t tokens = min_i64(MAX_TOKENS, last - token);
        steps[tokens - 1](j, pair, token);
        token += tokens;
    }
}

static void run_experts(job *j, int64_t begin, int64_t end, int32_t *pairs, step_fn *const steps[MAX_TOKENS]) {
    const kcall *c = j->call;
    const int64_t tile_pairs = affine_pairs(c->w, LANES);
    int64_t unit = -1, n = 0;
    j->pairs = pairs;
    j->sharing = c->x.cols == c->w->k ? c->n_chosen : 1;
    for (int64_t task = begin; task < end; task++) {
        if (task / tile_pairs != unit) {
            unit = task / tile_pairs;
            n = experts_list(c, unit, pairs, &j->expert);
            j->weights = c->w->experts[j->expert].packed;
        }
        run_steps(j, task % tile_pairs, 0, n, steps);
    }
}

/* Tasks are blocks of tokens, or units of experts, times pairs of tiles, the tiles of one block side by side. */
static void run_tasks(const kcall *c, int64_t begin, int64_t end, void *scratch, step_fn *const steps[MAX_TOKENS]) {
    const kweight *w = c->w, *one = w->experts ? w->experts : w;
    job j = {
        .call = c,
        .weights = w->packed,
        .pair_bytes = affine_pair_bytes(one, LANES),
        .group_bytes = affine_group_bytes(one, LANES),
        .head_bytes = affine_head_bytes(one, LANES),
        .has_biases = one->biases != NULL,
        .n_groups = w->k / w->group_size,
        .n = w->n,
        .n_blocks = w->group_size / AFFINE_BLOCK,
        .codes = (const int32_t *)(const void *)xform_codes(&c->x, 0),
        .codes_stride = w->k * XFORM_PLANES / 4,
        .scales = xform_scales(&c->x),
        .sums = xform_sums(&c->x),
    };
    if (w->experts) {
        run_experts(&j, begin, end, scratch, steps);
        return;
    }
    int64_t pairs = affine_pairs(w, LANES);
    for (int64_t task = begin; task < end; task++) {
        int64_t token = task / pairs * TOKEN_BLOCK;
        run_steps(&j, task % pairs, token, min_i64(token + TOKEN_BLOCK, c->y.rows), steps);
    }
}

#define AFFINE_ROW(its_op, prefix, its_name, bits, group, scales, its_rank, its_needs, its_layout)                     \
    {                                                                                                                  \
        .name = prefix its_name, .backend = "cpu", .op = its_op, .rank = its_rank, .needs = its_needs,                 \
        .layout = its_layout, .x_type = DT_XI8X3, .param = {bits, group, scales}, .takes = affine_row_takes,           \
        .tasks = affine_tasks, .scratch = affine_scratch, .run = run_##bits,                                           \
    }
/* A row for one matrix, and one for experts. */
#define AFFINE_ROWS(...)                                                                                               \
    AFFINE_ROW(KOP_MATMUL, "matmul.", __VA_ARGS__), AFFINE_ROW(KOP_MATMUL_EXPERTS, "matmul_experts.", __VA_ARGS__)
