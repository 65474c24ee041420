/* SPDX-License-Identifier: Apache-2.0
 *
 * The gated delta rule, token after token: rows of a state do not depend on one another, so each sequence falls into
 * many independent walks over its tokens, whose queries, keys and gates are shared. */
#define NB_GPU_DEVICE_CODE
#include "delta_params.h"
enum { BLOCK = DELTA_LANES * DELTA_ROWS, VECTOR_PAD = 0 };
#include "delta_batch.h"

/* ---- Any shape --------------------------------------------------------------------------------------------------- */

/* 32 lanes keep a row of the state where it is, each the elements that are its own. */
INLINE void plain_step(const struct delta_params *p, GLOBAL float *s, u32 t, u32 row, int inside) {
    const u32 dim = p->key_dim, head = row / p->value_dim, lane = tid() % 32;
    const i64 q_at = t * p->x.stride + key_head_of(p, head) * dim, k_at = q_at + p->n_keys * dim;
    float qq = 0, kk = 0, asked = 0;
    const float decay = gate_at(p, t, head);
    for (u32 j = lane; j < dim; j += 32) {
        const float q = load_as_f32(p->x.data, p->x.type, q_at + j), k = load_as_f32(p->x.data, p->x.type, k_at + j);
        qq += q * q;
        kk += k * k;
    }
    const float q_factor = length_factor(p, lanes_sum(qq, 32)) * query_scale(dim);
    const float k_factor = length_factor(p, lanes_sum(kk, 32));
    for (u32 j = lane; inside && j < dim; j += 32)
        asked += s[j] * (load_as_f32(p->x.data, p->x.type, k_at + j) * k_factor);
    asked = lanes_sum(asked, 32);
    const float delta = gate_at(p, t, p->n_heads + head) * (value_at(p, t, row) - decay * asked);
    float y = 0;
    for (u32 j = lane; inside && j < dim; j += 32) {
        s[j] = decay * s[j] + delta * (load_as_f32(p->x.data, p->x.type, k_at + j) * k_factor);
        y += s[j] * (load_as_f32(p->x.data, p->x.type, q_at + j) * q_factor);
    }
    y = lanes_sum(y, 32);
    if (inside && lane == 0) store_from_f32(p->y.data, p->y.type, t * p->y.stride + row, y);
}

/* Grid (rows of the state / (block / 32), tokens): blocks of a sequence's first token do all of it. */
KERNEL void delta(struct delta_params p) {
    const u32 all = p.n_heads * p.value_dim, own = bid_x() * (bdim() / 32) + tid() / 32, row = own < all ? own : 0;
    for (u32 first = bid_y(); first < p.x.rows; first += 65535) {
        if (!starts_run(p.slots, first)) continue;
        const i32 slot = p.slots[first];
        GLOBAL float *s = p.states + slot * p.size + (i64)row * p.key_dim;
        for (u32 t = first; t < p.x.rows && p.slots[t] == slot; t++) plain_step(&p, s, t, row, own < all);
    }
}

/* ---- Heads of 64 and 128 ----------------------------------------------------------------------------------------- */

/* A block takes DELTA_ROWS rows of a head's state, DELTA_LANES lanes each, and keeps them in registers. While it works
 * through a batch of tokens that lies in shared memory, the next one is on its way in registers. Of a row a lane
 * has fours, DELTA_LANES fours apart. */
typedef struct held_row {
    f32x4 s[128 / 4 / DELTA_LANES];
} held_row;

INLINE float held_dot(const held_row *h, const SHARED float *v, u32 n) {
    f32x4 sums = {0, 0, 0, 0};
    UNROLL for (u32 j = 0; j < n; j++) sums += h->s[j] * *(const SHARED f32x4 *)(v + 4 * j * DELTA_LANES);
    return lanes_sum((sums.x + sums.y) + (sums.z + sums.w), DELTA_LANES);
}

INLINE float batch_step(held_row *h, batch b, u32 i, u32 dim) {
    const u32 n = dim / 4 / DELTA_LANES, from = 4 * (tid() % DELTA_LANES), row = tid() / DELTA_LANES;
    const SHARED float *q = b.vectors + i * dim + from, *k = q + DELTA_TOKENS * dim;
    const float decay = b.gates[i], beta = b.gates[DELTA_TOKENS + i];
    const float delta = beta * (b.values[i * DELTA_ROWS + row] - decay * held_dot(h, k, n));
    UNROLL for (u32 j = 0; j < n; j++) h->s[j] =
        decay * h->s[j] + delta * *(const SHARED f32x4 *)(k + 4 * j * DELTA_LANES);
    return held_dot(h, q, n);
}

/* One sequence from its first token on. */
INLINE void run_rows(const struct delta_params *p, u32 first, u32 row, u32 dim) {
    const u32 n = dim / 4 / DELTA_LANES, own = row + tid() / DELTA_LANES, head = row / p->value_dim;
    const i32 slot = p->slots[first];
    GLOBAL float *state = p->states + slot * p->size + (i64)own * dim + 4 * (tid() % DELTA_LANES);
    ahead a;
    ahead_load(p, &a, first, slot, head, row, dim);
    held_row h;
    UNROLL for (u32 j = 0; j < n; j++) h.s[j] = *(const GLOBAL f32x4 *)(state + 4 * j * DELTA_LANES);
    u32 which = 0, n_tokens = ahead_store(p, &a, batch_at(0, dim), dim);
    barrier();
    for (u32 t = first; n_tokens > 0; t += DELTA_TOKENS) {
        const int more = n_tokens == DELTA_TOKENS;
        if (more) ahead_load(p, &a, t + DELTA_TOKENS, slot, head, row, dim);
        for (u32 i = 0; i < n_tokens; i++) {
            const float y = batch_step(&h, batch_at(which, dim), i, dim);
            if (tid() % DELTA_LANES == 0) store_from_f32(p->y.data, p->y.type, (t + i) * p->y.stride + own, y);
        }
        which ^= 1;
        n_tokens = more ? ahead_store(p, &a, batch_at(which, dim), dim) : 0;
        barrier();
    }
    UNROLL for (u32 j = 0; j < n; j++) * (GLOBAL f32x4 *)(state + 4 * j * DELTA_LANES) = h.s[j];
}

/* Grid (rows of the state / DELTA_ROWS, so many sequences at once). */
INLINE void delta_heads(const struct delta_params *p, u32 grid_y, u32 dim) {
    for (u32 first = bid_y(); first < p->x.rows; first += grid_y)
        if (starts_run(p->slots, first)) run_rows(p, first, bid_x() * DELTA_ROWS, dim);
}
KERNEL void delta64(struct delta_params p) {
    delta_heads(&p, p.grid_y, 64);
}
KERNEL void delta128(struct delta_params p) {
    delta_heads(&p, p.grid_y, 128);
}
