/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION of few rows on NVIDIA's matrix units, keys and values f16 (attention_decode.h says how positions are split
 * and put together). Up to eight query heads that share a KV head are rows 0 to 7 of A; what f16 leaves of them is rows
 * 8 to 15, so that a product is as exact as fp32. The same with the weights of the positions. A warp takes 16 positions
 * at a time, which lie on one page; its lanes load keys and values as the fragments want them: lane 4 g + t has of each
 * 32 columns of key g those from 8 t on, and of the values of positions 2 t and 2 t + 1 the columns 8 g and on. */
#ifndef NB_GPU_KERNELS_ATTENTION_MMA16_H
#define NB_GPU_KERNELS_ATTENTION_MMA16_H

#include "attention_decode.h"
#include "dequant.h"
#include "mma.h"

#if MMA_16X8

enum {
    M16_MOST = 128, /* columns of a head */
    M16_WARPS = M16_BLOCK / WARP,
    M16_WEIGHT_BITS = 10 /* weights are 2^10 times as large, so that their second half is no subnormal number */
};

/* A lane's part of the queries, of head g; of its weighted sums, of tiles of 8 columns: columns 8 (2 t + e % 2) + i of
 * each 64, for tile i, the second halves behind; their largest score and sum of weights. */
typedef struct m16_state {
    u32 query[M16_MOST / 16][4];
    float per_query; /* what scores are to be multiplied with */
    float sums[M16_MOST / 8][4];
    float largest, weights;
} m16_state;

/* Two floats as pairs of f16: what is nearest, and what is nearest to the rest. */
INLINE void m16_halves(u32 *first, u32 *rest, float a, float b) {
    *first = dq_pack(a, b, false);
    *rest = dq_pack(a - dq_low(*first, false), b - dq_high(*first, false), false);
}

/* All loads are on their way before the first one is needed. type: G_F32, or any of 16 bits. */
INLINE void m16_queries(const attention_call *c, eight q[M16_MOST / 32], u32 dim, u32 row, u32 head, u32 n, u32 type) {
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    const i64 at = row * c->x.stride + (head + g) * dim + 8 * t;
    eight_raw raw[M16_MOST / 32];
    UNROLL for (u32 i = 0; i < dim / 32; i++) {
        raw[i] = (eight_raw){{0, 0, 0, 0}, {0, 0, 0, 0}};
        if (g < n) eight_read(&raw[i], c->x.data, type, (u64)(at + 32 * i));
    }
    UNROLL for (u32 i = 0; i < dim / 32; i++) eight_of(&q[i], &raw[i], type == G_F32 ? G_F32 : c->x.type);
}

/* Queries are scaled by a power of two for each head, so that their largest is at most 2^14. */
INLINE void m16_begin(const attention_call *c, m16_state *s, u32 dim, u32 row, u32 head, u32 n) {
    eight q[M16_MOST / 32];
    float largest = 0;
    if (c->x.type == G_F32)
        m16_queries(c, q, dim, row, head, n, G_F32);
    else
        m16_queries(c, q, dim, row, head, n, G_F16);
    UNROLL for (u32 i = 0; i < dim / 32; i++) UNROLL for (u32 j = 0; j < 8; j++) {
        q[i].v[j] *= c->scale;
        largest = larger(largest, __builtin_fabsf(q[i].v[j]));
    }
    largest = lanes_max(largest, 4);
    const u32 exponent = as_u32(largest) >> 23, most = exponent < 20 ? 20 : exponent > 240 ? 240 : exponent;
    const float per = as_f32((267 - most) << 23); /* 2^(13 + 127 - exponent) */
    s->per_query = as_f32((most - 13) << 23);
    UNROLL for (u32 i = 0; i < dim / 32; i++) UNROLL for (u32 j = 0; j < 4; j++) {
        u32 *to = s->query[2 * i + j / 2] + j % 2 * 2;
        m16_halves(&to[0], &to[1], q[i].v[2 * j] * per, q[i].v[2 * j + 1] * per);
    }
    UNROLL for (u32 i = 0; i < dim / 2; i++) s->sums[i / 4][i % 4] = 0;
    s->largest = LOWEST;
    s->weights = 0;
}

