/* SPDX-License-Identifier: Apache-2.0
 *
 * The gated delta rule in chunks of DELTA_TOKENS tokens (Yang et al. 2024, "Parallelizing Linear Transformers with the
 * Delta Rule over Sequence Length", arXiv 2406.06484; with decay: "Gated Delta Networks", arXiv 2412.06464). With S the
 * state in front of a chunk, g_i the product of decays up to token i and r_ij that of those from j + 1 to i, the
 * corrections u of a chunk's tokens are the solution of
 *     u_i = beta_i (v_i - g_i S k_i - sum over j < i of r_ij (k_i . k_j) u_j),
 * outputs are g_i S q_i + sum over j <= i of r_ij (q_i . k_j) u_j, and the state becomes g S + sum of r_j u_j k_j^T.
 * Nothing is divided, so decays may be 0. A block has DELTA_ROWS rows of a head's state. */
#define NB_GPU_DEVICE_CODE
#include <stdbool.h>

#include "delta_params.h"
enum { BLOCK = DELTA_CHUNK_BLOCK, VECTOR_PAD = DELTA_CHUNK_PAD };
#include "delta_batch.h"

enum { C = DELTA_TOKENS, R = DELTA_ROWS };

/* Unrolled as a whole these loops take more registers than AMD has. */
#define UNROLL_2 _Pragma("clang loop unroll_count(2)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")

/* In shared memory, beside two batches: the state's rows; [j][i] for i >= j: r_ij, beta_i r_ij k_i . k_j, r_ij q_i .
 * k_j; [i][row] what u is made of, the part of the outputs that the state gives, u; of each token g_i, and r from it to
 * the last. */
typedef struct chunk {
    SHARED float *state, *ratio, *among, *read, *wanted, *given, *u, *decayed, *rest;
} chunk;
INLINE chunk chunk_at(u32 dim) {
    chunk c;
    c.state = batch_at(2, dim).vectors;
    c.ratio = c.state + R * (dim + VECTOR_PAD);
    c.among = c.ratio + C * C;
    c.read = c.among + C * C;
    c.wanted = c.read + C * C;
    c.given = c.wanted + C * R;
    c.u = c.given + C * R;
    c.decayed = c.u + C * R;
    c.rest = c.decayed + C;
    return c;
}

/* Decays behind the sequence's last token are 1, and its corrections 0. */
INLINE void chunk_ratios(const chunk *c, const batch *b, u32 n_tokens) {
    const u32 j = tid();
    if (j >= C) return;
    float product = 1, all = 1;
    for (u32 i = 0; i < C; i++) {
        const float decay = i < n_tokens ? b->gates[i] : 1;
        if (i > j) product *= decay;
        all *= decay;
        c->ratio[j * C + i] = product;
        if (i == j) c->decayed[j] = all;
    }
    c->rest[j] = product;
}

INLINE float four_dot(f32x4 a, f32x4 b, float sum) {
    UNROLL for (u32 i = 0; i < 4; i++) sum = __builtin_fmaf(a[i], b[i], sum);
    return sum;
}

/* Products of all queries and keys with the state's rows and the keys. A thread has four of these 32 vectors and four
 * of those 32, every eighth each, so that shared memory is read little; four lanes share the columns. */
enum { TILE = 4 };
INLINE void chunk_tile(float sums[TILE][TILE], const chunk *c, const batch *b, u32 dim) {
    const u32 stride = dim + VECTOR_PAD, from = tid() % 4 * 4, row = tid() / 4 % 8, vector = tid() / 32;
    const SHARED float *rows[TILE], *vectors[TILE], *keys = b->vectors + C * stride;
    UNROLL for (u32 n = 0; n < TILE; n++) {
        rows[n] = (n < 2 ? (const SHARED float *)c->state : keys) + (row + n % 2 * 8) * stride + from;
        vectors[n] = b->vectors + (vector + n * 8) * stride + from;
    }
    UNROLL_2 for (u32 d = 0; d < dim; d += 16) {
        f32x4 of_rows[TILE];
        UNROLL for (u32 n = 0; n < TILE; n++) of_rows[n] = *(const SHARED f32x4 *)(rows[n] + d);
        UNROLL for (u32 m = 0; m < TILE; m++) {
            const f32x4 v = *(const SHARED f32x4 *)(vectors[m] + d);
            UNROLL for (u32 n = 0; n < TILE; n++) sums[m][n] = four_dot(of_rows[n], v, sums[m][n]);
        }
    }
    UNROLL for (u32 m = 0; m < TILE; m++) UNROLL for (u32 n = 0; n < TILE; n++) sums[m][n] = lanes_sum(sums[m][n], 4);
}

