/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens, as fast as memory gives the weight: what all of them have in common. A block computes
 * 128 outputs, two warps for each 32 of them, which share the terms (few_wg.h shares out differently); weights and x
 * stream through shared memory in steps of FEW_K terms, several steps ahead. Units of work are blocks of outputs for a
 * tile of tokens, cut into splits of the terms where outputs alone would leave processors idle; few_sum.c adds the
 * splits up in order. */
#ifndef NB_GPU_KERNELS_FEW_STAGE_H
#define NB_GPU_KERNELS_FEW_STAGE_H

#include "few_params.h"
#include "qmv_stage.h"
#include "wgmma.h"

/* Which 32 of the block's outputs the warp has; which half of a step's terms. */
INLINE u32 warp_rows(void) {
    return warp_id() % (FEW_ROWS / 32);
}
INLINE u32 warp_half(void) {
    return tid() / FEW_ROWS;
}
/* Row i of the warp's tile r of 16, among the block's: tiles 0 are the first half of the block's rows. Of a gated pair
 * that half is the first matrix's. */
INLINE u32 row_of(u32 r, u32 i) {
    return r * FEW_ROWS / 2 + warp_rows() * 16 + i;
}

/* A step's operands in shared memory: the tokens' elements, scales and sums; codes; scales and biases as stored. */
typedef struct few_stage {
    SHARED u8 *x, *x_scales, *x_sums, *codes, *scales, *biases;
} few_stage;

INLINE few_stage few_stage_at(const few_shape *f, u32 which) {
    few_stage s;
    s.x = shared_memory() + which * few_stage_bytes(f);
    s.x_scales = s.x + f->tokens * f->x_stride;
    s.x_sums = s.x_scales + f->tokens * f->x_scale_bytes;
    s.codes = s.x_sums + f->tokens * f->x_scale_bytes;
    s.scales = s.codes + FEW_ROWS * f->row_stride;
    s.biases = s.scales + FEW_ROWS * f->scale_bytes;
    return s;
}

/* ---- Units of work ------------------------------------------------------------------------------------------------
 */

/* Where in a launch's work the block is: at block `block` of a part's outputs, for the tokens from `token` on, in split
 * `split` of its terms; `left` of its steps remain. */
typedef struct few_at {
    u32 unit, part, block, token, split, step, left;
} few_at;

INLINE u32 token_tiles(const few_part *p, const few_shape *f) {
    return (p->of.rows + f->tokens - 1) / f->tokens;
}
/* All of the launch. */
INLINE u32 few_units(const struct few_params *p, const few_shape *f) {
    u32 units = 0;
    UNROLL for (u32 i = 0; i < GPU_KERNEL_PARTS; i++) if (i < p->parts.n) units +=
        p->part[i].of.blocks * p->part[i].splits * token_tiles(&p->part[i], f);
    return units;
}
/* The first step of at->unit, which may be behind the last one. Tokens come first: who reads the same weight reads it
 * at the same time. */
INLINE void few_begin(const struct few_params *p, const few_shape *f, few_at *at) {
    u32 unit = at->unit;
    at->part = 0;
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < p->parts.n && at->unit >= p->parts.first[i]) {
        at->part = i;
        unit = at->unit - p->parts.first[i];
    }
    const few_part *part = &p->part[at->part];
    const u32 tiles = token_tiles(part, f);
    at->token = unit % tiles * f->tokens;
    at->block = unit / tiles % part->of.blocks;
    at->split = unit / tiles / part->of.blocks;
    const u32 steps = part->of.k / FEW_K, each = (steps + part->splits - 1) / part->splits;
    at->step = at->split * each;
    at->left = at->step + each < steps ? each : steps - at->step;
}
INLINE void few_advance(const struct few_params *p, const few_shape *f, few_at *at) {
    if (--at->left > 0) return;
    at->unit += gdim_x();
    few_begin(p, f, at);
}

/* ---- Fetching a step ----------------------------------------------------------------------------------------------
 */

/* The block's rows of a matrix, and how many of its rows there are from them on: what is behind the last one is not
 * fetched, since what is computed with it is not stored. */
INLINE u32 rows_of_matrix(const qmv_part *p) {
    return p->act ? FEW_ROWS / 2 : FEW_ROWS;
}
INLINE u32 rows_left(const qmv_part *p, u32 block) {
    return (p->act ? p->n / 2 : p->n) - block * rows_of_matrix(p);
}

/* Where the thread fetches the next step from: 16 bytes of a row of codes, and of rows further on; the scales or the
 * biases of a row; 16 bytes of a token, and others of the same; the scales or the sums of a token. A step has but 4 to
 * 16 bytes of a row's scales, and memory gives 32 at least: so a thread holds the next 32 of its row. */
