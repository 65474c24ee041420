/* SPDX-License-Identifier: Apache-2.0
 *
 * What products of few tokens do before and after their sums: x goes to shared memory as three bf16 numbers that add up
 * to it exactly, in the order in which the matrix unit's lanes take it, with the sum of each group; and what warps
 * have summed becomes y. */
#ifndef NB_GPU_KERNELS_QMV_STAGE_H
#define NB_GPU_KERNELS_QMV_STAGE_H

#include "act.h"
#include "async.h"
#include "dequant.h"
#include "eight.h"
#include "qmv_params.h"

/* Loops that unrolling would only cost registers. */
#define ROLLED _Pragma("clang loop unroll(disable)")

/* hi + mid + lo = x: the leading 8 bits each time. Infinities have no rest. */
INLINE void qmv_split(float x, u32 parts[3]) {
    parts[0] = as_u32(x) & 0xffff0000;
    const float rest = (as_u32(x) & 0x7fffffff) == 0x7f800000 ? 0.0f : x - as_f32(parts[0]);
    parts[1] = as_u32(rest) & 0xffff0000;
    parts[2] = as_u32(rest - as_f32(parts[1]));
}

/* x in shared memory: units of 8 columns, 16 bytes each for every part of the split. A group's columns are spread over
 * the four lanes t of a row, group_size / 4 for each; lanes of the columns (tokens) side by side, so that a warp reads
 * without conflicts. */
typedef struct qmv_x {
    SHARED u32x4 *units;
    SHARED float *sums; /* [groups][tokens] */
    u32 tokens;
} qmv_x;

INLINE u32 qmv_unit_at(const qmv_x *x, u32 group, u32 part, u32 unit, u32 token, u32 t, u32 each) {
    return (((group * 3 + part) * each + unit) * x->tokens + token) * 4 + t;
}

/* Which columns of a unit stand side by side: i and i + 4, or, of codes of 8 bits, i and i + 2 of each four. */
INLINE u32 qmv_first_of_pair(u32 bits, u32 pair) {
    return bits == 8 ? pair / 2 * 4 + pair % 2 : pair;
}

INLINE void qmv_put_unit(const qmv_x *x, const eight *e, u32 bits, u32 group_size, u32 token, u32 column) {
    const u32 each = group_size / 32, unit = column % group_size / 8;
    u32x4 words[3];
    UNROLL for (u32 pair = 0; pair < 4; pair++) {
        const u32 first = qmv_first_of_pair(bits, pair);
        u32 a[3], b[3];
        qmv_split(e->v[first], a);
        qmv_split(e->v[first + (bits == 8 ? 2 : 4)], b);
        UNROLL for (u32 i = 0; i < 3; i++) words[i][pair] = a[i] >> 16 | (b[i] & 0xffff0000);
    }
    UNROLL for (u32 i = 0; i < 3; i++)
        x->units[qmv_unit_at(x, column / group_size, i, unit % each, token, unit / each, each)] = words[i];
}

/* Eight columns of x, times the norm's weights. */
INLINE void qmv_load_x(eight *e, const qmv_part *p, u32 token, u32 k) {
    UNROLL for (u32 j = 0; j < 8; j++) e->v[j] = 0;
    if (k >= p->k) return;
    eight_load_any(e, p->x, QMV_TYPE(p->types, QMV_X), (u64)token * p->x_stride + k);
    if (!p->normed) return;
    eight w = {{1, 1, 1, 1, 1, 1, 1, 1}};
    if (p->norm) eight_load_any(&w, p->norm, QMV_TYPE(p->types, QMV_NORM), k);
    UNROLL for (u32 j = 0; j < 8; j++) e->v[j] *= p->offset + w.v[j];
}

/* Columns [from, from + n) of the tokens from `token` on; n is a multiple of 256, beyond k there are zeros. Several
 * loads are on their way at a time. */
INLINE void qmv_stage(const qmv_part *p, const qmv_x *x, u32 bits, u32 group_size, u32 token, u32 from, u32 n) {
    enum { AT_ONCE = 2 };
    const u32 each = n / 8, all = x->tokens * each;
    ROLLED for (u32 first = tid(); first < all; first += AT_ONCE * QMV_THREADS) {
        eight e[AT_ONCE];
        UNROLL for (u32 a = 0; a < AT_ONCE; a++) {
            const u32 i = first + a * QMV_THREADS;
            qmv_load_x(&e[a], p, token + (i < all ? i / each : 0), i < all ? from + i % each * 8 : p->k);
        }
        UNROLL for (u32 a = 0; a < AT_ONCE; a++) {
            const u32 i = first + a * QMV_THREADS, m = i / each, column = i % each * 8;
            const float group_sum = lanes_sum(eight_sum(&e[a]), group_size / 8);
            if (i >= all) continue;
            qmv_put_unit(x, &e[a], bits, group_size, m, column);
            if (column % group_size == 0) x->sums[column / group_size * x->tokens + m] = group_sum;
        }
    }
}

/* Row `row` of a block's tile, of the weight; beyond the last one the last one again. Of a gated pair every other tile
 * is the second half's. */
INLINE u32 qmv_row(const qmv_part *p, u32 block, u32 tile, u32 row) {
    u32 first = (block * p->row_tiles + tile) * QMV_ROWS, end = p->n;
    if (p->act) {
        const u32 half = p->n / 2;
        first = (block * (p->row_tiles / 2) + tile / 2) * QMV_ROWS + tile % 2 * half;
        end = tile % 2 ? p->n : half;
    }
    return first + row < end ? first + row : end - 1;
}