INLINE void chunk_products(const chunk *c, const batch *b, u32 n_tokens, u32 dim) {
    float sums[TILE][TILE] = {{0}};
    chunk_tile(sums, c, b, dim);
    UNROLL for (u32 m = 0; m < TILE; m++) { /* queries, then keys */
        if (tid() % 4 != m) continue;
        const u32 i = tid() / 32 + m % 2 * 8;
        const float beta = i < n_tokens ? b->gates[C + i] : 0, g = c->decayed[i];
        UNROLL for (u32 n = 0; n < 2; n++) {
            const u32 row = tid() / 4 % 8 + 8 * n;
            const float among = row <= i ? c->ratio[row * C + i] * sums[m][2 + n] : 0;
            if (m < 2) {
                c->given[i * R + row] = g * sums[m][n];
                c->read[row * C + i] = among;
            } else {
                const float value = i < n_tokens ? b->values[i * R + row] : 0;
                c->wanted[i * R + row] = beta * (value - g * sums[m][n]);
                c->among[row * C + i] = i == row ? 0 : beta * among;
            }
        }
    }
}

/* A row's corrections, one after the other, each taken from those that follow. */
INLINE void chunk_solve(const chunk *c) {
    const u32 row = tid();
    if (row >= R) return;
    float u[C];
    UNROLL for (u32 i = 0; i < C; i++) u[i] = c->wanted[i * R + row];
    UNROLL for (u32 j = 0; j < C; j++) {
        c->u[j * R + row] = u[j];
        UNROLL for (u32 i = j + 1; i < C; i++) u[i] = __builtin_fmaf(-c->among[j * C + i], u[j], u[i]);
    }
}

/* A thread's elements of a row of the state: fours, 64 columns apart. */
typedef struct held_state {
    f32x4 s[2];
} held_state;
INLINE u32 held_row(void) {
    return tid() / 16;
}
INLINE u32 held_column(u32 n) {
    return tid() % 16 * 4 + n * 64;
}

INLINE void held_update(held_state *h, const chunk *c, const batch *b, u32 dim) {
    const u32 stride = dim + VECTOR_PAD;
    const float all = c->decayed[C - 1];
    UNROLL for (u32 n = 0; n < dim / 64; n++) h->s[n] *= all;
    UNROLL_4 for (u32 j = 0; j < C; j++) {
        const float by = c->rest[j] * c->u[j * R + held_row()];
        UNROLL for (u32 n = 0; n < dim / 64; n++) h->s[n] +=
            by * *(const SHARED f32x4 *)(b->vectors + (C + j) * stride + held_column(n));
    }
}
INLINE void held_put(const held_state *h, const chunk *c, u32 dim) {
    UNROLL for (u32 n = 0; n < dim / 64; n++) *
        (SHARED f32x4 *)(c->state + held_row() * (dim + VECTOR_PAD) + held_column(n)) = h->s[n];
}

INLINE void chunk_outputs(const struct delta_params *p, const chunk *c, u32 first, u32 n_tokens, u32 row) {
    const u32 i = tid() / R, own = tid() % R;
    float y = c->given[i * R + own];
    UNROLL for (u32 j = 0; j < C; j++) if (j <= i) y = __builtin_fmaf(c->read[j * C + i], c->u[j * R + own], y);
    if (i < n_tokens) store_from_f32(p->y.data, p->y.type, (first + i) * p->y.stride + row + own, y);
}

/* One sequence from its first token on. */
INLINE void run_chunks(const struct delta_params *p, u32 first, u32 row, u32 dim) {
    const u32 head = row / p->value_dim;
    const i32 slot = p->slots[first];
    const chunk c = chunk_at(dim);
    GLOBAL float *state = p->states + slot * p->size + (i64)(row + held_row()) * dim;
    ahead a;
    held_state h;
    ahead_load(p, &a, first, slot, head, row, dim);
    UNROLL for (u32 n = 0; n < dim / 64; n++) h.s[n] = *(const GLOBAL f32x4 *)(state + held_column(n));
    u32 which = 0, n_tokens = ahead_store(p, &a, batch_at(0, dim), dim);
    for (u32 t = first; n_tokens > 0; t += C) {
        const batch b = batch_at(which, dim);
        const int more = n_tokens == C;
        held_put(&h, &c, dim);
        barrier();
        chunk_ratios(&c, &b, n_tokens);
        if (more) ahead_load(p, &a, t + C, slot, head, row, dim);
        barrier();
        chunk_products(&c, &b, n_tokens, dim);
        barrier();
        chunk_solve(&c);
        barrier();
        chunk_outputs(p, &c, t, n_tokens, row);
        held_update(&h, &c, &b, dim);
        which ^= 1;
        n_tokens = more ? ahead_store(p, &a, batch_at(which, dim), dim) : 0;
    }
    UNROLL for (u32 n = 0; n < dim / 64; n++) * (GLOBAL f32x4 *)(state + held_column(n)) = h.s[n];
    barrier(); /* the next sequence's first batch comes to the same place */
}

/* Grid (rows of the state / DELTA_ROWS, so many sequences at once). */
INLINE void delta_chunks(const struct delta_params *p, u32 dim) {
    for (u32 first = bid_y(); first < p->x.rows; first += p->grid_y)
        if (starts_run(p->slots, first)) run_chunks(p, first, bid_x() * R, dim);
}
KERNEL void delta_chunks64(struct delta_params p) {
    delta_chunks(&p, 64);
}
KERNEL void delta_chunks128(struct delta_params p) {
    delta_chunks(&p, 128);
}