typedef struct few_source {
    const GLOBAL u8 *codes, *scales, *x, *x_scales;
    u32 held[8], held_bytes;
} few_source;

/* Threads that share a token. */
INLINE u32 token_threads(const few_shape *f) {
    return FEW_THREADS / f->tokens;
}
/* Whether the thread fetches sums of x: as many threads as tokens fetch scales, as many sums. */
INLINE bool fetches_sums(const few_shape *f) {
    return tid() / f->tokens % 2;
}

INLINE void few_aim(const struct few_params *all, const few_shape *f, const few_at *at, few_source *from) {
    const qmv_part *p = &all->part[at->part].of;
    const u32 pieces = f->row_bytes / 16, steps = p->k / FEW_K, first = at->block * rows_of_matrix(p);
    const u32 row = tid() % FEW_ROWS, up = p->act && row >= FEW_ROWS / 2 ? p->n / 2 - FEW_ROWS / 2 : 0;
    from->codes = p->codes + ((u64)(first + tid() / pieces) * steps + at->step) * f->row_bytes + tid() % pieces * 16;
    from->scales = (f->biases && warp_half() ? p->biases : p->scales) +
                   ((u64)(first + row + up) * steps + at->step) * f->scale_bytes;
    const u32 token = at->token + tid() / token_threads(f), there = token < p->rows ? token : 0;
    from->x = p->x + (u64)there * all->part[at->part].x_row + at->step * f->x_bytes + tid() % token_threads(f) * 16;
    const u32 of_scale = at->token + tid() % f->tokens, scale_there = of_scale < p->rows ? of_scale : 0;
    if (f->x_scale_bytes)
        from->x_scales = all->part[at->part].x_scales +
                         ((u64)(scale_there + (fetches_sums(f) ? p->rows : 0)) * steps + at->step) * f->x_scale_bytes;
}

/* The thread's row, if it fetches scales or biases. */
INLINE bool fetches_scales(const qmv_part *p, const few_shape *f, const few_at *at) {
    const u32 row = tid() % FEW_ROWS, row_in_matrix = p->act ? row % (FEW_ROWS / 2) : row;
    return row_in_matrix < rows_left(p, at->block) && (f->biases || !warp_half());
}
/* In pieces of so many words, at multiples of their size; `bytes` of all there are. */
INLINE void few_hold(few_source *from, u32 words, u32 bytes) {
    UNROLL for (u32 i = 0; i < 8; i += words) if (4 * i < bytes)
        dq_load_words(from->held + i, from->scales + 4 * i, words, true);
}
/* Not beyond the unit's steps. */
INLINE void few_hold_scales(const struct few_params *all, const few_shape *f, const few_at *at, few_source *from) {
    const qmv_part *p = &all->part[at->part].of;
    const u32 left = at->left * f->scale_bytes, aligned_as = p->k / FEW_K * f->scale_bytes | at->step * f->scale_bytes;
    from->held_bytes = 32;
    if (!fetches_scales(p, f, at)) return;
    if (aligned_as % 16 == 0)
        few_hold(from, 4, left);
    else if (aligned_as % 8 == 0)
        few_hold(from, 2, left);
    else
        few_hold(from, 1, left);
}
INLINE void few_drop(few_source *from, u32 words) {
    UNROLL for (u32 i = 0; i + words < 8; i++) from->held[i] = from->held[i + words];
}
/* The next step's go to shared memory. */
INLINE void few_put_scales(SHARED u8 *to, few_source *from, u32 bytes) {
    if (bytes == 16) {
        *(SHARED u32x4 *)to = (u32x4){from->held[0], from->held[1], from->held[2], from->held[3]};
        few_drop(from, 4);
    } else if (bytes == 8) {
        *(SHARED u32x2 *)to = (u32x2){from->held[0], from->held[1]};
        few_drop(from, 2);
    } else {
        *(SHARED u32 *)to = from->held[0];
        few_drop(from, 1);
    }
    from->held_bytes -= bytes;
}

/* 4, 8 or 16 bytes. */
INLINE void few_copy(SHARED u8 *to, const GLOBAL u8 *from, u32 bytes) {
    if (bytes == 16)
        async_copy(to, from, 16);
    else if (bytes == 8)
        async_copy(to, from, 8);
    else
        async_copy(to, from, 4);
}

