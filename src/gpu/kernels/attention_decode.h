/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION of few rows over long contexts: the positions of a row are split among blocks, each of which reads keys and
 * values once for all query heads that share them; a second launch puts the splits together. Which positions go to
 * which split depends on the row alone, so its result does not depend on the other rows. */
#ifndef NB_GPU_KERNELS_ATTENTION_DECODE_H
#define NB_GPU_KERNELS_ATTENTION_DECODE_H

#include "async.h"
#include "attention.h"
#include "eight.h"

enum {
    MOST_AHEAD = 4,
    MOST_HEADS = 4,
    MOST_VECTORS = 2 /* of 8 columns */
};

/* What kernels differ by, known when they are compiled. A worker is `lanes` of a block's threads that share a position,
 * each with `vectors` times 8 columns of it, for `heads` query heads, and loads `ahead` positions at once. */
typedef struct decode_shape {
    u32 lanes, vectors, heads, type, threads, ahead;
} decode_shape;

/* What a thread knows: its columns of the queries and of the weighted sums; of each head the largest score and the sum
 * of weights. */
typedef struct decode_state {
    float query[MOST_HEADS][MOST_VECTORS * 8], sums[MOST_HEADS][MOST_VECTORS * 8];
    float largest[MOST_HEADS], weights[MOST_HEADS];
} decode_state;

INLINE u32 column_of(const decode_shape *k, u32 vector) {
    return (vector * k->lanes + tid() % k->lanes) * 8;
}

/* All loads are on their way before the first one is needed. type: G_F32, or any of 16 bits. */
INLINE void decode_queries(const attention_call *c, const decode_shape *k, decode_state *s, u32 row, u32 head, u32 n,
                           u32 type) {
    eight_raw raw[MOST_HEADS][MOST_VECTORS];
    UNROLL for (u32 h = 0; h < k->heads; h++) UNROLL for (u32 v = 0; v < k->vectors; v++) {
        const u32 column = column_of(k, v);
        raw[h][v] = (eight_raw){{0, 0, 0, 0}, {0, 0, 0, 0}};
        if (h < n && column < c->head_dim)
            eight_read(&raw[h][v], c->x.data, type, (u64)(row * c->x.stride + (head + h) * c->head_dim + column));
    }
    UNROLL for (u32 h = 0; h < k->heads; h++) UNROLL for (u32 i = 0; i < k->vectors * 8; i++) s->query[h][i] =
        eight_at(&raw[h][i / 8], type == G_F32 ? G_F32 : c->x.type, i % 8) * c->scale;
}
/* x at multiples of 16 bytes. */
INLINE void decode_begin(const attention_call *c, const decode_shape *k, decode_state *s, u32 row, u32 head, u32 n) {
    if (c->x.type == G_F32)
        decode_queries(c, k, s, row, head, n, G_F32);
    else
        decode_queries(c, k, s, row, head, n, G_F16);
    UNROLL for (u32 h = 0; h < k->heads; h++) {
        s->largest[h] = LOWEST;
        s->weights[h] = 0;
        UNROLL for (u32 i = 0; i < k->vectors * 8; i++) s->sums[h][i] = 0;
    }
}

/* Where so many positions lie, at, at + step, ..., as far as they are before `end` and seen. */
typedef struct decode_places {
    u32 at, step;
    int sees[MOST_AHEAD];
    i64 from[MOST_AHEAD];
} decode_places;
INLINE decode_places decode_places_of(const attention_call *c, const decode_shape *k, const GLOBAL i32 *pages,
                                      u32 kv_head, sight seen, u32 at, u32 step, u32 end) {
    decode_places places = {.at = at, .step = step};
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        const u32 position = at + u * step;
        places.sees[u] = position < end && position >= seen.first && position <= seen.last;
        places.from[u] = places.sees[u] ? page_offset_shift(c, pages, position, kv_head) : 0;
    }
    return places;
}

