/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units. The weight's codes, which bf16 holds exactly, are operand A: 16 rows
 * a tile, so that a code costs about one instruction; x is operand B in three bf16 parts that add up to it, so nothing
 * is rounded but the fp32 sums. After each group its sum is scaled. A lane reads group_size / 4 codes of a group as
 * they lie in memory; shared memory has x in the same order (qmv_stage.h). */
#ifndef NB_GPU_KERNELS_QMV_MMA_H
#define NB_GPU_KERNELS_QMV_MMA_H

#include "mma_nv.h"
#include "qmv_stage.h"

#if MMA_NV

/* Constant at compilation. */
typedef struct mma_form {
    dq_mode mode;
    u32 bits, group_size;
} mma_form;

/* A step: 1024 / bits columns of a tile, of which a lane has 8 words of row g and of row g + 8. */
enum { STEP_WORDS = 8 };
INLINE u32 step_columns(mma_form f) {
    return 1024 / f.bits;
}
INLINE u32 step_groups(mma_form f) {
    return 1024 / f.bits / f.group_size;
}

typedef struct mma_step {
    u32 codes[2][STEP_WORDS];
    u32 scales[2][2], biases[2][2]; /* of groups t and t + 4, as stored */
} mma_step;

/* What a warp reads: rows g and g + 8 of its tile. */
typedef struct mma_rows {
    const GLOBAL u8 *codes[2], *scales[2], *biases[2];
    u32 n_groups, scale_type;
} mma_rows;

INLINE u32 load_scale(const GLOBAL u8 *p, mma_form f, u32 type, u32 i) {
    if (f.mode != DQ_AFFINE) return p[i];
    return type == G_F32 ? ((const GLOBAL u32 *)p)[i] : ((const GLOBAL u16 *)p)[i];
}
INLINE float scale_value(u32 raw, mma_form f, u32 type) {
    if (f.mode != DQ_AFFINE) return dq_e8m0(raw);
    return type == G_F32 ? as_f32(raw) : type == G_F16 ? f16_to_f32((u16)raw) : as_f32(raw << 16);
}

INLINE void load_step(mma_step *s, const mma_rows *rows, mma_form f, u32 step) {
    const u32 t = lane_id() % 4, first = step * step_groups(f), words = f.group_size * f.bits / 128;
    UNROLL for (u32 r = 0; r < 2; r++) {
        UNROLL for (u32 i = 0; i < step_groups(f); i++) {
            if (first + i < rows->n_groups)
                dq_load_words(s->codes[r] + i * words, rows->codes[r] + ((first + i) * 4 + t) * words * 4, words, true);
            else
                UNROLL for (u32 j = 0; j < words; j++) s->codes[r][i * words + j] = 0;
        }
        UNROLL for (u32 i = 0; i < (step_groups(f) + 3) / 4; i++) {
            const u32 group = first + t + 4 * i;
            const bool there = t + 4 * i < step_groups(f) && group < rows->n_groups;
            s->scales[r][i] = there ? load_scale(rows->scales[r], f, rows->scale_type, group) : 0;
            if (f.mode == DQ_AFFINE)
                s->biases[r][i] =
                    there && rows->biases[0] ? load_scale(rows->biases[r], f, rows->scale_type, group) : 0;
        }
    }
}

/* Two codes of unit u as bf16: see qmv_first_of_pair. */
INLINE u32 mma_pair(const u32 *codes, mma_form f, u32 unit, u32 pair) {
    u32 two;
    if (f.bits == 8) {
        two = codes[2 * unit + pair / 2] >> 8 * (pair % 2) & 0x00ff00ff;
    } else if (f.bits == 4) {
        two = codes[unit] >> 4 * pair & 0x000f000f;
    } else {
        const u32 half = codes[unit / 2] >> 16 * (unit % 2) & 0xffff;
        two = (half | half << 8) >> 2 * pair & 0x00030003;
    }
    if (f.mode == DQ_AFFINE) return dq_integers(two, f.bits, true);
    return f.mode == DQ_MXFP8 ? dq_e4m3(two) : dq_e2m1(two);
}

/* sum = the products of one group, whose units of x begin at `group` of the staged ones. The three parts of x are
 * summed apart, the smallest ones added first. */
