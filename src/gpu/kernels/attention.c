/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION for any shape of heads and pages: a block for each query head of each row, which goes over the positions in
 * stretches. The scores of a stretch are worked out by a warp for each position, its weights are applied by a thread
 * for each column. */
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
        if (lane_id() == 0) m.scores[i] = sum;
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