/* Of positions `at` and 8 further on, key g; of positions 2 t, 2 t + 1 and 8 further on, the values. Not seen: zeros.
 */
typedef struct m16_keys {
    u32x4 of[2][M16_MOST / 32];
} m16_keys;
typedef struct m16_values { /* of 64 columns */
    u32x4 of[4];
} m16_values;
INLINE u32x4 m16_load(const GLOBAL u8 *from, u32 position, sight seen) {
    if (position < seen.first || position > seen.last) return (u32x4){0, 0, 0, 0};
    return stream_load16_written(from);
}
INLINE void m16_load_keys(m16_keys *k, const attention_call *c, u32 dim, i64 page, u32 at, sight seen) {
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    const GLOBAL u8 *from = c->keys + (page + (i64)((at & (c->page_size - 1)) + g) * dim + 8 * t) * 2;
    UNROLL for (u32 i = 0; i < 2 * dim / 32; i++) k->of[i % 2][i / 2] =
        m16_load(from + i % 2 * 8 * dim * 2 + i / 2 * 64, at + i % 2 * 8 + g, seen);
}
INLINE void m16_load_values(m16_values *v, const attention_call *c, u32 dim, i64 page, u32 at, sight seen, u32 part) {
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    const GLOBAL u8 *from = c->values + (page + (i64)((at & (c->page_size - 1)) + 2 * t) * dim + 64 * part + 8 * g) * 2;
    UNROLL for (u32 i = 0; i < 4; i++) {
        const u32 further = i / 2 * 8 + i % 2;
        v->of[i] = m16_load(from + further * dim * 2, at + further + 2 * t, seen);
    }
}
/* The first element of the page that position `at` is on. */
INLINE i64 m16_page(const attention_call *c, const GLOBAL i32 *pages, u32 dim, u32 kv_head, u32 at) {
    return (((i64)pages[at >> c->page_shift] * c->n_kv_heads + kv_head) << c->page_shift) * dim;
}

/* capping: null, or whose softcap they get. Scores of head g with positions 2 t, 2 t + 1, and 8 further on. */
INLINE void m16_scores(float scores[4], const attention_call *capping, const m16_state *s, u32 dim, const m16_keys *k,
                       u32 at, sight seen) {
    UNROLL for (u32 half = 0; half < 2; half++) {
        float d[4] = {0, 0, 0, 0};
        UNROLL for (u32 i = 0; i < dim / 32; i++) UNROLL for (u32 j = 0; j < 2; j++)
            mma_16x8(d, s->query[2 * i + j], k->of[half][i][2 * j], k->of[half][i][2 * j + 1], false);
        UNROLL for (u32 e = 0; e < 2; e++) {
            const u32 position = at + 8 * half + lane_id() % 4 * 2 + e;
            const float score = (d[e] + d[2 + e]) * s->per_query;
            scores[2 * half + e] = position < seen.first || position > seen.last ? LOWEST
                                   : capping                                     ? capped(capping, score)
                                                                                 : score;
        }
    }
}

/* Their weights as fragments of A. */
INLINE void m16_weights(u32 a[4], m16_state *s, u32 dim, const float scores[4]) {
    float top = s->largest, weights[4];
    UNROLL for (u32 i = 0; i < 4; i++) top = larger(top, scores[i]);
    top = lanes_max(top, 4);
    if (warp_any(top > s->largest)) {
        const float rescale = exp2_fast(s->largest - top);
        UNROLL for (u32 i = 0; i < dim / 2; i++) s->sums[i / 4][i % 4] *= rescale;
        s->weights *= rescale;
        s->largest = top;
    }
    UNROLL for (u32 i = 0; i < 4; i++) {
        weights[i] = scores[i] == LOWEST ? 0 : exp2_fast(scores[i] - top + M16_WEIGHT_BITS);
        s->weights += weights[i];
    }
    m16_halves(&a[0], &a[1], weights[0], weights[1]);
    m16_halves(&a[2], &a[3], weights[2], weights[3]);
}
INLINE void m16_add_values(m16_state *s, const u32 a[4], const m16_values *v, u32 part) {
    UNROLL for (u32 i = 0; i < 8; i++) {
        const u32 word = i / 2, which = i % 2 ? 0x7632 : 0x5410;
        mma_16x8(s->sums[part * 8 + i], a, pick_bytes(v->of[0][word], v->of[1][word], which),
                 pick_bytes(v->of[2][word], v->of[3][word], which), false);
    }
}

