/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION of many rows on matrix units: a block takes a tile of consecutive rows of one sequence and one query head
 * over tiles of keys, keeping weights and sums in registers (Dao et al. 2022, "FlashAttention", arXiv 2205.14135, and
 * its successor). Tiles of keys lie at multiples of their height and those that a row does not see leave its numbers as
 * they are, so a row's result does not depend on where in a tile of rows it stands. */
#ifndef NB_GPU_KERNELS_ATTENTION_TILES_H
#define NB_GPU_KERNELS_ATTENTION_TILES_H

#include "attention.h"
#include "attention_mma.h"
#include "async.h"

#if MMA_HAVE

/* ---- Attention ----------------------------------------------------------------------------------------------- */

/* Known when a kernel is compiled: columns of queries and keys, of values (those of a block), keys of a tile, all
 * multiples of 16. */
typedef struct tile_shape {
    u32 dim, columns, keys;
    bool bf16, keeps_query;
} tile_shape;
enum { MOST_STEPS = 12, MOST_COLUMNS = 256 / 16, MOST_KEYS = 64 / 16 };

typedef struct tile_work {
    u32 row, n_rows, head, kv_head, first_column;
    u32 position, first; /* of the first row, and what it sees first */
    const GLOBAL i32 *pages;
    SHARED u16 *query, *stages, *turn;
} tile_work;

typedef struct tile_state {
    mma_x query[MOST_STEPS];
    float sums[MOST_COLUMNS][MMA_SUMS];
    float largest[MMA_OWN], weights[MMA_OWN]; /* weights: the sum of this lane's */
} tile_state;

INLINE u32 stride_of(u32 columns) {
    return columns + ATTEND_PAD;
}
INLINE u32 stage_size(const tile_shape *k) {
    return k->keys * (stride_of(k->dim) + stride_of(k->columns));
}

/* Times scale. Rows past the last and columns past the head are 0. */
INLINE void load_query(const attention_call *c, const tile_shape *k, const tile_work *w) {
    const u32 pairs = k->dim / 2, height = bdim() / WARP * 16;
    for (u32 i = tid(); i < height * pairs; i += bdim()) {
        const u32 r = i / pairs, column = i % pairs * 2;
        const i64 at = (w->row + r) * c->x.stride + w->head * c->head_dim + column;
        f32x2 v = {0, 0};
        if (r < w->n_rows && column < c->head_dim)
            v = (f32x2){load_as_f32(c->x.data, c->x.type, at), load_as_f32(c->x.data, c->x.type, at + 1)};
        *(SHARED u32 *)(w->query + r * stride_of(k->dim) + column) = mma_pack(v.x * c->scale, v.y * c->scale, k->bf16);
    }
}

/* Rows of one matrix: keys, or a block's columns of values. */
INLINE void load_rows(const attention_call *c, const tile_shape *k, const tile_work *w, SHARED u16 *to,
                      const GLOBAL u8 *from, u32 columns, u32 first_column, u32 key) {
    const u32 pieces = columns / 8, last = w->position + w->n_rows - 1;
    for (u32 i = tid(); i < k->keys * pieces; i += bdim()) {
        const u32 r = i / pieces, column = i % pieces * 8, position = key + r;
        const u32 near = position < w->first ? w->first : position > last ? last : position;
        const bool inside = first_column + column < c->head_dim;
        const i64 at = page_offset_shift(c, w->pages, near, w->kv_head) + (inside ? first_column + column : 0);
        async_copy16(to + r * stride_of(columns) + column, from + 2 * at, inside && near == position);
    }
}
INLINE void load_stage(const attention_call *c, const tile_shape *k, const tile_work *w, u32 stage, u32 key) {
    SHARED u16 *to = w->stages + stage * stage_size(k);
    load_rows(c, k, w, to, c->keys, k->dim, 0, key);
    load_rows(c, k, w, to + k->keys * stride_of(k->dim), c->values, k->columns, w->first_column, key);
}

INLINE void tile_scores(const tile_shape *k, const tile_work *w, const tile_state *s, const SHARED u16 *keys,
                        float scores[MOST_KEYS][MMA_SUMS]) {
    const u32 stride = stride_of(k->dim);
    UNROLL for (u32 n = 0; n < k->keys / 16; n++) UNROLL for (u32 i = 0; i < MMA_SUMS; i++) scores[n][i] = 0;
    UNROLL for (u32 step = 0; step < k->dim / 16; step++) {
        mma_x x;
        if (k->keeps_query)
            x = s->query[step % MOST_STEPS];
        else
            mma_load_x(&x, w->query + warp_id() * 16 * stride + step * 16, stride);
        UNROLL for (u32 n = 0; n < k->keys / 16; n++) {
            mma_w key;
            mma_load_w(&key, keys + n * 16 * stride + step * 16, stride);
            mma(scores[n], &x, &key, k->bf16);
        }
        if (step % 2) UNROLL for (u32 n = 0; n < k->keys / 16; n++) mma_settle(scores[n]);
    }
}

