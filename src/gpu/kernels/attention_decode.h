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
    MOST_HEADS = 8,
    MOST_VECTORS = 2 /* of 8 columns */
};

/* What kernels differ by, known when they are compiled. A worker is `lanes` threads that share a position, each with
 * `vectors` times 8 columns of it, for `heads` query heads; it loads `ahead` positions at once. */
typedef struct decode_shape {
    u32 lanes, vectors, heads, type, ahead;
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

/* x at multiples of 16 bytes. */
INLINE void decode_begin(const attention_call *c, const decode_shape *k, decode_state *s, u32 row, u32 head, u32 n) {
    UNROLL for (u32 h = 0; h < k->heads; h++) {
        s->largest[h] = LOWEST;
        s->weights[h] = 0;
        UNROLL for (u32 v = 0; v < k->vectors; v++) {
            const u32 column = column_of(k, v);
            eight query = {{0, 0, 0, 0, 0, 0, 0, 0}};
            if (h < n && column < c->head_dim)
                eight_load(&query, c->x.data, c->x.type, (u64)(row * c->x.stride + (head + h) * c->head_dim + column));
            UNROLL for (u32 i = 0; i < 8; i++) {
                s->query[h][v * 8 + i] = query.v[i] * c->scale;
                s->sums[h][v * 8 + i] = 0;
            }
        }
    }
}

/* Where so many positions lie, at, at + step, ..., as far as they are before `end` and seen. */
typedef struct decode_places {
    int sees[MOST_AHEAD];
    i64 from[MOST_AHEAD];
} decode_places;
INLINE decode_places decode_places_of(const attention_call *c, const decode_shape *k, const GLOBAL i32 *pages,
                                      u32 kv_head, sight seen, u32 at, u32 step, u32 end) {
    decode_places places;
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        const u32 position = at + u * step;
        places.sees[u] = position < end && position >= seen.first && position <= seen.last;
        places.from[u] = places.sees[u] ? page_offset_shift(c, pages, position, kv_head) : 0;
    }
    return places;
}

/* What lies there may still be written, but is on its way into the second level cache. */
INLINE void decode_ask_places(const attention_call *c, const decode_shape *k, const decode_places *places) {
    const u32 size = k->type == G_F32 ? 4 : 2;
    UNROLL for (u32 u = 0; u < k->ahead; u++) UNROLL for (u32 v = 0; v < k->vectors; v++) {
        if (!places->sees[u] || column_of(k, v) >= c->head_dim) continue;
        ask_for(c->keys + (places->from[u] + column_of(k, v)) * size);
        ask_for(c->values + (places->from[u] + column_of(k, v)) * size);
    }
}

