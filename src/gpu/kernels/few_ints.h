/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 4 or 8 bits on NVIDIA's matrix units for integers. x comes in the
 * form of quant/xform.h: integers of three signed bytes with a scale for each group, so that codes are multiplied as
 * they are stored, a group's sums are exact, and a token is as exact as it is alone. Two warps share 32 outputs, each
 * with half of a step's groups; weights and x stream through shared memory, several steps ahead. Its units of work are
 * blocks of outputs, cut into parts of the terms where outputs alone would leave processors idle; then few_ints_sum.c
 * adds the parts up in order. */
#ifndef NB_GPU_KERNELS_FEW_INTS_H
#define NB_GPU_KERNELS_FEW_INTS_H

#include "few_ints_params.h"
#include "mma_nv.h"
#include "qmv_stage.h"

#if MMA_NV

/* Constant at compilation. */
typedef struct ints_form {
    u32 bits, group_size;
    u32 tiles; /* of 8 tokens */
} ints_form;

enum { PLANES = 3, X_BYTES = INTS_K * PLANES };

INLINE u32 row_bytes(ints_form f) {
    return INTS_K / 8 * f.bits;
}
INLINE u32 step_groups(ints_form f) {
    return INTS_K / f.group_size;
}
/* Bytes that a lane has of a group of codes; a product of the matrix unit takes those of 8 terms. */
INLINE u32 lane_bytes(ints_form f) {
    return f.group_size * f.bits / 32;
}

/* Outputs of the block; the warp's 32 of them; which half of the groups it has. */
INLINE u32 block_rows(void) {
    return bdim() / 2;
}
INLINE u32 warp_rows(void) {
    return warp_id() % (block_rows() / INTS_WARP_ROWS);
}
INLINE u32 warp_half(void) {
    return tid() / block_rows();
}

/* ---- Shared memory ------------------------------------------------------------------------------------------------
 */

/* A step's operands: codes of each row; scales and biases as stored, [row][group]; the tokens' bytes as the form has
 * them; their groups' scales and sums, [token][group]. Bytes are counted in gpu/few_ints.c. */
typedef struct ints_stage {
    SHARED u8 *codes, *scales, *biases, *x, *x_scales, *x_sums;
} ints_stage;

INLINE ints_stage ints_stage_at(ints_form f, u32 which) {
    const u32 rows = block_rows(), tokens = f.tiles * 8, groups = step_groups(f);
    const u32 codes = rows * (row_bytes(f) + ints_codes_pad(f.bits, f.group_size)), scales = rows * groups * 2;
    const u32 x = tokens * (X_BYTES + ints_x_pad(f.group_size)), x_scales = tokens * groups * 4;
    ints_stage s;
    s.codes = shared_memory() + which * (codes + 2 * scales + x + 2 * x_scales);
    s.scales = s.codes + codes;
    s.biases = s.scales + scales;
    s.x = s.biases + scales;
    s.x_scales = s.x + x;
    s.x_sums = s.x_scales + x_scales;
    return s;
}

/* ---- Units of work ------------------------------------------------------------------------------------------------
 */

/* A step of a unit: block `block` of a part's outputs, for the tokens from `token` on, in split `split` of its terms.
 */
typedef struct ints_at {
    u32 unit, part, block, token, split, step, end;
} ints_at;

INLINE u32 token_tiles(const ints_part *p, ints_form f) {
    return (p->of.rows + f.tiles * 8 - 1) / (f.tiles * 8);
}
/* All of the launch. */
INLINE u32 ints_units(const struct ints_params *p, ints_form f) {
    u32 units = 0;
    UNROLL for (u32 i = 0; i < GPU_KERNEL_PARTS; i++) if (i < p->parts.n) units +=
        p->part[i].of.blocks * p->part[i].splits * token_tiles(&p->part[i], f);
    return units;
}
/* The first step of at->unit, which may be behind the last one. Tokens come first: who reads the same weight reads it
 * at the same time. */
INLINE void ints_begin(const struct ints_params *p, ints_form f, ints_at *at) {
    u32 unit = at->unit;
    at->part = 0;
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < p->parts.n && at->unit >= p->parts.first[i]) {
        at->part = i;
        unit = at->unit - p->parts.first[i];
    }
    const ints_part *part = &p->part[at->part];
    const u32 tiles = token_tiles(part, f);
    at->token = unit % tiles * f.tiles * 8;
    at->block = unit / tiles % part->of.blocks;
    at->split = unit / tiles / part->of.blocks;
    const u32 steps = part->of.k / INTS_K, each = (steps + part->splits - 1) / part->splits;
    at->step = at->split * each;
    at->end = at->step + each < steps ? at->step + each : steps;
}
INLINE void ints_advance(const struct ints_params *p, ints_form f, ints_at *at) {
    if (++at->step < at->end) return;
    at->unit += gdim_x();
    ints_begin(p, f, at);
}

