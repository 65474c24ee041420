/* SPDX-License-Identifier: Apache-2.0
 *
 * Root mean square normalization. A part of a row is a block's, or where parts are short (heads) that of 32 lanes;
 * what a thread has read it keeps for the second pass. Residual and x may be y itself: each element is read and written
 * by one thread. */
#define NB_GPU_DEVICE_CODE
#include "norm_params.h"
#include "ops_vec.h"
#include "reduce.h"

/* Any operands. */
KERNEL void rmsnorm(struct norm_params p) {
    const u32 row = bid_x() / p.n_parts, from = bid_x() % p.n_parts * p.size;
    const i64 x_at = row * p.x.stride + from, y_at = row * p.y.stride + from;
    float squares = 0;
    for (u32 j = tid(); j < p.size; j += bdim()) {
        const float x = load_as_f32(p.x.data, p.x.type, x_at + j);
        squares += x * x;
    }
    const float factor = norm_factor(block_sum(squares, (SHARED float *)shared_memory()), p.size, p.eps);
    for (u32 j = tid(); j < p.size; j += bdim()) {
        const float weight = p.weight.data ? load_any(p.weight.data, p.weight.type, j) : 1.0f;
        float y = load_as_f32(p.x.data, p.x.type, x_at + j) * factor * (p.offset + weight);
        if (p.residual.data) y += load_as_f32(p.residual.data, p.residual.type, row * p.residual.stride + from + j);
        store_from_f32(p.y.data, p.y.type, y_at + j, y * p.scale);
    }
}

/* What a thread keeps of a part: fours `threads` apart from its own on; weights and residuals as they lie in memory. */
typedef struct held {
    u32x4 weights[NORM_HELD], residuals[NORM_HELD];
    f32x4 x[NORM_HELD];
} held;

INLINE void held_weights(const struct norm_params *p, held *h, u32 thread, u32 threads) {
    UNROLL for (u32 i = 0; i < NORM_HELD; i++) {
        const u32 j = 4 * (thread + i * threads);
        if (j < p->size && p->weight.data) h->weights[i] = vec_bits(p->weight.data, p->weight.type, j, 4);
    }
}

/* The thread's sum of squares. */
INLINE float held_load(const struct norm_params *p, held *h, u32 row, u32 from, u32 thread, u32 threads, int inside) {
    f32x4 sums = {0, 0, 0, 0};
    u32x4 x[NORM_HELD];
    UNROLL for (u32 i = 0; i < NORM_HELD; i++) {
        const u32 j = 4 * (thread + i * threads);
        x[i] = (u32x4){0, 0, 0, 0};
        if (!inside || j >= p->size) continue;
        x[i] = row_bits(&p->x, row, from + j, 4);
        if (p->residual.data) h->residuals[i] = row_bits(&p->residual, row, from + j, 4);
    }
    UNROLL for (u32 i = 0; i < NORM_HELD; i++) {
        h->x[i] = vec_of(x[i], p->x.type, 4);
        sums += h->x[i] * h->x[i];
    }
    return (sums.x + sums.y) + (sums.z + sums.w);
}

INLINE void held_store(const struct norm_params *p, const held *h, u32 row, u32 from, u32 thread, u32 threads,
                       float factor) {
    UNROLL for (u32 i = 0; i < NORM_HELD; i++) {
        const u32 j = 4 * (thread + i * threads);
        if (j >= p->size) continue;
        f32x4 weight = {1, 1, 1, 1};
        if (p->weight.data) weight = vec_of(h->weights[i], p->weight.type, 4);
        f32x4 y = h->x[i] * factor * (p->offset + weight);
        if (p->residual.data) y += vec_of(h->residuals[i], p->residual.type, 4);
        store_row(&p->y, row, from + j, 4, y * p->scale);
    }
}

KERNEL void rmsnorm4(struct norm_params p) {
    const u32 row = bid_x() / p.n_parts, from = bid_x() % p.n_parts * p.size;
    held h;
    held_weights(&p, &h, tid(), bdim());
    previous_done();
    const float own = held_load(&p, &h, row, from, tid(), bdim(), 1);
    const float squares = block_sum(own, (SHARED float *)shared_memory());
    held_store(&p, &h, row, from, tid(), bdim(), norm_factor(squares, p.size, p.eps));
}

/* 32 lanes a part. */
KERNEL void rmsnorm_heads(struct norm_params p) {
    const u32 part = bid_x() * (bdim() / 32) + tid() / 32, row = part / p.n_parts, from = part % p.n_parts * p.size;
    const int inside = row < p.y.rows;
    held h;
    held_weights(&p, &h, tid() % 32, 32);
    previous_done();
    const float squares = lanes_sum(held_load(&p, &h, row, from, tid() % 32, 32, inside), 32);
    if (inside) held_store(&p, &h, row, from, tid() % 32, 32, norm_factor(squares, p.size, p.eps));
}
