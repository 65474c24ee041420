/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION for any shape of heads and pages, and small helpers of the other rows: a block for each query head of each
 * row, which goes over the positions in stretches. The scores of a stretch are worked out by a warp for each position,
 * its weights are applied by a thread for each column. */
#define NB_GPU_DEVICE_CODE
#include "attention.h"

enum { STRETCH = 256 };

/* In shared memory: the query, times scale; the result so far; the scores of a stretch. */
typedef struct plain_memory {
    SHARED float *query, *result, *scores;
} plain_memory;

INLINE void plain_scores(const attention_call *c, plain_memory m, const GLOBAL i32 *pages, u32 kv_head, u32 at, u32 n) {
    for (u32 i = warp_id(); i < n; i += bdim() / WARP) {
        const i64 key = page_offset(c, pages, at + i, kv_head);
        float sum = 0;
        for (u32 d = lane_id(); d < c->head_dim; d += WARP)
            sum += m.query[d] * load_as_f32(c->keys, c->kv_type, key + d);
        sum = warp_sum(sum);
        if (lane_id() == 0) m.scores[i] = c->softcap > 0 ? capped(c, sum) : sum;
    }
}

/* Every thread works out the same largest score and turns its own scores into weights. */
INLINE float plain_largest(plain_memory m, u32 n, float largest) {
    for (u32 i = lane_id(); i < n; i += WARP) largest = larger(largest, m.scores[i]);
    return warp_max(largest);
}

INLINE void plain_values(const attention_call *c, plain_memory m, const GLOBAL i32 *pages, u32 kv_head, u32 at, u32 n,
                         float rescale) {
    for (u32 d = tid(); d < c->head_dim; d += bdim()) {
        float sum = m.result[d] * rescale;
        for (u32 i = 0; i < n; i++)
            sum += m.scores[i] * load_as_f32(c->values, c->kv_type, page_offset(c, pages, at + i, kv_head) + d);
        m.result[d] = sum;
    }
}

/* Grid (heads, rows). */
KERNEL void attention_plain(struct attention_params p) {
    const attention_call *c = &p.c;
    const u32 head = bid_x(), kv_head = head / (c->n_heads / c->n_kv_heads), dim = c->head_dim;
    const plain_memory m = {(SHARED float *)shared_memory(), (SHARED float *)shared_memory() + dim,
                            (SHARED float *)shared_memory() + 2 * dim};
    for (u32 row = bid_y(); row < c->x.rows; row += 65535) {
        const sight s = sight_of(c, row);
        const GLOBAL i32 *pages = (const GLOBAL i32 *)c->tables[row];
        float largest = c->sinks.data ? sink_of(c, head) : LOWEST, sum = c->sinks.data ? 1 : 0;
        barrier();
        for (u32 d = tid(); d < dim; d += bdim()) {
            m.query[d] = load_as_f32(c->x.data, c->x.type, row * c->x.stride + head * dim + d) * c->scale;
            m.result[d] = 0;
        }
        barrier();
        for (u32 at = s.first; at <= s.last; at += STRETCH) {
            const u32 n = s.last - at + 1 < STRETCH ? s.last - at + 1 : STRETCH;
            plain_scores(c, m, pages, kv_head, at, n);
            barrier();
            const float top = plain_largest(m, n, largest), rescale = exp2_fast(largest - top);
            barrier();
            for (u32 i = tid(); i < n; i += bdim()) m.scores[i] = exp2_fast(m.scores[i] - top);
            barrier();
            float part = 0;
            for (u32 i = lane_id(); i < n; i += WARP) part += m.scores[i];
            sum = sum * rescale + warp_sum(part);
            largest = top;
            plain_values(c, m, pages, kv_head, at, n, rescale);
            barrier();
        }
        for (u32 d = tid(); d < dim; d += bdim())
            store_from_f32(c->y.data, c->y.type, row * c->y.stride + head * dim + d, m.result[d] / sum);
    }
}

/* ---- Few rows: attention_decode.h ------------------------------------------------------------------------------ */

/* Puts the splits of a row's head together: grid (heads, rows, columns / DECODE_JOIN_COLUMNS). Each warp adds up some
 * splits. A launch of this kind does so little that it takes as long as its instructions take to come: few of them. */