INLINE void few_fetch_weight(const struct few_params *all, const few_shape *f, const few_at *at, few_source *from,
                             const few_stage *s) {
    const qmv_part *p = &all->part[at->part].of;
    const u32 pieces = f->row_bytes / 16, turns = (pieces + 1) / 2, further = FEW_THREADS / pieces, half = FEW_ROWS / 2;
    const u32 own = tid() / pieces, row = tid() % FEW_ROWS;
    const u32 bytes = p->k / FEW_K * f->row_bytes, left = rows_left(p, at->block);
    const i64 up = p->act ? ((i64)(p->n / 2) - half) * bytes : 0; /* few rows: less than 0 */
    const GLOBAL u8 *codes = from->codes;
    SHARED u8 *to = s->codes + own * f->row_stride + tid() % pieces * 16;
    if (left >= rows_of_matrix(p) && FEW_ROWS % (2 * further) == 0) {
        UNROLL for (u32 i = 0; i < turns; i++) {
            if (i == turns / 2) codes += up;
            async_copy16(to + i * further * f->row_stride, codes, true);
            codes += further * bytes;
        }
    } else if (own < further) { /* where pieces are no power of two, some threads are too many */
        ROLLED for (u32 i = own; i < FEW_ROWS; i += further, codes += further * bytes, to += further * f->row_stride) {
            const bool second = p->act && i >= half;
            if ((second ? i - half : i) < left) async_copy16(to, codes + (second ? up : 0), true);
        }
    }
    if (fetches_scales(p, f, at))
        few_put_scales((f->biases && warp_half() ? s->biases : s->scales) + row * f->scale_bytes, from, f->scale_bytes);
}

/* Where a token's piece of 16 bytes lies, in bytes. */
INLINE u32 few_x_place(const few_shape *f, u32 token, u32 piece) {
    if (f->x_places == FEW_X_TILES) return wgmma_place(token, piece);
    const u32 place = f->x_places == FEW_X_QUARTERS ? piece % 4 * 8 + piece / 4 : piece;
    return token * f->x_stride + place * 16;
}

INLINE void few_fetch_x(const struct few_params *all, const few_shape *f, const few_at *at, const few_source *from,
                        const few_stage *s) {
    const u32 rows = all->part[at->part].of.rows, threads = token_threads(f), row = tid() / threads;
    const u32 first = tid() % threads, pieces = f->x_bytes / 16;
    const bool there = at->token + row < rows;
    UNROLL for (u32 i = 0; i < (pieces + threads - 1) / threads; i++) {
        const u32 piece = first + i * threads;
        if (piece < pieces) async_copy16(s->x + few_x_place(f, row, piece), from->x + i * threads * 16, there);
    }
    if (f->x_scale_bytes == 0 || tid() >= 2 * f->tokens || at->token + tid() % f->tokens >= rows) return;
    const u32 each = f->x_scale_bytes < 16 ? f->x_scale_bytes : 16;
    SHARED u8 *to = (fetches_sums(f) ? s->x_sums : s->x_scales) + tid() % f->tokens * f->x_scale_bytes;
    UNROLL for (u32 i = 0; i < f->x_scale_bytes; i += each) few_copy(to + i, from->x_scales + i, each);
}

/* The next step of `units` units' steps, with where to fetch it from. */
INLINE void few_advance_source(const struct few_params *p, const few_shape *f, u32 units, few_at *at,
                               few_source *from) {
    const u32 unit = at->unit;
    few_advance(p, f, at);
    if (at->unit != unit) {
        few_aim(p, f, at, from);
        from->held_bytes = 0;
    } else {
        from->codes += f->row_bytes;
        from->scales += f->scale_bytes;
        from->x += f->x_bytes;
        from->x_scales += f->x_scale_bytes;
    }
    if (from->held_bytes == 0 && at->unit < units) few_hold_scales(p, f, at, from);
}

/* `bytes`, a multiple of 4, from shared memory, at a multiple of 4, 8 or 16 as they are. */
INLINE void few_load(u32 *to, const SHARED u8 *from, u32 bytes) {
    if (bytes % 16 == 0) {
        UNROLL for (u32 i = 0; i < bytes / 16; i++) {
            const u32x4 v = ((const SHARED u32x4 *)from)[i];
            UNROLL for (u32 j = 0; j < 4; j++) to[4 * i + j] = v[j];
        }
    } else if (bytes % 8 == 0) {
        UNROLL for (u32 i = 0; i < bytes / 8; i++) {
            const u32x2 v = ((const SHARED u32x2 *)from)[i];
            UNROLL for (u32 j = 0; j < 2; j++) to[2 * i + j] = v[j];
        }
    } else {
        UNROLL for (u32 i = 0; i < bytes / 4; i++) to[i] = ((const SHARED u32 *)from)[i];
    }
}

#endif