/* Eight columns of keys or values. */
INLINE void decode_read(eight_raw *raw, const GLOBAL u8 *p, u32 type, u64 j) {
    const GLOBAL u32x4 *at = (const GLOBAL u32x4 *)(p + (type == G_F32 ? 4 : 2) * j);
    raw->a = stream_load16_written(at);
    if (type == G_F32) raw->b = stream_load16_written(at + 1);
}
/* Keys and values of some positions, on their way. */
typedef struct decode_raw {
    eight_raw keys[MOST_AHEAD][MOST_VECTORS], values[MOST_AHEAD][MOST_VECTORS];
} decode_raw;
/* Those from position `first` on, or those before it; the others stay as they are. */
INLINE void decode_fetch(const attention_call *c, const decode_shape *k, const decode_places *places, u32 first,
                         bool before, decode_raw *to) {
    for (u32 u = 0; u < k->ahead; u++) {
        const bool wanted = places->sees[u] && (places->at + u * places->step < first) == before;
        UNROLL for (u32 v = 0; v < k->vectors; v++) {
            const u32 column = column_of(k, v);
            if (!wanted || column >= c->head_dim) continue;
            decode_read(&to->keys[u][v], c->keys, k->type, (u64)(places->from[u] + column));
            decode_read(&to->values[u][v], c->values, k->type, (u64)(places->from[u] + column));
        }
    }
}
INLINE void decode_positions(const attention_call *c, const decode_shape *k, decode_state *s,
                             const decode_places *places, const decode_raw *raw) {
    const int *sees = places->sees;
    float scores[MOST_AHEAD][MOST_HEADS];
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        UNROLL for (u32 h = 0; h < k->heads; h++) scores[u][h] = 0;
        UNROLL for (u32 i = 0; i < k->vectors * 8; i++) {
            const float key = eight_at(&raw->keys[u][i / 8], k->type, i % 8);
            UNROLL for (u32 h = 0; h < k->heads; h++) scores[u][h] += s->query[h][i] * key;
        }
        UNROLL for (u32 h = 0; h < k->heads; h++) scores[u][h] = lanes_sum(scores[u][h], k->lanes);
    }
    if (c->softcap > 0)
        UNROLL for (u32 i = 0; i < k->ahead * k->heads; i++) scores[i / k->heads][i % k->heads] =
            capped(c, scores[i / k->heads][i % k->heads]);
    UNROLL for (u32 h = 0; h < k->heads; h++) {
        float top = s->largest[h];
        UNROLL for (u32 u = 0; u < k->ahead; u++) top = sees[u] ? larger(top, scores[u][h]) : top;
        const float rescale = exp2_fast(s->largest[h] - top);
        float sum = 0;
        UNROLL for (u32 u = 0; u < k->ahead; u++) {
            scores[u][h] = sees[u] ? exp2_fast(scores[u][h] - top) : 0;
            sum += scores[u][h];
        }
        s->weights[h] = s->weights[h] * rescale + sum;
        s->largest[h] = top;
        UNROLL for (u32 i = 0; i < k->vectors * 8; i++) s->sums[h][i] *= rescale;
    }
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        UNROLL for (u32 i = 0; i < k->vectors * 8; i++) {
            const float value = eight_at(&raw->values[u][i / 8], k->type, i % 8);
            UNROLL for (u32 h = 0; h < k->heads; h++) s->sums[h][i] += scores[u][h] * value;
        }
    }
}

/* Adds up the workers of a warp. */
INLINE void decode_join_lanes(const decode_shape *k, decode_state *s) {
    UNROLL for (u32 other = k->lanes; other < WARP; other *= 2) {
        UNROLL for (u32 h = 0; h < k->heads; h++) {
            const float top = larger(s->largest[h], shfl_xor(s->largest[h], other));
            const float rescale = exp2_fast(s->largest[h] - top);
            s->largest[h] = top;
            s->weights[h] *= rescale;
            s->weights[h] += shfl_xor(s->weights[h], other);
            UNROLL for (u32 i = 0; i < k->vectors * 8; i++) {
                s->sums[h][i] *= rescale;
                s->sums[h][i] += shfl_xor(s->sums[h][i], other);
            }
        }
    }
}

/* Adds up the warps, from shared memory, and leaves what is the split's, or the result where it is `alone`: stats
 * [warp][head][largest, weights], sums [warp][head][column], for n of `heads` heads; columns are a multiple of 8, and
 * at most `most`. */
INLINE void decode_leave(const struct attention_split_params *p, const SHARED float *stats, const SHARED float *sums,
                         u32 threads, u32 heads, u32 most, u32 row, u32 head, u32 n, u32 split, bool alone) {
    const u32 n_warps = threads / WARP, dim = p->c.head_dim;
    for (u32 i = tid() * 4; i < n * most; i += threads * 4) {
        const u32 h = i / most, column = i % most;
        if (column >= dim) continue;
        float top = LOWEST, weights = 0;
        f32x4 sum = {0, 0, 0, 0};
        UNROLL for (u32 w = 0; w < n_warps; w++) top = larger(top, stats[2 * (w * heads + h)]);
        UNROLL for (u32 w = 0; w < n_warps; w++) {
            const u32 at = w * heads + h;
            const float rescale = exp2_fast(stats[2 * at] - top);
            weights += stats[2 * at + 1] * rescale;
            sum += *(const SHARED f32x4 *)(sums + at * dim + column) * rescale;
        }
        if (alone) {
            const attention_call *c = &p->c;
            const float sink = c->sinks.data ? sink_of(c, head + h) : LOWEST, over_all = larger(top, sink);
            const float rescale = exp2_fast(top - over_all);
            weights = weights * rescale + (c->sinks.data ? exp2_fast(sink - over_all) : 0);
            for (u32 j = 0; j < 4; j++)
                store_from_f32(c->y.data, c->y.type, row * c->y.stride + (head + h) * dim + column + j,
                               sum[j] * rescale / weights);
            continue;
        }
        const i64 to = ((i64)row * p->c.n_heads + head + h) * p->n_splits + split;
        *(GLOBAL f32x4 *)(p->sums + to * dim + column) = sum;
        if (column == 0) *(GLOBAL f32x2 *)(p->weights + 2 * to) = (f32x2){top, weights};
    }
}