KERNEL void decode_join(struct attention_split_params p) {
    enum {
        WARPS = DECODE_JOIN_BLOCK / WARP,
        AT_ONCE = ATTEND_MOST_SPLITS / 2 / WARPS, /* splits whose sums a warp has on their way: all, for most shapes */
        EACH = (ATTEND_MOST_SPLITS + WARP - 1) / WARP /* splits whose weights a lane has */
    };
    const attention_call *c = &p.c;
    const u32 head = bid_x(), row = bid_y(), dim = c->head_dim, begin = bid_z() * DECODE_JOIN_COLUMNS;
    const sight seen = sight_of(c, row);
    const u32 n_stretches = (seen.last >> p.stretch_shift) - (seen.first >> p.stretch_shift) + 1;
    const u32 n = n_stretches < p.n_splits ? n_stretches : p.n_splits;
    const i64 from = ((i64)row * c->n_heads + head) * p.n_splits;
    const u32 column = begin + lane_id() * 4;
    const bool here = lane_id() * 4 < DECODE_JOIN_COLUMNS && column < dim;
    const GLOBAL float *sums = p.sums + from * dim + column;
    const float sink = c->sinks.data ? sink_of(c, head) : LOWEST;
    previous_done(); /* the batch, and so n, was there before */
    f32x2 mine[EACH];
    UNROLL for (u32 i = 0; i < EACH; i++) {
        const u32 split = lane_id() + i * WARP;
        mine[i] = split < n ? *(const GLOBAL f32x2 *)(p.weights + 2 * (from + split)) : (f32x2){LOWEST, 0};
    }
    f32x4 ahead[AT_ONCE];
    UNROLL for (u32 i = 0; i < AT_ONCE; i++) {
        const u32 split = warp_id() + i * WARPS;
        ahead[i] = split < n && here ? *(const GLOBAL f32x4 *)(sums + split * dim) : (f32x4){0, 0, 0, 0};
    }
    float top = sink, weights = 0;
    UNROLL for (u32 i = 0; i < EACH; i++) top = larger(top, mine[i].x);
    top = warp_max(top);
    float factors[EACH];
    UNROLL for (u32 i = 0; i < EACH; i++) {
        factors[i] = exp2_fast(mine[i].x - top);
        weights += mine[i].y * factors[i];
    }
    weights = warp_sum(weights);
    if (c->sinks.data) weights += exp2_fast(sink - top);
    f32x4 sum = {0, 0, 0, 0};
    UNROLL for (u32 i = 0; i < AT_ONCE; i++) sum += ahead[i] * shfl_from(factors[0], warp_id() + i * WARPS);
    for (u32 split = warp_id() + AT_ONCE * WARPS; split - warp_id() < n; split += WARPS) {
        const float factor = shfl_from(factors[EACH - 1], split % WARP);
        if (split < n && here) sum += *(const GLOBAL f32x4 *)(sums + split * dim) * factor;
    }
    SHARED float *all = (SHARED float *)shared_memory();
    if (here) *(SHARED f32x4 *)(all + warp_id() * DECODE_JOIN_COLUMNS + lane_id() * 4) = sum;
    barrier();
    const u32 own = begin + tid();
    if (tid() >= DECODE_JOIN_COLUMNS || own >= dim) return;
    float v = 0;
    UNROLL for (u32 w = 0; w < WARPS; w++) v += all[w * DECODE_JOIN_COLUMNS + tid()];
    store_from_f32(c->y.data, c->y.type, row * c->y.stride + head * dim + own, v / weights);
}

/* ---- Many rows: attention_tiles.h ------------------------------------------------------------------------------ */

/* One block: threads take the rows in equal stretches, count the tiles that begin there, and list them. */
KERNEL void attention_list(struct attention_tiles_params p) {
    SHARED u32 *counts = (SHARED u32 *)shared_memory();
    const u32 each = (p.rows + ATTEND_TILES_BLOCK - 1) / ATTEND_TILES_BLOCK, begin = tid() * each;
    const u32 end = begin + each < p.rows ? begin + each : p.rows;
    u32 n = 0;
    for (u32 r = begin; r < end; r++) n += r % p.height == 0 || p.tables[r] != p.tables[r - 1];
    counts[tid()] = n;
    barrier();
    u32 at = 0;
    for (u32 i = 0; i < tid(); i++) at += counts[i];
    if (tid() == ATTEND_TILES_BLOCK - 1) {
        p.tiles[0] = at + n;
        p.tiles[1 + at + n] = p.rows;
    }
    for (u32 r = begin; r < end; r++)
        if (r % p.height == 0 || p.tables[r] != p.tables[r - 1]) p.tiles[1 + at++] = r;
}
