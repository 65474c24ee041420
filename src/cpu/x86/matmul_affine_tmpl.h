/* SPDX-License-Identifier: Apache-2.0
 *
 * The body that the AVX2 and AVX-512 matmuls of affine weights share: y = x W^T for x in the activation form, W in the
 * tiles of affine_layout.h. A step multiplies TILES tiles by up to MAX_TOKENS tokens, whose sums stay in registers.
 *
 * For a group, y += (scale * x_scale) * dot(codes, q) + bias * x_sum, the dot product being an exact integer in two
 * parts, 256 * upper + lower. So an element's value depends only on the order of its groups, which is always the same,
 * and not on how many tokens are computed at once or on which thread: the results of a batch equal those of its rows
 * alone, bit for bit.
 *
 * The including file defines LANES, TILES, MAX_TOKENS, PREFETCH, vfloat, vint and
 *   vfloat load_scales(const uint8_t *p, dtype type), f_zero(), f_set1(float), f_mul, f_add, f_fma(a, b, c) = a b + c,
 *   f_from_int(vint), f_load_part / f_store_part(float *, int n, ..) for the first n lanes,
 *   group_dot(tiles, tokens, bits, w, x, n_blocks, upper[][], lower[][]): the dot products of one group; upper those
 *   of the high plane * 256 and the middle plane, at most 255 * 128 * (XFORM_MAX / 256 + 1) < 2^31.
 *
 * A single token's weights are prefetched into the second cache: the first one has too few misses under way at a time
 * for a core to draw all that memory gives. Every line must be asked for, scales too; one that is left out costs its
 * whole latency in each group. */
#include <string.h>

#include "cpu/x86/affine_layout.h"
#include "cpu/unroll.h"
#include "quant/xform.h"

enum { TOKEN_BLOCK = 96 }; /* tokens of a task */

/* What a run needs of a call, worked out once. */
typedef struct job {
    const kcall *call;
    const uint8_t *weights;
    size_t pair_bytes, group_bytes;
    int64_t n_groups, n, m;
    int n_blocks; /* of 32 columns, in a group */
    const int32_t *codes;
    int64_t codes_stride; /* in int32: a token's 3 bytes per column */
    const float *scales, *sums;
} job;

ALWAYS_INLINE vfloat add_group(vfloat sum, vint upper, vint lower, vfloat scale, vfloat bias, float x_scale,
                               float x_sum) {
    vfloat dot = f_fma(f_from_int(upper), f_set1(256), f_from_int(lower));
    return f_fma(bias, f_set1(x_sum), f_fma(dot, f_mul(scale, f_set1(x_scale)), sum));
}

/* Sums of `tiles` tiles and `tokens` tokens. */
ALWAYS_INLINE void sum_groups(const job *j, int64_t pair, int64_t token, int tiles, int tokens, int bits,
                              vfloat sums[TILES][MAX_TOKENS]) {
    const uint8_t *w[TILES];
    UNROLL for (int v = 0; v < tiles; v++) w[v] =
        j->weights + (size_t)pair * j->pair_bytes + (size_t)v * j->group_bytes;
    const int32_t *x[MAX_TOKENS];
    UNROLL for (int t = 0; t < tokens; t++) x[t] = j->codes + (token + t) * j->codes_stride;
    const float *x_scale = j->scales + token * j->n_groups, *x_sum = j->sums + token * j->n_groups;
    UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) sums[v][t] = f_zero();

    const dtype type = j->call->w->type;
    const size_t scale_bytes = LANES * (type == DT_F32 ? 4 : 2);
    for (int64_t g = 0; g < j->n_groups; g++) {
        vint upper[TILES][MAX_TOKENS], lower[TILES][MAX_TOKENS];
        const uint8_t *codes[TILES];
        UNROLL for (int v = 0; v < tiles; v++) {
            codes[v] = w[v] + 2 * scale_bytes;
            if (tokens == 1) _mm_prefetch((const char *)(w[v] + PREFETCH), _MM_HINT_T1);
        }
        group_dot(tiles, tokens, bits, codes, x, j->n_blocks, upper, lower);
        UNROLL for (int v = 0; v < tiles; v++) {
            vfloat scale = load_scales(w[v], type), bias = load_scales(w[v] + scale_bytes, type);
            UNROLL for (int t = 0; t < tokens; t++) {
                int64_t at = t * j->n_groups + g;
                sums[v][t] = add_group(sums[v][t], upper[v][t], lower[v][t], scale, bias, x_scale[at], x_sum[at]);
            }
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
        vfloat bias = f_zero();
        if (c->weight.data) {
            float values[LANES] = {0};
            for (int i = 0; i < n; i++) values[i] = (float)float_at(c->weight.data, c->weight.type, row + i);
            bias = f_load_part(values, LANES);
        }
        UNROLL for (int t = 0; t < tokens; t++) {
            vfloat y = sums[v][t];
            if (c->weight.data) y = f_add(y, bias);
            if (c->residual.data) {
                const float *from = (const float *)c->residual.data + (token + t) * c->residual.stride + row;
                y = f_add(y, f_load_part(from, n));
            }
            f_store_part((float *)c->y.data + (token + t) * c->y.stride + row, n, y);
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
    return affine_pairs(c->w, LANES) * token_blocks(c);
}

static bool affine_row_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    return w->mode == W_AFFINE && w->bits == row->param[0] && w->group_size == row->param[1] &&
           (int)w->type == row->param[2] && c->x.group == w->group_size && c->y.type == DT_F32 && w->packed &&
           (!c->residual.data || c->residual.type == DT_F32);
}

typedef void step_fn(const job *j, int64_t pair, int64_t token);

/* Tasks are blocks of tokens times pairs of tiles, the tiles of one block side by side. */
static void run_tasks(const kcall *c, int64_t begin, int64_t end, step_fn *const steps[MAX_TOKENS]) {
    const kweight *w = c->w;
    job j = {
        .call = c,
        .weights = w->packed,
        .pair_bytes = affine_pair_bytes(w, LANES),
        .group_bytes = affine_group_bytes(w, LANES),
        .n_groups = w->k / w->group_size,
        .n = w->n,
        .m = c->y.rows,
        .n_blocks = w->group_size / AFFINE_BLOCK,
        .codes = (const int32_t *)(const void *)xform_codes(&c->x, 0),
        .codes_stride = w->k * XFORM_PLANES / 4,
        .scales = xform_scales(&c->x),
        .sums = xform_sums(&c->x),
    };
    int64_t pairs = affine_pairs(w, LANES);
    for (int64_t task = begin; task < end; task++) {
        int64_t pair = task % pairs, token = task / pairs * TOKEN_BLOCK;
        int64_t last = min_i64(token + TOKEN_BLOCK, j.m);
        while (token < last) {
            int64_t tokens = min_i64(MAX_TOKENS, last - token);
            steps[tokens - 1](&j, pair, token);
            token += tokens;
        }
    }
}