INLINE void group_product(float sum[4], const u32 *codes0, const u32 *codes1, const qmv_x *x, mma_form f, u32 group) {
    const u32 token = lane_id() / 4, t = lane_id() % 4, each = f.group_size / 32;
    float c[3][4] = {{0}};
    UNROLL for (u32 u = 0; u < each; u++) {
        u32x4 b[3];
        UNROLL for (u32 i = 0; i < 3; i++) {
            b[i] = (u32x4){0, 0, 0, 0};
            if (token < x->tokens) b[i] = x->units[qmv_unit_at(x, group, i, u, token, t, each)];
        }
        UNROLL for (u32 j = 0; j < 2; j++) {
            const u32 a[4] = {mma_pair(codes0, f, u, 2 * j), mma_pair(codes1, f, u, 2 * j),
                              mma_pair(codes0, f, u, 2 * j + 1), mma_pair(codes1, f, u, 2 * j + 1)};
            UNROLL for (u32 i = 0; i < 3; i++) mma_nv(c[i], a, b[i][2 * j], b[i][2 * j + 1]);
        }
    }
    UNROLL for (u32 i = 0; i < 4; i++) sum[i] = (c[2][i] + c[1][i]) + c[0][i];
}

/* The same for a single token, whose three parts are three columns of one operand: the same sums, in a third of the
 * products. They are in the lanes t = 0. */
INLINE void group_product_one(float sum[4], const u32 *codes0, const u32 *codes1, const qmv_x *x, mma_form f,
                              u32 group) {
    const u32 part = lane_id() / 4, t = lane_id() % 4, each = f.group_size / 32;
    float c[4] = {0, 0, 0, 0};
    UNROLL for (u32 u = 0; u < each; u++) {
        u32x4 b = {0, 0, 0, 0};
        if (part < 3) b = x->units[qmv_unit_at(x, group, part, u, 0, t, each)];
        UNROLL for (u32 j = 0; j < 2; j++) {
            const u32 a[4] = {mma_pair(codes0, f, u, 2 * j), mma_pair(codes1, f, u, 2 * j),
                              mma_pair(codes0, f, u, 2 * j + 1), mma_pair(codes1, f, u, 2 * j + 1)};
            mma_nv(c, a, b[2 * j], b[2 * j + 1]);
        }
    }
    UNROLL for (u32 r = 0; r < 2; r++) {
        sum[2 * r] = (quad_from(c[2 * r], 1) + c[2 * r + 1]) + c[2 * r];
        sum[2 * r + 1] = 0;
    }
}

/* total: as mma_nv leaves sums. */
INLINE void step_product(float total[4], const mma_step *s, const mma_rows *rows, const qmv_x *x, mma_form f, u32 first,
                         bool one) {
    const u32 t = lane_id() % 4, words = f.group_size * f.bits / 128;
    float scales[2][2], biases[2][2];
    UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 i = 0; i < (step_groups(f) + 3) / 4; i++) {
        scales[r][i] = scale_value(s->scales[r][i], f, rows->scale_type);
        if (f.mode == DQ_AFFINE) biases[r][i] = scale_value(s->biases[r][i], f, rows->scale_type);
    }
    UNROLL for (u32 i = 0; i < step_groups(f); i++) {
        float sum[4];
        const u32 *codes0 = s->codes[0] + i * words, *codes1 = s->codes[1] + i * words;
        if (one)
            group_product_one(sum, codes0, codes1, x, f, first + i);
        else
            group_product(sum, codes0, codes1, x, f, first + i);
        UNROLL for (u32 r = 0; r < 2; r++) {
            const float scale = quad_from(scales[r][i / 4], i % 4);
            UNROLL for (u32 j = 0; j < 2; j++) total[2 * r + j] += scale * sum[2 * r + j];
            if (f.mode != DQ_AFFINE) continue;
            const float bias = quad_from(biases[r][i / 4], i % 4);
            UNROLL for (u32 j = 0; j < 2; j++) if (2 * t + j < x->tokens) total[2 * r + j] +=
                bias * x->sums[(first + i) * x->tokens + 2 * t + j];
        }
    }
}

/* The rows of a warp's tile. */
INLINE mma_rows rows_of(const qmv_part *p, mma_form f, u32 block, u32 tile) {
    mma_rows rows = {.n_groups = p->k / f.group_size, .scale_type = QMV_TYPE(p->types, QMV_SCALE)};
    const u32 size = f.mode != DQ_AFFINE ? 1 : rows.scale_type == G_F32 ? 4 : 2;
    UNROLL for (u32 r = 0; r < 2; r++) {
        const u32 row = qmv_row(p, block, tile, lane_id() / 4 + 8 * r);
        rows.codes[r] = p->codes + (u64)row * (p->k / 8 * f.bits);
        rows.scales[r] = p->scales + (u64)row * rows.n_groups * size;
        rows.biases[r] = p->biases ? p->biases + (u64)row * rows.n_groups * size : 0;
    }
    return rows;
}

/* Where in shared memory what lies; bytes are counted in gpu/qmv.c. Sums have two places, in turns: while some warps
 * still read those of a block's last tiles, others may have those of the next. */
