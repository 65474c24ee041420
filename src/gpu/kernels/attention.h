/* SPDX-License-Identifier: Apache-2.0
 *
 * What kernels of attention have in common. Scores are multiplied by log2(e), so that weights are powers of two. A
 * largest score starts at LOWEST, not at -inf, whose difference to itself would be NaN. */
#ifndef NB_GPU_KERNELS_ATTENTION_H
#define NB_GPU_KERNELS_ATTENTION_H

#include "attention_params.h"
#include "math.h"

#define LOWEST -3.0e38f
#define LOG2_E 1.44269504088896341f

/* The positions that a row sees: [first, last]. */
typedef struct sight {
    u32 first, last;
} sight;

INLINE sight sight_of(const attention_call *c, u32 row) {
    const u32 last = (u32)c->positions[row];
    return (sight){c->window > 0 && last >= c->window ? last - c->window + 1 : 0, last};
}

/* The first element of the key or value at a position. */
INLINE i64 page_offset(const attention_call *c, const GLOBAL i32 *pages, u32 position, u32 kv_head) {
    const i64 page = pages[position / c->page_size];
    return ((page * c->n_kv_heads + kv_head) * c->page_size + position % c->page_size) * c->head_dim;
}
/* The same where the size of pages is a power of two. */
INLINE i64 page_offset_shift(const attention_call *c, const GLOBAL i32 *pages, u32 position, u32 kv_head) {
    const i64 page = pages[position >> c->page_shift];
    const u32 slot = position & (c->page_size - 1);
    return (((page * c->n_kv_heads + kv_head) << c->page_shift) + slot) * c->head_dim;
}

/* Of a number and NaN, either. */
INLINE float larger(float a, float b) {
#if defined(__NVPTX__)
    return __nvvm_fmax_f(a, b);
#else
    return b > a ? b : a;
#endif
}

/* A score where the call has a softcap. */
INLINE float capped(const attention_call *c, float score) {
    return c->softcap * tanh_f32(score * c->per_cap);
}

INLINE float sink_of(const attention_call *c, u32 head) {
    return load_any(c->sinks.data, c->sinks.type, head) * LOG2_E;
}

#endif
