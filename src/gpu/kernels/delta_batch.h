/* SPDX-License-Identifier: Apache-2.0
 *
 * What kernels of the gated delta rule have in common: where operands lie, and batches of DELTA_TOKENS tokens that are
 * read ahead. The including file says how many threads a block has (BLOCK) and how many floats lie between vectors in
 * shared memory beside their own (VECTOR_PAD). */
#include "delta_params.h"
#include "math.h"

enum { VECTORS = 2 * DELTA_TOKENS, LOADERS = BLOCK / 32 };

INLINE int starts_run(const GLOBAL i32 *slots, u32 t) {
    return t == 0 || slots[t - 1] != slots[t];
}
INLINE u32 key_head_of(const struct delta_params *p, u32 head) {
    return head / (p->n_heads / p->n_keys);
}
/* 1 / sqrt(sum of squares + eps) */
INLINE float length_factor(const struct delta_params *p, float squares) {
    return 1.0f / __builtin_sqrtf(squares + p->eps);
}
INLINE float query_scale(u32 key_dim) {
    return 1.0f / __builtin_sqrtf((float)key_dim);
}
INLINE float gate_at(const struct delta_params *p, u32 t, u32 col) {
    return load_as_f32(p->z.data, p->z.type, t * p->z.stride + col);
}
INLINE float value_at(const struct delta_params *p, u32 t, u32 row) {
    return load_as_f32(p->x.data, p->x.type, t * p->x.stride + 2 * p->n_keys * p->key_dim + row);
}

/* What a thread holds of the next batch: pieces of queries and keys, values, a gate; how many tokens it lacks. */
typedef struct ahead {
    f32x4 vectors[VECTORS / LOADERS];
    float values[DELTA_TOKENS * DELTA_ROWS / BLOCK], gate, lacks;
} ahead;

/* The batch as all see it: q and k normalized. */
typedef struct batch {
    SHARED float *vectors, *values, *gates;
} batch;

INLINE batch batch_at(u32 which, u32 dim) {
    const u32 floats = VECTORS * (dim + VECTOR_PAD) + DELTA_TOKENS * (DELTA_ROWS + 2);
    SHARED float *base = (SHARED float *)shared_memory() + which * floats;
    return (batch){base, base + VECTORS * (dim + VECTOR_PAD),
                   base + VECTORS * (dim + VECTOR_PAD) + DELTA_TOKENS * DELTA_ROWS};
}

/* Vector i of a batch: of tokens in order the queries, then the keys. */
INLINE void ahead_load(const struct delta_params *p, ahead *a, u32 first, i32 slot, u32 head, u32 row, u32 dim) {
    const u32 lane = tid() % 32, rows = p->x.rows;
    UNROLL for (u32 n = 0; n < VECTORS / LOADERS; n++) {
        const u32 i = tid() / 32 + n * LOADERS, t = first + i % DELTA_TOKENS;
        const u32 col = (i / DELTA_TOKENS * p->n_keys + key_head_of(p, head)) * dim + 4 * lane;
        a->vectors[n] = (f32x4){0, 0, 0, 0};
        if (t < rows && 4 * lane < dim)
            a->vectors[n] = *(const GLOBAL f32x4 *)((const GLOBAL float *)p->x.data + t * p->x.stride + col);
    }
    UNROLL for (u32 n = 0; n < DELTA_TOKENS * DELTA_ROWS / BLOCK; n++) {
        const u32 i = tid() + n * BLOCK, t = first + i / DELTA_ROWS;
        a->values[n] = t < rows ? value_at(p, t, row + i % DELTA_ROWS) : 0;
    }
    const u32 t = first + tid() % DELTA_TOKENS;
    a->gate = t < rows && tid() < 2 * DELTA_TOKENS ? gate_at(p, t, tid() / DELTA_TOKENS * p->n_heads + head) : 0;
    const int is_end = lane < DELTA_TOKENS && (first + lane >= rows || p->slots[first + lane] != slot);
    a->lacks = is_end ? (float)(DELTA_TOKENS - lane) : 0;
}

/* Returns of how many tokens of the sequence the batch consists; vectors behind these are those of another one, and
 * become 0. */
INLINE u32 ahead_store(const struct delta_params *p, const ahead *a, batch to, u32 dim) {
    const u32 lane = tid() % 32, n_tokens = DELTA_TOKENS - (u32)lanes_max(a->lacks, 32);
    UNROLL for (u32 n = 0; n < VECTORS / LOADERS; n++) {
        const u32 i = tid() / 32 + n * LOADERS;
        const f32x4 v = a->vectors[n], squares = v * v;
        float factor = length_factor(p, lanes_sum((squares.x + squares.y) + (squares.z + squares.w), 32));
        if (i < DELTA_TOKENS) factor *= query_scale(dim);
        f32x4 unit = v * factor;
        if (i % DELTA_TOKENS >= n_tokens) unit = (f32x4){0, 0, 0, 0};
        if (4 * lane < dim) *(SHARED f32x4 *)(to.vectors + i * (dim + VECTOR_PAD) + 4 * lane) = unit;
    }
    UNROLL for (u32 n = 0; n < DELTA_TOKENS * DELTA_ROWS / BLOCK; n++) to.values[tid() + n * BLOCK] = a->values[n];
    if (tid() < 2 * DELTA_TOKENS) to.gates[tid()] = a->gate;
    return n_tokens;
}