typedef struct mma_places {
    qmv_x x;
    SHARED float *sums, *squares;
} mma_places;
INLINE mma_places mma_places_of(const qmv_part *p, u32 tokens) {
    mma_places at;
    at.sums = (SHARED float *)shared_memory();
    at.squares = at.sums + 2 * QMV_SUMS;
    at.x.units = (SHARED u32x4 *)(at.squares + QMV_WARPS * QMV_COLUMNS);
    at.x.sums = (SHARED float *)(at.x.units + p->chunk * 6 / 16 * tokens);
    at.x.tokens = tokens;
    return at;
}

/* The tiles of block `first`, first + p->stride, ... of a product, for the tokens [token, token + tokens). x is staged
 * once where it fits; the next tiles' first codes are on their way while the last ones are finished. */
INLINE void qmv_tiles(const qmv_part *p, mma_form f, u32 first, u32 token, u32 tokens, i64 bias_at, u32 y_at,
                      bool one) {
    const u32 tile = warp_id() % p->row_tiles, splits = QMV_WARPS / p->row_tiles, start = warp_id() / p->row_tiles;
    const mma_places at = mma_places_of(p, tokens);
    const u32 columns = step_columns(f), n_steps = (p->k + columns - 1) / columns;
    const u32 each = p->act ? p->row_tiles / 2 : p->row_tiles;
    mma_rows rows = rows_of(p, f, first, tile);
    mma_step s, next;
    u32 turn = 0;
    float one_factor = 1; /* of a single token's norm */
    if (start < n_steps) load_step(&s, &rows, f, start);
    if (p->normed) qmv_squares(p, at.squares, token, tokens);
    ROLLED for (u32 block = first; block < p->blocks; block += p->stride) {
        SHARED float *sums = at.sums + turn * QMV_SUMS;
        float total[4] = {0, 0, 0, 0};
        u32 step = start;
        ROLLED for (u32 from = 0; from < p->k; from += p->chunk) {
            const u32 rest = (p->k - from + QMV_CHUNK_STEP - 1) / QMV_CHUNK_STEP * QMV_CHUNK_STEP,
                      n = rest < p->chunk ? rest : p->chunk;
            if (block == first || p->k > p->chunk) {
                if (from > 0 || block != first) barrier();
                qmv_stage(p, &at.x, f.bits, f.group_size, token, from, n);
                barrier();
                if (tokens == 1 && p->normed) one_factor = qmv_norm_factor(p, at.squares, 0);
            }
            ROLLED for (; step < n_steps && step * columns < from + n; step += splits) {
                if (step + splits < n_steps) load_step(&next, &rows, f, step + splits);
                step_product(total, &s, &rows, &at.x, f, (step * columns - from) / f.group_size, one);
                s = next;
            }
        }
        UNROLL for (u32 i = 0; i < 4; i++)
            sums[(warp_id() * QMV_ROWS + lane_id() / 4 + i / 2 * 8) * QMV_COLUMNS + lane_id() % 4 * 2 + i % 2] =
                total[i];
        if (block + p->stride < p->blocks) {
            rows = rows_of(p, f, block + p->stride, tile);
            if (start < n_steps) load_step(&s, &rows, f, start);
        }
        barrier();
        qmv_finish(p, sums, at.squares, one_factor, block * each, token, tokens, bias_at, y_at);
        turn ^= 1;
    }
}

/* Grid: the parts' blocks, tiles of tokens. */
INLINE void qmv_dense(const struct qmv_params *p, mma_form f, bool one) {
    qmv_part part;
    const u32 block = qmv_part_of(p, &part);
    const u32 token = bid_y() * QMV_COLUMNS, rest = part.rows - token, tokens = rest < QMV_COLUMNS ? rest : QMV_COLUMNS;
    qmv_tiles(&part, f, block, token, one ? 1 : tokens, 0, 0, one);
}

/* Grid: blocks of an expert's matrix, pairs of a token and one of its experts. */
INLINE void qmv_experts(const struct qmv_experts_params *p, mma_form f) {
    const u32 token = bid_y() / p->n_chosen, place = bid_y() % p->n_chosen;
    qmv_part part;
    const u32 e = qmv_expert_of(p, token, place, &part);
    qmv_tiles(&part, f, bid_x(), token, 1, (i64)e * part.n, place * p->y_each, true);
}

/* For several tokens, for one, for a token and an expert. */
#    define QMV_KERNELS(name, mode, bits, group_size)                                                                  \
        KERNEL void name(struct qmv_params p) {                                                                        \
            qmv_dense(&p, (mma_form){mode, bits, group_size}, false);                                                  \
        }                                                                                                              \
        KERNEL void name##_one(struct qmv_params p) {                                                                  \
            qmv_dense(&p, (mma_form){mode, bits, group_size}, true);                                                   \
        }                                                                                                              \
        KERNEL void name##_experts(struct qmv_experts_params p) {                                                      \
            qmv_experts(&p, (mma_form){mode, bits, group_size});                                                       \
        }

#endif
#endif