/* What the block leaves: in shared memory [warp][head][largest, weights], [warp][head][column]. */
INLINE void m16_end(const struct attention_split_params *p, m16_state *s, u32 dim, u32 row, u32 head, u32 n,
                    u32 split) {
    const u32 g = lane_id() / 4, t = lane_id() % 4, own = warp_id() * M16_HEADS + g;
    SHARED float *stats = (SHARED float *)shared_memory(), *sums = stats + M16_WARPS * M16_HEADS * 2;
    const float weights = lanes_sum(s->weights, 4);
    if (t == 0) {
        stats[2 * own] = s->largest - M16_WEIGHT_BITS;
        stats[2 * own + 1] = weights;
    }
    UNROLL for (u32 i = 0; i < dim / 8; i++) UNROLL for (u32 e = 0; e < 2; e++) {
        const u32 column = i / 8 * 64 + (2 * t + e) * 8 + i % 8;
        sums[own * dim + column] = s->sums[i][e] + s->sums[i][2 + e];
    }
    barrier();
    decode_leave(p, stats, sums, M16_BLOCK, M16_HEADS, dim, row, head, n, split, p->n_splits == 1);
}

/* For heads of dim columns, 64 or 128; caps: with a softcap. Grid (KV heads * groups of query heads, rows, splits). */
INLINE void decode_m16(const struct attention_split_params *p, u32 dim, bool caps) {
    const attention_call *c = &p->c;
    const u32 row = bid_y(), split = bid_z(), kv_head = bid_x() / p->n_groups;
    const u32 ratio = c->n_heads / c->n_kv_heads, before = bid_x() % p->n_groups * M16_HEADS;
    const u32 head = kv_head * ratio + before, n = ratio - before < M16_HEADS ? ratio - before : M16_HEADS;
    const sight seen = sight_of(c, row);
    const u32 shift = p->stretch_shift, begin = (seen.first >> shift) + split, end = (seen.last >> shift) + 1;
    if (begin >= end) return;
    const GLOBAL i32 *pages = (const GLOBAL i32 *)c->tables[row];
    /* The warp's pieces of 16 positions: every M16_WARPS-th of the block's stretches. */
    const u32 pieces = (1u << shift) / M16_POSITIONS;
    u32 i = warp_id();
    u32 stretch = begin + i / pieces * p->n_splits, at = (stretch << shift) + i % pieces * M16_POSITIONS;
    i64 page = at <= seen.last ? m16_page(c, pages, dim, kv_head, at) : 0;
    previous_done();
    m16_state s;
    m16_begin(c, &s, dim, row, head, n);
    m16_keys keys;
    m16_load_keys(&keys, c, dim, page, at, seen);
    while (stretch < end) {
        const u32 now = at;
        m16_values values[M16_MOST / 64];
        UNROLL for (u32 part = 0; part < dim / 64; part++) m16_load_values(&values[part], c, dim, page, at, seen, part);
        i += M16_WARPS;
        stretch = begin + i / pieces * p->n_splits;
        at = (stretch << shift) + i % pieces * M16_POSITIONS;
        page = at <= seen.last ? m16_page(c, pages, dim, kv_head, at) : 0;
        float scores[4];
        u32 a[4];
        m16_scores(scores, caps ? c : (const attention_call *)0, &s, dim, &keys, now, seen);
        m16_load_keys(&keys, c, dim, page, at, seen); /* as early as can be */
        m16_weights(a, &s, dim, scores);
        UNROLL for (u32 part = 0; part < dim / 64; part++) m16_add_values(&s, a, &values[part], part);
    }
    m16_end(p, &s, dim, row, head, n, split);
}

#    define DECODE_M16(name, dim)                                                                                      \
        KERNEL void name(struct attention_split_params p) {                                                            \
            decode_m16(&p, dim, false);                                                                                \
        }                                                                                                              \
        KERNEL void name##_capped(struct attention_split_params p) {                                                   \
            decode_m16(&p, dim, true);                                                                                 \
        }
#else
#    define DECODE_M16(name, dim)
#endif

#endif
