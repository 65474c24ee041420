/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of the NEON matmuls of affine and mxfp4 weights: y = x W^T, x in the activation form, W in the tiles of
 * affine_layout.h, of one matrix or of the experts that ROUTE chose. `bits` is E2M1 for mxfp4. A step multiplies TILES
 * tiles of 4 outputs by up to TOKENS tokens, whose sums stay in registers.
 *
 * For a group, y += (scale * x_scale) * dot(codes, q) + bias * x_sum, the dot product being an exact integer in two
 * parts. An element's value depends on the order of its groups only, so a token gives the same bits in every batch.
 *
 * The including file defines dot_step(sum, codes, x, step): each lane of sum plus the dot product of its 4 signed bytes
 * of codes with the 4 bytes of lane `step` of x; the macros INSTRUCTIONS, ITS_RANK, ITS_NEEDS of its rows; and, where
 * there is an instruction for it, dot_pairs(sum, a, b): sum[i][j] + the dot product of half i of a and half j of b. */
#include <string.h>

#include "cpu/arm/affine_layout.h"
#include "cpu/arm/neon.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/experts.h"
#include "cpu/small_floats.h"
#include "cpu/unroll.h"
#include "quant/xform.h"

enum {
    TILES = 2,
    TOKENS = 4,
};

typedef struct job {
    const kcall *call;
    const uint8_t *weights;
    size_t tile_bytes, group_bytes, head_bytes;
    bool has_biases;
    int64_t n_tiles, n_groups;
    int n_blocks; /* of 32 columns, in a group */
    const int8_t *codes;
    const float *scales, *sums;
    const int32_t *totals; /* 8 bits: the sums of 256 * high + middle and of low of each token and group */
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
    return y + j->pairs[i] / c->n_chosen * c->y.stride + j->pairs[i] % c->n_chosen * c->w->n;
}

/* A block's codes as 8 vectors of a step each. 8-bit codes are less 128, so that they are signed bytes. */
ALWAYS_INLINE void unpack_block(const uint8_t *p, int bits, int8x16_t codes[BLOCK_STEPS]) {
    const int8x16_t e2m1 = {E2M1_CODES};
    uint8x16_t c[BLOCK_STEPS];
    UNROLL for (int i = 0; i < BLOCK_STEPS; i++) {
        if (bits == 8)
            c[i] = veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(0x80));
        else if (bits >= 4)
            c[i] = i % 2 ? vshrq_n_u8(vld1q_u8(p + i / 2 * 16), 4) : vandq_u8(vld1q_u8(p + i / 2 * 16), vdupq_n_u8(15));
        else
            c[i] = vandq_u8(vshlq_u8(vld1q_u8(p + i / 4 * 16), vdupq_n_s8((int8_t)(-2 * (i % 4)))), vdupq_n_u8(3));
    }
    const uint8_t *upper = p + (bits >= 4 ? 64 : 32);
    UNROLL for (int i = 0; i < BLOCK_STEPS; i++) {
        if (bits == 6) {
            uint8x16_t two = vshlq_u8(vld1q_u8(upper + i / 4 * 16), vdupq_n_s8((int8_t)(-2 * (i % 4))));
            c[i] = vorrq_u8(c[i], vshlq_n_u8(vandq_u8(two, vdupq_n_u8(3)), 4));
        } else if (bits == 3 || bits == 5) {
            uint8x16_t one = vandq_u8(vshlq_u8(vld1q_u8(upper), vdupq_n_s8((int8_t)-i)), vdupq_n_u8(1));
            c[i] = vorrq_u8(c[i], bits == 3 ? vshlq_n_u8(one, 2) : vshlq_n_u8(one, 4));
        }
        codes[i] = vreinterpretq_s8_u8(c[i]);
        if (bits == E2M1) codes[i] = vqtbl1q_s8(e2m1, c[i]);
    }
}

/* The exact dot products of a group with 256 * high + middle, at most 255 * 128 * (XFORM_MAX / 256 + 1) < 2^31, and
 * with low. */