/* With a softcap scores are bent; what a row does not see is -inf. */
INLINE void tile_mask(const attention_call *c, const tile_shape *k, const tile_work *w, u32 first_key,
                      float scores[MOST_KEYS][MMA_SUMS]) {
    UNROLL for (u32 n = 0; n < k->keys / 16; n++) {
        if (c->softcap > 0) UNROLL for (u32 i = 0; i < MMA_SUMS; i++) scores[n][i] = capped(c, scores[n][i]);
        UNROLL for (u32 i = 0; i < MMA_SUMS; i++) {
            const u32 position = w->position + warp_id() * 16 + mma_row(i), key = first_key + n * 16 + mma_col(i);
            const bool sees = key <= position && (c->window == 0 || position - key < c->window);
            scores[n][i] = sees ? scores[n][i] : -__builtin_inff();
        }
    }
}

/* Scores become weights; what is summed up so far is rescaled to the new largest score. */
INLINE void tile_softmax(const tile_shape *k, tile_state *s, float scores[MOST_KEYS][MMA_SUMS]) {
    float top[MMA_OWN], base[MMA_OWN], rescale[MMA_OWN];
    UNROLL for (u32 o = 0; o < MMA_OWN; o++) top[o] = s->largest[o];
    UNROLL for (u32 n = 0; n < k->keys / 16; n++) {
        UNROLL for (u32 i = 0; i < MMA_SUMS; i++) top[mma_own(i)] = larger(top[mma_own(i)], scores[n][i]);
    }
    UNROLL for (u32 o = 0; o < MMA_OWN; o++) {
        top[o] = lanes_max(top[o], MMA_ACROSS);
        base[o] = top[o] == -__builtin_inff() ? 0 : top[o]; /* of a row that has seen nothing yet */
        rescale[o] = exp2_fast(s->largest[o] - base[o]);
        s->largest[o] = top[o];
        s->weights[o] *= rescale[o];
    }
    UNROLL for (u32 n = 0; n < k->keys / 16; n++) {
        UNROLL for (u32 i = 0; i < MMA_SUMS; i++) {
            scores[n][i] = exp2_fast(scores[n][i] - base[mma_own(i)]);
            s->weights[mma_own(i)] += scores[n][i];
        }
    }
    UNROLL for (u32 j = 0; j < k->columns / 16; j++) UNROLL for (u32 i = 0; i < MMA_SUMS; i++) s->sums[j][i] *=
        rescale[mma_own(i)];
}

INLINE void tile_values(const tile_shape *k, const tile_work *w, tile_state *s, const SHARED u16 *values,
                        float scores[MOST_KEYS][MMA_SUMS]) {
    const u32 stride = stride_of(k->columns);
    UNROLL for (u32 n = 0; n < k->keys / 16; n++) {
        mma_x x;
        mma_x_of_sums(&x, scores[n], k->bf16, w->turn);
        UNROLL for (u32 j = 0; j < k->columns / 16; j++) {
            mma_w value;
            mma_load_w_turned(&value, values + n * 16 * stride + j * 16, stride);
            mma(s->sums[j], &x, &value, k->bf16);
            mma_settle(s->sums[j]);
        }
    }
}

/* A tile of keys for the 16 rows of this warp. */
INLINE void tile_keys(const attention_call *c, const tile_shape *k, const tile_work *w, tile_state *s, u32 stage,
                      u32 key) {
    const u32 low = w->position + warp_id() * 16, high = low + 15;
    if (warp_id() * 16 >= w->n_rows || key > high || (c->window > 0 && low >= key + k->keys - 1 + c->window)) return;
    const SHARED u16 *keys = w->stages + stage * stage_size(k);
    float scores[MOST_KEYS][MMA_SUMS];
    tile_scores(k, w, s, keys, scores);
    const bool sees_all = key + k->keys - 1 <= low && (c->window == 0 || high < key + c->window);
    if (!sees_all || c->softcap > 0) tile_mask(c, k, w, key, scores);
    tile_softmax(k, s, scores);
    tile_values(k, w, s, keys + k->keys * stride_of(k->dim), scores);
}

INLINE void tile_store(const attention_call *c, const tile_shape *k, const tile_work *w, tile_state *s) {
    float factor[MMA_OWN];
    UNROLL for (u32 o = 0; o < MMA_OWN; o++) {
        float sum = lanes_sum(s->weights[o], MMA_ACROSS);
        factor[o] = 1;
        if (c->sinks.data) {
            const float sink = sink_of(c, w->head), own = s->largest[o], top = larger(own, sink);
            factor[o] = exp2_fast(own - top);
            sum = sum * factor[o] + exp2_fast(sink - top);
        }
        factor[o] /= sum;
    }
    UNROLL for (u32 j = 0; j < k->columns / 16; j++) {
        UNROLL for (u32 i = 0; i < MMA_SUMS; i++) {
            const u32 r = warp_id() * 16 + mma_row(i), column = w->first_column + j * 16 + mma_col(i);
            const i64 at = (w->row + r) * c->y.stride + w->head * c->head_dim + column;
            if (r < w->n_rows && column < c->head_dim)
                store_from_f32(c->y.data, c->y.type, at, s->sums[j][i] * factor[mma_own(i)]);
        }
    }
}