/* The part that this block belongs to; the block's number in it. */
INLINE u32 qmv_part_of(const struct qmv_params *p, qmv_part *part) {
    u32 block = bid_x();
    *part = p->part[0];
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < p->parts.n && bid_x() >= p->parts.first[i]) {
        *part = p->part[i];
        block = bid_x() - p->parts.first[i];
    }
    return block;
}

/* The product of a token with one of its experts; the expert. */
INLINE u32 qmv_expert_of(const struct qmv_experts_params *p, u32 token, u32 place, qmv_part *part) {
    const u32 e = (u32)load_as_f32(p->z, p->z_type, token * p->z_stride + place);
    *part = p->part;
    if (p->table) {
        const GLOBAL u64 *entry = p->table + 3 * (u64)e;
        part->codes = (const GLOBAL u8 *)entry[0];
        part->scales = (const GLOBAL u8 *)entry[1];
        part->biases = (const GLOBAL u8 *)entry[2];
    } else {
        part->codes += e * p->codes_step;
        part->scales += e * p->scales_step;
        if (part->biases) part->biases += e * p->scales_step;
    }
    if (p->own_x) part->x += (u64)place * part->k * (QMV_TYPE(part->types, QMV_X) == G_F32 ? 4 : 2);
    return e;
}

/* Each warp's part of the sum of squares: to[warp][token]. */
INLINE void qmv_squares(const qmv_part *p, SHARED float *to, u32 token, u32 tokens) {
    ROLLED for (u32 m = 0; m < tokens; m++) {
        float squares = 0;
        ROLLED for (u32 k = tid() * 8; k < p->k; k += QMV_THREADS * 8) {
            eight e;
            eight_load_any(&e, p->x, QMV_TYPE(p->types, QMV_X), (u64)(token + m) * p->x_stride + k);
            UNROLL for (u32 j = 0; j < 8; j++) squares += e.v[j] * e.v[j];
        }
        squares = warp_sum(squares);
        if (lane_id() == 0) to[warp_id() * QMV_COLUMNS + m] = squares;
    }
}
INLINE float qmv_norm_factor(const qmv_part *p, const SHARED float *squares, u32 m) {
    float sum = 0;
    UNROLL for (u32 i = 0; i < QMV_WARPS; i++) sum += squares[i * QMV_COLUMNS + m];
    return norm_factor(sum, p->k, p->eps);
}

/* Row `row` of tile `tile` of the block: its warps' sums added up in order. */
INLINE float qmv_total(const qmv_part *p, const SHARED float *sums, u32 tile, u32 row, u32 m) {
    float v = 0;
    UNROLL for (u32 i = 0; i < QMV_WARPS; i++) if ((i & (p->row_tiles - 1)) == tile) v +=
        sums[(i * QMV_ROWS + row) * QMV_COLUMNS + m];
    return v;
}

INLINE float qmv_residual(const qmv_part *p, u32 token, u32 output) {
    if (!p->residual) return 0;
    return load_as_f32(p->residual, QMV_TYPE(p->types, QMV_RESIDUAL), (i64)token * p->residual_stride + output);
}

/* Output `output` of a token: bias, activation (of a gated pair `second` is the other half's), residual. */
INLINE void qmv_end(const qmv_part *p, float v, float second, float residual, u32 token, u32 output, i64 bias_at,
                    u32 y_at) {
    const u32 each = p->act ? p->n / 2 : p->n;
    if (p->bias) v += load_any(p->bias, QMV_TYPE(p->types, QMV_BIAS), bias_at + output);
    if (p->act) {
        if (p->bias) second += load_any(p->bias, QMV_TYPE(p->types, QMV_BIAS), bias_at + each + output);
        v = act_gated(p->act, v, second);
    }
    store_from_f32(p->y, QMV_TYPE(p->types, QMV_Y), (i64)token * p->y_stride + y_at + output, v + residual);
}

/* sums: [warp][row][token], warp w has tile w % row_tiles. bias_at and y_at: where the outputs of this matrix begin. Of
 * a gated pair, tiles come in twos, of the first half and of the second. */
INLINE void qmv_finish(const qmv_part *p, const SHARED float *sums, const SHARED float *squares, float one_factor,
                       u32 first_tile, u32 token, u32 tokens, i64 bias_at, u32 y_at) {
    const u32 each = p->act ? p->n / 2 : p->n, n_tiles = p->act ? p->row_tiles / 2 : p->row_tiles;
    ROLLED for (u32 i = tid(); i < n_tiles * QMV_ROWS * tokens; i += QMV_THREADS) {
        const u32 row = i % QMV_ROWS, tile = i / QMV_ROWS % n_tiles, m = i / QMV_ROWS / n_tiles;
        const u32 output = (first_tile + tile) * QMV_ROWS + row;
        if (output >= each) continue;
        const float factor = p->normed && tokens > 1 ? qmv_norm_factor(p, squares, m) : one_factor;
        const float second = p->act ? qmv_total(p, sums, 2 * tile + 1, row, m) : 0;
        qmv_end(p, qmv_total(p, sums, p->act ? 2 * tile : tile, row, m) * factor, second * factor,
                qmv_residual(p, token + m, output), token + m, output, bias_at, y_at);
    }
}

#endif