ALWAYS_INLINE void group_dot(const job *j, const uint8_t *const w[TILES], const int8_t *const x[TOKENS], int tokens,
                             int bits, int32x4_t upper[TILES][TOKENS], int32x4_t lower[TILES][TOKENS]) {
    const int block_bytes = 16 * (bits == E2M1 ? 4 : bits);
    int32x4_t planes[XFORM_PLANES][TILES][TOKENS];
    UNROLL for (int p = 0; p < XFORM_PLANES; p++) UNROLL for (int v = 0; v < TILES; v++)
        UNROLL for (int t = 0; t < tokens; t++) planes[p][v][t] = vdupq_n_s32(0);
    for (int b = 0; b < j->n_blocks; b++) {
        int8x16_t codes[TILES][BLOCK_STEPS];
        UNROLL for (int v = 0; v < TILES; v++) unpack_block(w[v] + b * block_bytes, bits, codes[v]);
        UNROLL for (int i = 0; i < BLOCK_STEPS; i += 4) UNROLL for (int t = 0; t < tokens; t++)
            UNROLL for (int p = 0; p < XFORM_PLANES; p++) {
            int8x16_t q = vld1q_s8(x[t] + (b * XFORM_PLANES + p) * XFORM_BLOCK + 4 * i); /* of 4 steps */
            UNROLL for (int v = 0; v < TILES; v++) {
                planes[p][v][t] = dot_step(planes[p][v][t], codes[v][i], q, 0);
                planes[p][v][t] = dot_step(planes[p][v][t], codes[v][i + 1], q, 1);
                planes[p][v][t] = dot_step(planes[p][v][t], codes[v][i + 2], q, 2);
                planes[p][v][t] = dot_step(planes[p][v][t], codes[v][i + 3], q, 3);
            }
        }
    }
    UNROLL for (int v = 0; v < TILES; v++) UNROLL for (int t = 0; t < tokens; t++) {
        upper[v][t] = vaddq_s32(vshlq_n_s32(planes[0][v][t], 8), planes[1][v][t]);
        lower[v][t] = planes[2][v][t];
    }
}

#ifdef dot_pairs
/* The same integers for pairs of tokens: an instruction multiplies 8 columns of 2 outputs with those of 2 tokens. Of
 * the sums [output, token] of outputs 0 and 1, and 2 and 3, each token's 4 are picked at the end. */
ALWAYS_INLINE void group_dot_pairs(const job *j, const uint8_t *const w[TILES], const int8_t *const x[TOKENS], int bits,
                                   int32x4_t upper[TILES][TOKENS], int32x4_t lower[TILES][TOKENS]) {
    const int block_bytes = 16 * (bits == E2M1 ? 4 : bits);
    int32x4_t sums[XFORM_PLANES][TILES][TOKENS / 2][2];
    UNROLL for (int p = 0; p < XFORM_PLANES; p++) UNROLL for (int v = 0; v < TILES; v++)
        UNROLL for (int t = 0; t < TOKENS / 2; t++) sums[p][v][t][0] = sums[p][v][t][1] = vdupq_n_s32(0);
    for (int b = 0; b < j->n_blocks; b++) {
        int8x16_t codes[TILES][BLOCK_STEPS];
        UNROLL for (int v = 0; v < TILES; v++) unpack_block(w[v] + b * block_bytes, bits, codes[v]);
        UNROLL for (int i = 0; i < BLOCK_STEPS; i += 2) {
            int8x16_t low[TILES], high[TILES];
            UNROLL for (int v = 0; v < TILES; v++) {
                int32x4_t first = vreinterpretq_s32_s8(codes[v][i]), second = vreinterpretq_s32_s8(codes[v][i + 1]);
                low[v] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
                high[v] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
            }
            UNROLL for (int t = 0; t < TOKENS / 2; t++) UNROLL for (int p = 0; p < XFORM_PLANES; p++) {
                int64_t at = (b * XFORM_PLANES + p) * XFORM_BLOCK + 4 * i;
                int8x16_t q = vcombine_s8(vld1_s8(x[2 * t] + at), vld1_s8(x[2 * t + 1] + at));
                UNROLL for (int v = 0; v < TILES; v++) {
                    sums[p][v][t][0] = dot_pairs(sums[p][v][t][0], low[v], q);
                    sums[p][v][t][1] = dot_pairs(sums[p][v][t][1], high[v], q);
                }
            }
        }
    }
    UNROLL for (int v = 0; v < TILES; v++) UNROLL for (int t = 0; t < TOKENS / 2; t++) {
        int32x4_t low = vaddq_s32(vshlq_n_s32(sums[0][v][t][0], 8), sums[1][v][t][0]);
        int32x4_t high = vaddq_s32(vshlq_n_s32(sums[0][v][t][1], 8), sums[1][v][t][1]);
        upper[v][2 * t] = vuzp1q_s32(low, high);
        upper[v][2 * t + 1] = vuzp2q_s32(low, high);
        lower[v][2 * t] = vuzp1q_s32(sums[2][v][t][0], sums[2][v][t][1]);
        lower[v][2 * t + 1] = vuzp2q_s32(sums[2][v][t][0], sums[2][v][t][1]);
    }
}
#endif

/* 2^(s - 127) / 2; NaN for s = 255. */
static inline float32x4_t half_scales_e8m0(const uint8_t *p) {
    const float scales[TILE_ROWS] = {e8m0_to_f32(p[0]), e8m0_to_f32(p[1]), e8m0_to_f32(p[2]), e8m0_to_f32(p[3])};
    return vmulq_n_f32(vld1q_f32(scales), 0.5f);
}