INLINE void tile_begin(const tile_shape *k, const tile_work *w, tile_state *s) {
    const u32 stride = stride_of(k->dim);
    UNROLL for (u32 o = 0; o < MMA_OWN; o++) {
        s->largest[o] = -__builtin_inff();
        s->weights[o] = 0;
    }
    UNROLL for (u32 j = 0; j < k->columns / 16; j++) UNROLL for (u32 i = 0; i < MMA_SUMS; i++) s->sums[j][i] = 0;
    if (k->keeps_query) {
        UNROLL for (u32 step = 0; step < k->dim / 16; step++)
            mma_load_x(&s->query[step % MOST_STEPS], w->query + warp_id() * 16 * stride + step * 16, stride);
        barrier(); /* keys go where the queries were */
    }
}

INLINE void tile_run(const struct attention_tile_params *p, const tile_shape *k, const tile_work *w) {
    const attention_call *c = &p->c;
    const u32 begin = w->first / k->keys, end = (w->position + w->n_rows - 1) / k->keys + 1;
    tile_state s;
    barrier();
    load_query(c, k, w);
    barrier();
    tile_begin(k, w, &s);
    load_stage(c, k, w, 0, begin * k->keys);
    async_commit();
    for (u32 t = begin; t < end; t++) {
        const u32 stage = p->n_stages == 2 ? (t - begin) % 2 : 0;
        if (p->n_stages == 2) {
            if (t + 1 < end) load_stage(c, k, w, 1 - stage, (t + 1) * k->keys);
            async_commit();
            ASYNC_WAIT(1);
        } else {
            ASYNC_WAIT(0);
        }
        barrier();
        tile_keys(c, k, w, &s, stage, t * k->keys);
        barrier();
        if (p->n_stages == 1 && t + 1 < end) {
            load_stage(c, k, w, 0, (t + 1) * k->keys);
            async_commit();
        }
    }
    tile_store(c, k, w, &s);
}

/* Grid (heads * parts of the columns, tiles): the last tiles, which see most, come first. */
INLINE void attend_tiles(const struct attention_tile_params *p, u32 dim, u32 columns, u32 keys, bool bf16,
                         bool keeps_query) {
    const tile_shape k = {dim, columns, keys, bf16, keeps_query};
    const attention_call *c = &p->c;
    const u32 parts = (dim + columns - 1) / columns, height = bdim() / WARP * 16, n_tiles = p->tiles[0];
    tile_work w = {.head = bid_x() / parts, .first_column = bid_x() % parts * columns};
    w.kv_head = w.head / (c->n_heads / c->n_kv_heads);
    w.query = (SHARED u16 *)shared_memory();
    w.stages = w.query + (keeps_query ? 0 : height * stride_of(dim));
    w.turn = w.stages + p->n_stages * stage_size(&k) + warp_id() * ATTEND_TURN;
    for (u32 t = bid_y(); t < n_tiles; t += p->grid_tiles) {
        const GLOBAL u32 *tile = p->tiles + n_tiles - t;
        w.row = tile[0];
        w.n_rows = tile[1] - tile[0];
        const sight seen = sight_of(c, w.row);
        w.first = seen.first;
        w.position = seen.last;
        w.pages = (const GLOBAL i32 *)c->tables[w.row];
        tile_run(p, &k, &w);
    }
}

/* Agrees with rows_attention.c. AMD's registers have no room for the queries, its shared memory little for keys. */
#    if defined(__AMDGCN__)
#        define KEEPS(dim)  false
#        define KEYS_OF_512 16
#    else
#        define KEEPS(dim)  (dim <= 192)
#        define KEYS_OF_512 32
#    endif
#    define TILES(name, dim, columns, keys, bf16)                                                                      \
        KERNEL void name##_##dim(struct attention_tile_params p) {                                                     \
            attend_tiles(&p, dim, columns, keys, bf16, KEEPS(dim));                                                    \
        }
#    define TILES_NARROW(name, bf16)                                                                                   \
        TILES(name, 64, 64, 64, bf16)                                                                                  \
        TILES(name, 80, 80, 64, bf16)                                                                                  \
        TILES(name, 96, 96, 64, bf16)                                                                                  \
        TILES(name, 128, 128, 64, bf16)
#    define TILES_WIDE(name, bf16)                                                                                     \
        TILES(name, 192, 192, 64, bf16)                                                                                \
        TILES(name, 256, 256, 32, bf16)                                                                                \
        TILES(name, 512, 256, KEYS_OF_512, bf16)
#else
#    define TILES_NARROW(name, bf16)
#    define TILES_WIDE(name, bf16)
#endif

#endif