/* ---- Fetching a step ----------------------------------------------------------------------------------------------
 */

INLINE void ints_fetch_weight(const struct ints_params *all, const ints_at *at, ints_form f, const ints_stage *s) {
    const qmv_part *p = &all->part[at->part].of;
    const u32 pieces = row_bytes(f) / 16, stride = row_bytes(f) + ints_codes_pad(f.bits, f.group_size);
    const u32 piece = tid() % pieces;
    UNROLL for (u32 i = 0; i < pieces / 2; i++) { /* there are twice as many threads as rows */
        const u32 row = tid() / pieces + i * (bdim() / pieces), of_weight = qmv_row(p, at->block, row / 16, row % 16);
        const GLOBAL u8 *from = p->codes + (u64)of_weight * (p->k / 8 * f.bits) + at->step * row_bytes(f) + piece * 16;
        async_copy16(s->codes + row * stride + piece * 16, from, true);
    }
    const u32 bytes = step_groups(f) * 2, row = tid() % block_rows(),
              of_weight = qmv_row(p, at->block, row / 16, row % 16);
    const u64 from = ((u64)of_weight * (p->k / INTS_K) + at->step) * bytes;
    async_copy((warp_half() ? s->biases : s->scales) + row * bytes, (warp_half() ? p->biases : p->scales) + from,
               bytes);
}

INLINE void ints_fetch_x(const struct ints_params *all, const ints_at *at, ints_form f, const ints_stage *s) {
    const qmv_part *p = &all->part[at->part].of;
    const u32 pieces = X_BYTES / 16, tokens = f.tiles * 8, steps = p->k / INTS_K;
    ROLLED for (u32 i = tid(); i < tokens * pieces; i += bdim()) {
        const u32 row = i / pieces, piece = i % pieces, token = at->token + row;
        const bool there = token < p->rows;
        const u64 from = there ? (u64)(token * steps + at->step) * X_BYTES + piece * 16 : 0;
        async_copy16(s->x + row * (X_BYTES + ints_x_pad(f.group_size)) + piece * 16,
                     p->x + all->part[at->part].codes_at + from, there);
    }
    const u32 bytes = step_groups(f) * 4, each = bytes < 16 ? bytes : 16, of_token = bytes / each;
    for (u32 i = tid(); i < 2 * tokens * of_token; i += bdim()) {
        const u32 row = i / of_token % tokens, piece = i % of_token * each, token = at->token + row;
        const bool sums = i >= tokens * of_token;
        if (token >= p->rows) continue; /* what is computed with these is not stored */
        const u64 from = (u64)(token * steps + at->step) * bytes + piece + (sums ? (u64)p->rows * steps * bytes : 0);
        async_copy((sums ? s->x_sums : s->x_scales) + row * bytes + piece, p->x + from, each);
    }
}

/* ---- Products -----------------------------------------------------------------------------------------------------
 */

typedef float ints_sums[INTS_TILES_MOST][2][4];

/* `bytes` (4, 8, 16 or 32) from shared memory, at a multiple of them or of 16. */
INLINE void ints_load(u32 *to, const SHARED u8 *from, u32 bytes) {
    if (bytes == 4) to[0] = *(const SHARED u32 *)from;
    if (bytes == 8) {
        const u32x2 v = *(const SHARED u32x2 *)from;
        to[0] = v.x;
        to[1] = v.y;
    }
    UNROLL for (u32 i = 0; i < bytes / 16; i++) {
        const u32x4 v = ((const SHARED u32x4 *)from)[i];
        UNROLL for (u32 j = 0; j < 4; j++) to[4 * i + j] = v[j];
    }
}

/* Fragments of the warp's two tiles of 16 outputs: product m of a group takes 8 of the lane's terms, the even ones of
 * a 4-bit word in front of the odd ones. */