/* Eight columns of keys or values. */
INLINE void decode_read(eight_raw *raw, const GLOBAL u8 *p, u32 type, u64 j) {
    const GLOBAL u32x4 *at = (const GLOBAL u32x4 *)(p + (type == G_F32 ? 4 : 2) * j);
    raw->a = stream_load16_written(at);
    if (type == G_F32) raw->b = stream_load16_written(at + 1);
}
INLINE void decode_positions(const attention_call *c, const decode_shape *k, decode_state *s,
                             const decode_places *places) {
    eight_raw keys[MOST_AHEAD][MOST_VECTORS], values[MOST_AHEAD][MOST_VECTORS];
    const int *sees = places->sees;
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        const i64 from = places->from[u];
        UNROLL for (u32 v = 0; v < k->vectors; v++) {
            const u32 column = column_of(k, v);
            keys[u][v] = values[u][v] = (eight_raw){{0, 0, 0, 0}, {0, 0, 0, 0}};
            if (sees[u] && column < c->head_dim) {
                decode_read(&keys[u][v], c->keys, k->type, (u64)(from + column));
                decode_read(&values[u][v], c->values, k->type, (u64)(from + column));
            }
        }
    }
    float scores[MOST_AHEAD][MOST_HEADS];
    UNROLL for (u32 u = 0; u < k->ahead; u++) {
        UNROLL for (u32 h = 0; h < k->heads; h++) scores[u][h] = 0;
        UNROLL for (u32 i = 0; i < k->vectors * 8; i++) {
            const float key = eight_at(&keys[u][i / 8], k->type, i % 8);
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
            const float value = eight_at(&values[u][i / 8], k->type, i % 8);
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
 * [warp][head][largest, weights], sums [warp][head][column], for n of `heads` heads. */
INLINE void decode_leave(const struct attention_split_params *p, const SHARED float *stats, const SHARED float *sums,
                         u32 heads, u32 row, u32 head, u32 n, u32 split, bool alone) {
    const u32 n_warps = ATTEND_BLOCK / WARP, dim = p->c.head_dim;
    for (u32 i = tid(); i < n * dim; i += ATTEND_BLOCK) {
        const u32 h = i / dim, column = i % dim;
        float top = LOWEST, weights = 0, sum = 0;
        UNROLL for (u32 w = 0; w < n_warps; w++) top = larger(top, stats[2 * (w * heads + h)]);
        UNROLL for (u32 w = 0; w < n_warps; w++) {
            const u32 at = w * heads + h;
            const float rescale = exp2_fast(stats[2 * at] - top);
            weights += stats[2 * at + 1] * rescale;
            sum += sums[at * dim + column] * rescale;
        }
        if (alone) {
            const attention_call *c = &p->c;
            const float sink = c->sinks.data ? sink_of(c, head + h) : LOWEST, most = larger(top, sink);
            weights = weights * exp2_fast(top - most) + (c->sinks.data ? exp2_fast(sink - most) : 0);
            store_from_f32(c->y.data, c->y.type, row * c->y.stride + (head + h) * dim + column,
                           sum * exp2_fast(top - most) / weights);
            continue;
        }
        const i64 to = ((i64)row * p->c.n_heads + head + h) * p->n_splits + split;
        p->sums[to * dim + column] = sum;
        if (column == 0) {
            p->weights[2 * to] = top;
            p->weights[2 * to + 1] = weights;
        }
    }
}

INLINE void decode_join_warps(const struct attention_split_params *p, const decode_shape *k, decode_state *s, u32 row,
                              u32 head, u32 n, u32 split) {
    const u32 n_warps = ATTEND_BLOCK / WARP, dim = p->c.head_dim;
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
                UNROLL for (u32 i = 0; i < 8; i++) if (column < dim) sums[at * dim + column + i] =
                    s->sums[h][v * 8 + i];
            }
        }
    }
    barrier();
    decode_leave(p, stats, sums, k->heads, row, head, n, split, false);
}

/* Grid (KV heads * groups of query heads, rows, splits). */
INLINE void decode(const struct attention_split_params *p, u32 lanes, u32 vectors, u32 heads, u32 type) {
    const u32 ahead = type == G_F32 && vectors == 2 ? 2 : 4; /* for which there are registers */
    const decode_shape k = {lanes, vectors, heads, type, ahead};
    const attention_call *c = &p->c;
    const u32 row = bid_y(), split = bid_z(), kv_head = bid_x() / p->n_groups;
    const u32 ratio = c->n_heads / c->n_kv_heads, before = bid_x() % p->n_groups * heads;
    const u32 head = kv_head * ratio + before, n = ratio - before < heads ? ratio - before : heads;
    const sight seen = sight_of(c, row);
    const u32 shift = p->stretch_shift, begin = (seen.first >> shift) + split, end = (seen.last >> shift) + 1;
    if (begin >= end) return;
    const GLOBAL i32 *pages = (const GLOBAL i32 *)c->tables[row];
    const u32 n_workers = ATTEND_BLOCK / lanes, worker = tid() / lanes;
    /* The batch is there before the first launch; so are the first pages' numbers, not what is on the pages. */
    u32 stretch = begin, at = 0;
    decode_places places =
        decode_places_of(c, &k, pages, kv_head, seen, (stretch << shift) + worker, n_workers, (stretch + 1) << shift);
    decode_ask_places(c, &k, &places);
    previous_done();
    decode_state s;
    decode_begin(c, &k, &s, row, head, n);
    while (1) {
        decode_positions(c, &k, &s, &places);
        at += k.ahead * n_workers;
        if (at >> shift) {
            at = 0;
            stretch += p->n_splits;
        }
        if (stretch >= end) break;
        places = decode_places_of(c, &k, pages, kv_head, seen, (stretch << shift) + at + worker, n_workers,
                                  (stretch + 1) << shift);
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