ALWAYS_INLINE void store_sums(const job *j, int64_t output, int64_t token, float32x4_t sums) {
    const kcall *c = j->call;
    float values[TILE_ROWS], *y = y_row(j, token);
    vst1q_f32(values, sums);
    for (int r = 0; r < TILE_ROWS && output + r < c->w->n; r++) {
        float value = values[r];
        if (c->weight.data) value += float_at_f32(c->weight.data, c->weight.type, j->expert * c->w->n + output + r);
        if (c->residual.data) value += ((const float *)c->residual.data)[token * c->residual.stride + output + r];
        y[output + r] = value;
    }
}

ALWAYS_INLINE void multiply(const job *j, int64_t tile, int64_t token, int tokens, int bits) {
    const kcall *c = j->call;
    const uint8_t *w[TILES], *codes[TILES];
    const int8_t *x[TOKENS];
    float32x4_t sums[TILES][TOKENS];
    int64_t x_at[TOKENS]; /* of scales, sums and totals */
    const bool fp4 = bits == E2M1;
    /* Behind an odd last tile stands itself; its sums are not stored twice. */
    UNROLL for (int v = 0; v < TILES; v++) w[v] =
        j->weights + (size_t)min_i64(tile + v, j->n_tiles - 1) * j->tile_bytes;
    UNROLL for (int t = 0; t < tokens; t++) {
        const int64_t row = x_row(j, token + t);
        x[t] = j->codes + row * c->w->k * XFORM_PLANES;
        x_at[t] = row * j->n_groups;
    }
    UNROLL for (int v = 0; v < TILES; v++) UNROLL for (int t = 0; t < tokens; t++) sums[v][t] = vdupq_n_f32(0);
    for (int64_t g = 0; g < j->n_groups; g++) {
        int32x4_t upper[TILES][TOKENS], lower[TILES][TOKENS];
        UNROLL for (int v = 0; v < TILES; v++) codes[v] = w[v] + j->head_bytes;
#ifdef dot_pairs
        if (tokens == TOKENS)
            group_dot_pairs(j, codes, x, bits, upper, lower);
        else
            group_dot(j, codes, x, tokens, bits, upper, lower);
#else
        group_dot(j, codes, x, tokens, bits, upper, lower);
#endif
        UNROLL for (int v = 0; v < TILES; v++) {
            float32x4_t scale = fp4 ? half_scales_e8m0(w[v]) : load_stored(w[v], c->w->type, 0);
            float32x4_t bias = vdupq_n_f32(0);
            if (!fp4 && j->has_biases) bias = load_stored(w[v], c->w->type, TILE_ROWS);
            UNROLL for (int t = 0; t < tokens; t++) {
                int64_t at = x_at[t] + g;
                if (bits == 8) {
                    upper[v][t] = vaddq_s32(upper[v][t], vdupq_n_s32(128 * j->totals[2 * at]));
                    lower[v][t] = vaddq_s32(lower[v][t], vdupq_n_s32(128 * j->totals[2 * at + 1]));
                }
                float32x4_t dot = vfmaq_n_f32(vcvtq_f32_s32(lower[v][t]), vcvtq_f32_s32(upper[v][t]), 256);
                float32x4_t both = vmulq_n_f32(scale, j->scales[at]);
                sums[v][t] = vfmaq_f32(sums[v][t], dot, both);
                if (!fp4) sums[v][t] = vfmaq_n_f32(sums[v][t], bias, j->sums[at]);
            }
            w[v] += j->group_bytes;
        }
        UNROLL for (int t = 0; t < tokens; t++) x[t] += c->w->group_size * XFORM_PLANES;
    }
    UNROLL for (int v = 0; v < TILES; v++) for (int t = 0; t < tokens && tile + v < j->n_tiles; t++)
        store_sums(j, (tile + v) * TILE_ROWS, token + t, sums[v][t]);
}

/* Two tiles times tokens or pairs [0, n). */
ALWAYS_INLINE void multiply_all(const job *j, int64_t tile, int64_t n, int bits) {
    int64_t t = 0;
    for (; t + TOKENS <= n; t += TOKENS) multiply(j, tile, t, TOKENS, bits);
    for (; t < n; t++) multiply(j, tile, t, 1, bits);
}

static void multiply_tiles(const job *j, int64_t tile, int64_t n, int bits) {
    switch (bits) {
    case 2:
        multiply_all(j, tile, n, 2);
        break;
    case 3:
        multiply_all(j, tile, n, 3);
        break;
    case 4:
        multiply_all(j, tile, n, 4);
        break;
    case 5:
        multiply_all(j, tile, n, 5);
        break;
    case 6:
        multiply_all(j, tile, n, 6);
        break;
    case 8:
        multiply_all(j, tile, n, 8);
        break;
    default:
        multiply_all(j, tile, n, E2M1);
    }
}