enum { PRODUCTS_MOST = 4, LANE_WORDS_MOST = 8 };
INLINE void ints_codes(u32 a[2][PRODUCTS_MOST][4], const ints_stage *s, ints_form f, u32 group) {
    const u32 stride = row_bytes(f) + ints_codes_pad(f.bits, f.group_size), g = lane_id() / 4, t = lane_id() % 4;
    UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 half = 0; half < 2; half++) {
        u32 words[LANE_WORDS_MOST];
        const u32 row = warp_rows() * INTS_WARP_ROWS + r * 16 + half * 8 + g;
        ints_load(words, s->codes + row * stride + (group * 4 + t) * lane_bytes(f), lane_bytes(f));
        UNROLL for (u32 m = 0; m < f.group_size / 32; m++) {
            a[r][m][half] = f.bits == 4 ? words[m] & 0x0f0f0f0f : words[2 * m];
            a[r][m][2 + half] = f.bits == 4 ? words[m] >> 4 & 0x0f0f0f0f : words[2 * m + 1];
        }
    }
}

/* The lane's terms of a group of a token: a plane's bytes, in the order of ints_codes. */
INLINE void ints_x(u32 b[PRODUCTS_MOST][2], const SHARED u8 *token, ints_form f, u32 group, u32 plane) {
    const u32 each = f.group_size / 4, first = group * f.group_size + lane_id() % 4 * each;
    u32 words[LANE_WORDS_MOST];
    ints_load(words, token + first / 32 * (32 * PLANES) + plane * 32 + first % 32, each);
    UNROLL for (u32 m = 0; m < f.group_size / 32; m++) UNROLL for (u32 i = 0; i < 2; i++) b[m][i] =
        f.bits == 4 ? pick_bytes(words[2 * m], words[2 * m + 1], i ? 0x7531 : 0x6420) : words[2 * m + i];
}

/* Scales or biases of a group: of the lane's rows g, g + 8, g + 16, g + 24. */
INLINE void ints_of_rows(float to[2][2], const SHARED u8 *from, ints_form f, u32 type, u32 group) {
    UNROLL for (u32 r = 0; r < 4; r++) {
        const u32 row = warp_rows() * INTS_WARP_ROWS + r * 8 + lane_id() / 4;
        const u16 h = ((const SHARED u16 *)from)[row * step_groups(f) + group];
        to[r / 2][r % 2] = type == G_F16 ? f16_to_f32(h) : bf16_to_f32(h);
    }
}

INLINE void ints_group(ints_sums sums, const ints_stage *s, ints_form f, u32 type, u32 group) {
    u32 a[2][PRODUCTS_MOST][4];
    float scales[2][2], biases[2][2];
    ints_codes(a, s, f, group);
    ints_of_rows(scales, s->scales, f, type, group);
    ints_of_rows(biases, s->biases, f, type, group);
    UNROLL for (u32 tile = 0; tile < f.tiles; tile++) {
        i32 c[PLANES][2][4] = {{{0}}};
        const SHARED u8 *token = s->x + (tile * 8 + lane_id() / 4) * (X_BYTES + ints_x_pad(f.group_size));
        UNROLL for (u32 plane = 0; plane < PLANES; plane++) {
            u32 b[PRODUCTS_MOST][2];
            ints_x(b, token, f, group, plane);
            UNROLL for (u32 m = 0; m < f.group_size / 32; m++) UNROLL for (u32 r = 0; r < 2; r++)
                mma_nv_u8(c[plane][r], a[r][m], b[m][0], b[m][1]);
        }
        UNROLL for (u32 i = 0; i < 2; i++) { /* of the lane's two tokens */
            const u32 at = (tile * 8 + lane_id() % 4 * 2 + i) * step_groups(f) + group;
            const float x_scale = ((const SHARED float *)s->x_scales)[at],
                        x_sum = ((const SHARED float *)s->x_sums)[at];
            UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 half = 0; half < 2; half++) {
                const u32 e = 2 * half + i;
                const float sum = (float)(c[0][r][e] * 256 + c[1][r][e]) * 256 + (float)c[2][r][e];
                sums[tile][r][e] += scales[r][half] * (x_scale * sum) + biases[r][half] * x_sum;
            }
        }
    }
}

/* ---- Results ------------------------------------------------------------------------------------------------------
 */

/* The other half's sums are added, by way of memory that all have done with. */
INLINE void ints_join(SHARED u8 *memory, ints_form f, ints_sums sums) {
    SHARED float *all = (SHARED float *)memory + tid() % block_rows();
    barrier();
    UNROLL for (u32 i = 0; i < f.tiles * 8; i++) if (warp_half()) all[i * block_rows()] = sums[i / 8][i / 4 % 2][i % 4];
    barrier();
    UNROLL for (u32 i = 0; i < f.tiles * 8; i++) if (!warp_half()) sums[i / 8][i / 4 % 2][i % 4] +=
        all[i * block_rows()];
}