INLINE void decode_join_warps(const struct attention_split_params *p, const decode_shape *k, decode_state *s, u32 row,
                              u32 head, u32 n, u32 split) {
    const u32 n_warps = k->threads / WARP, dim = p->c.head_dim;
    SHARED float *stats = (SHARED float *)shared_memory(), *sums = stats + n_warps * k->heads * 2;
    if (lane_id() < k->lanes) {
        UNROLL for (u32 h = 0; h < k->heads; h++) {
            const u32 at = warp_id() * k->heads + h;
            if (lane_id() == 0) {
                stats[2 * at] = s->largest[h];
                stats[2 * at + 1] = s->weights[h];
            }
            UNROLL for (u32 v = 0; v < k->vectors; v++) {
                const u32 column = column_of(k, v);
                SHARED f32x4 *to = (SHARED f32x4 *)(sums + at * dim + column);
                const float *from = s->sums[h] + v * 8;
                if (column >= dim) continue;
                to[0] = (f32x4){from[0], from[1], from[2], from[3]};
                to[1] = (f32x4){from[4], from[5], from[6], from[7]};
            }
        }
    }
    barrier();
    decode_leave(p, stats, sums, k->threads, k->heads, k->lanes * k->vectors * 8, row, head, n, split, false);
}

/* Grid (KV heads * groups of query heads, rows, splits). */
INLINE void decode(const struct attention_split_params *p, u32 lanes, u32 vectors, u32 heads, u32 type) {
    const u32 columns = lanes * vectors * 8;
    const decode_shape k = {lanes, vectors, heads, type, decode_block(heads, columns), decode_ahead(heads, columns)};
    const attention_call *c = &p->c;
    const u32 row = bid_y(), split = bid_z(), kv_head = bid_x() / p->n_groups;
    const u32 ratio = c->n_heads / c->n_kv_heads, before = bid_x() % p->n_groups * heads;
    const u32 head = kv_head * ratio + before, n = ratio - before < heads ? ratio - before : heads;
    const sight seen = sight_of(c, row);
    const u32 shift = p->stretch_shift, begin = (seen.first >> shift) + split, end = (seen.last >> shift) + 1;
    if (begin >= end) return;
    const GLOBAL i32 *pages = (const GLOBAL i32 *)c->tables[row];
    const u32 n_workers = k.threads / lanes, worker = tid() / lanes;
    /* The batch is there before the first launch, and what earlier passes have written. This pass writes positions of
     * as many tokens as the row's sequence has: at most those of this row and of all rows before it. */
    const u32 fresh = seen.last - (row < seen.last ? row : seen.last);
    u32 stretch = begin, at = 0;
    decode_places places =
        decode_places_of(c, &k, pages, kv_head, seen, (stretch << shift) + worker, n_workers, (stretch + 1) << shift);
    decode_raw raw = {0};
    decode_fetch(c, &k, &places, fresh, true, &raw);
    previous_done();
    decode_fetch(c, &k, &places, fresh, false, &raw);
    decode_state s;
    decode_begin(c, &k, &s, row, head, n);
    while (1) {
        decode_positions(c, &k, &s, &places, &raw);
        at += k.ahead * n_workers;
        if (at >> shift) {
            at = 0;
            stretch += p->n_splits;
        }
        if (stretch >= end) break;
        places = decode_places_of(c, &k, pages, kv_head, seen, (stretch << shift) + at + worker, n_workers,
                                  (stretch + 1) << shift);
        raw = (decode_raw){0};
        decode_fetch(c, &k, &places, 0, false, &raw);
    }
    decode_join_lanes(&k, &s);
    decode_join_warps(p, &k, &s, row, head, n, split);
}

#define DECODE(name, lanes, vectors, heads, type)                                                                      \
    KERNEL void name(struct attention_split_params p) {                                                                \
        decode(&p, lanes, vectors, heads, type);                                                                       \
    }
/* By the most columns that they take and how many heads share a block. */
#define DECODE_HEADS(name, heads, type)                                                                                \
    DECODE(name##_64_##heads, 8, 1, heads, type)                                                                       \
    DECODE(name##_128_##heads, 16, 1, heads, type)                                                                     \
    DECODE(name##_256_##heads, 32, 1, heads, type)
#define DECODE_WIDE(name, heads, type) DECODE(name##_512_##heads, 32, 2, heads, type)

#endif