/* ---- The rows ------------------------------------------------------------------------------------------------ */

static bool matmul_takes(const krow *row, const kcall *c) {
    const wmode mode = row->param[0] == E2M1 ? W_MXFP4 : W_AFFINE;
    return c->w->mode == mode && (mode == W_MXFP4 || c->w->bits == row->param[0]) && c->x.group == c->w->group_size &&
           c->y.type == DT_F32 && (!c->residual.data || c->residual.type == DT_F32);
}

static int64_t matmul_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(affine_tiles(c->w), TILES) * (c->w->experts ? experts_units(c) : 1);
}

/* Totals, then the list of pairs. */
static size_t totals_bytes(const krow *row, const kcall *c) {
    size_t n = (size_t)(c->x.rows * (c->x.cols / c->w->group_size));
    return row->param[0] == 8 ? 2 * n * sizeof(int32_t) : 0;
}

static size_t matmul_scratch(const krow *row, const kcall *c) {
    return totals_bytes(row, c) + (c->w->experts ? experts_scratch(c) : 0);
}

static void add_up(const kcall *c, int32_t *totals) {
    const int8_t *q = xform_codes(&c->x, 0);
    int64_t n_groups = c->x.rows * (c->x.cols / c->x.group), n_blocks = c->x.group / XFORM_BLOCK;
    for (int64_t g = 0; g < n_groups; g++) {
        int32_t planes[XFORM_PLANES] = {0};
        for (int64_t b = 0; b < n_blocks; b++)
            for (int p = 0; p < XFORM_PLANES; p++, q += XFORM_BLOCK)
                planes[p] += vaddlvq_s8(vld1q_s8(q)) + vaddlvq_s8(vld1q_s8(q + XFORM_BLOCK / 2));
        totals[2 * g] = 256 * planes[0] + planes[1];
        totals[2 * g + 1] = planes[2];
    }
}

static void run_experts(job *j, int64_t begin, int64_t end, int32_t *pairs, int bits) {
    const kcall *c = j->call;
    const int64_t steps = div_up(j->n_tiles, TILES);
    int64_t unit = -1, n = 0;
    j->pairs = pairs;
    j->sharing = c->x.cols == c->w->k ? c->n_chosen : 1;
    for (int64_t task = begin; task < end; task++) {
        if (task / steps != unit) {
            unit = task / steps;
            n = experts_list(c, unit, pairs, &j->expert);
            j->weights = c->w->experts[j->expert].packed;
        }
        multiply_tiles(j, task % steps * TILES, n, bits);
    }
}

static void matmul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    const kweight *w = c->w, *one = w->experts ? w->experts : w;
    job j = {.call = c, .weights = w->packed, .n_tiles = affine_tiles(w), .n_groups = w->k / w->group_size};
    j.tile_bytes = affine_tile_bytes(one);
    j.group_bytes = affine_group_bytes(one);
    j.head_bytes = affine_head_bytes(one);
    j.has_biases = one->biases != NULL;
    j.n_blocks = w->group_size / BLOCK_COLUMNS;
    j.codes = xform_codes(&c->x, 0);
    j.scales = xform_scales(&c->x);
    j.sums = xform_sums(&c->x);
    j.totals = scratch;
    if (row->param[0] == 8) add_up(c, scratch);
    if (w->experts) {
        run_experts(&j, begin, end, (int32_t *)(void *)((char *)scratch + totals_bytes(row, c)), row->param[0]);
        return;
    }
    for (int64_t task = begin; task < end; task++) multiply_tiles(&j, task * TILES, c->x.rows, row->param[0]);
}

#define MATMUL_ROW(its_op, prefix, its_name, its_bits)                                                                 \
    {                                                                                                                  \
        .name = prefix its_name "." INSTRUCTIONS, .backend = "cpu", .op = its_op, .rank = ITS_RANK,                    \
        .needs = ITS_NEEDS, .layout = &affine_r4, .x_type = DT_XI8X3, .param = {its_bits}, .takes = matmul_takes,      \
        .tasks = matmul_tasks, .scratch = matmul_scratch, .run = matmul_run,                                           \
    }
/* A row for one matrix, and one for experts. */
#define MATMUL_ROWS(...)                                                                                               \
    MATMUL_ROW(KOP_MATMUL, "matmul.", __VA_ARGS__), MATMUL_ROW(KOP_MATMUL_EXPERTS, "matmul_experts.", __VA_ARGS__)

static const krow rows[] = {MATMUL_ROWS("affine2", 2), MATMUL_ROWS("affine3", 3), MATMUL_ROWS("affine4", 4),
                            MATMUL_ROWS("affine5", 5), MATMUL_ROWS("affine6", 6), MATMUL_ROWS("affine8", 8),
                            MATMUL_ROWS("mxfp4", E2M1)};