INLINE void ints_finish(const struct ints_params *all, const ints_at *at, ints_form f, ints_sums sums) {
    const qmv_part *p = &all->part[at->part].of;
    GLOBAL float *to = all->part[at->part].sums;
    const u32 n = p->act ? p->n / 2 : p->n, each = p->act ? 16 : INTS_WARP_ROWS;
    const u32 first = (at->block * (block_rows() / INTS_WARP_ROWS) + warp_rows()) * each;
    UNROLL for (u32 tile = 0; tile < f.tiles; tile++) UNROLL for (u32 e = 0; e < 4; e++) {
        const u32 token = at->token + tile * 8 + lane_id() % 4 * 2 + e % 2;
        if (token >= p->rows) continue;
        UNROLL for (u32 r = 0; r < 2; r++) {
            const u32 output = first + (p->act ? 0 : r * 16) + e / 2 * 8 + lane_id() / 4;
            if (output >= n) continue;
            if (to)
                to[((u64)at->split * p->rows + token) * p->n + output + (p->act ? r * n : 0)] = sums[tile][r][e];
            else if (!p->act || r == 0)
                qmv_end(p, sums[tile][r][e], sums[tile][1][e], qmv_residual(p, token, output), token, output, 0, 0);
        }
    }
}

/* Copies are on their way for all stages but the one that is computed. */
INLINE void ints_wait(u32 stages) {
    if (stages == 2)
        ASYNC_WAIT(0);
    else if (stages == 3)
        ASYNC_WAIT(1);
    else
        ASYNC_WAIT(2);
}

/* Grid: as many blocks as run at once, or fewer. Weights are known before the work in front of this launch is done. */
INLINE void few_ints(const struct ints_params *p, ints_form f) {
    const u32 stages = p->part[0].stages, units = ints_units(p, f);
    ints_at now = {.unit = bid_x()}, ahead;
    ints_begin(p, f, &now);
    ahead = now;
    ROLLED for (u32 i = 0; i + 1 < stages && ahead.unit < units; i++, ints_advance(p, f, &ahead)) {
        const ints_stage s = ints_stage_at(f, i);
        ints_fetch_weight(p, &ahead, f, &s);
    }
    previous_done();
    ahead = now;
    ROLLED for (u32 i = 0; i + 1 < stages; i++) {
        if (ahead.unit < units) {
            const ints_stage s = ints_stage_at(f, i);
            ints_fetch_x(p, &ahead, f, &s);
            ints_advance(p, f, &ahead);
        }
        async_commit();
    }
    ints_sums sums = {{{0}}};
    ROLLED for (u32 stage = 0; now.unit < units; stage = stage + 1 < stages ? stage + 1 : 0) {
        const ints_stage s = ints_stage_at(f, stage);
        ints_wait(stages);
        barrier();
        if (ahead.unit < units) {
            const ints_stage free = ints_stage_at(f, stage > 0 ? stage - 1 : stages - 1);
            ints_fetch_weight(p, &ahead, f, &free);
            ints_fetch_x(p, &ahead, f, &free);
            ints_advance(p, f, &ahead);
        }
        async_commit();
        const u32 type = QMV_TYPE(p->part[now.part].of.types, QMV_SCALE);
        const u32 groups = step_groups(f) / 2;
        ROLLED for (u32 group = 0; group < groups; group++) ints_group(sums, &s, f, type, warp_half() * groups + group);
        if (now.step + 1 == now.end) {
            ints_join(s.codes, f, sums);
            if (!warp_half()) ints_finish(p, &now, f, sums);
            UNROLL for (u32 i = 0; i < f.tiles; i++) UNROLL for (u32 e = 0; e < 8; e++) sums[i][e / 4][e % 4] = 0;
        }
        ints_advance(p, f, &now);
    }
}

#    define INTS_KERNEL(kernel, bits, group_size, tiles)                                                               \
        KERNEL void kernel(struct ints_params p) {                                                                     \
            few_ints(&p, (ints_form){bits, group_size, tiles});                                                        \
        }
/* In tiles of 8, 16 and 32 tokens. */
#    define INTS_KERNELS(name, bits, group_size)                                                                       \
        INTS_KERNEL(name##_8, bits, group_size, 1)                                                                     \
        INTS_KERNEL(name##_16, bits, group_size, 2)                                                                    \
        INTS_KERNEL(name##_32, bits, group_size, 4)
#else
#    define INTS_KERNELS(name, bits, group_size)
#endif

#endif
