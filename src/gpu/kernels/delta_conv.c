/* SPDX-License-Identifier: Apache-2.0
 *
 * The causal convolution in front of a gated delta net, and its gates. A token's inputs are its own and the last
 * kernel - 1 before it, which come from the state where its sequence's tokens in this call do not reach back so far. */
#define NB_GPU_DEVICE_CODE
#include "act.h"
#include "delta_params.h"
#include "math.h"

INLINE float input_at(const struct conv1d_params *p, u32 t, u32 c) {
    return load_as_f32(p->x.data, p->x.type, t * p->x.stride + c);
}
INLINE GLOBAL float *state_of(const struct conv1d_params *p, u32 t) {
    return p->states + p->slots[t] * p->size;
}
INLINE int is_first(const GLOBAL i32 *slots, u32 t) {
    return t == 0 || slots[t - 1] != slots[t];
}
/* How many tokens of the same sequence stand right before t, at most `most`. */
INLINE u32 tokens_before(const struct conv1d_params *p, u32 t, u32 most) {
    u32 n = 0;
    while (n < most && t > n && p->slots[t - n - 1] == p->slots[t]) n++;
    return n;
}
INLINE void conv_store(const struct conv1d_params *p, u32 t, u32 c, float sum) {
    store_from_f32(p->y.data, p->y.type, t * p->y.stride + c, act_gate(p->act, sum));
}

/* ---- Any kernel ---------------------------------------------------------------------------------------------- */

/* Grid (channels / block, rows). */
KERNEL void conv1d(struct conv1d_params p) {
    const u32 c = bid_x() * bdim() + tid(), keep = p.kernel - 1;
    if (c >= p.x.cols) return;
    for (u32 t = bid_y(); t < p.x.rows; t += 65535) {
        const u32 before = tokens_before(&p, t, keep);
        const GLOBAL float *state = state_of(&p, t);
        float sum = 0;
        for (u32 j = 0; j < p.kernel; j++) {
            const u32 back = keep - j;
            const float u =
                back <= before ? input_at(&p, t - back, c) : state[(i64)(keep + before - back) * p.x.cols + c];
            sum += load_any(p.w.data, p.w.type, (i64)c * p.kernel + j) * u;
        }
        conv_store(&p, t, c, sum);
    }
}

/* The states after it, when all have read the old ones: of each sequence by its last token. What moves within a state
 * moves towards its beginning, so the order makes a copy needless. */
KERNEL void conv1d_state(struct conv1d_params p) {
    const u32 c = bid_x() * bdim() + tid(), keep = p.kernel - 1;
    if (c >= p.x.cols) return;
    for (u32 t = bid_y(); t < p.x.rows; t += 65535) {
        if (t + 1 < p.x.rows && p.slots[t + 1] == p.slots[t]) continue;
        GLOBAL float *state = state_of(&p, t) + c;
        const u32 n = tokens_before(&p, t, keep) + 1;
        for (u32 i = 0; i < keep; i++)
            state[(i64)i * p.x.cols] =
                keep - i <= n ? input_at(&p, t + 1 + i - keep, c) : state[(i64)(i + n) * p.x.cols];
    }
}

/* ---- A kernel of 4 --------------------------------------------------------------------------------------------- */

/* The weights of a channel and the last inputs, oldest first. */
typedef struct window {
    f32x4 w;
    float u0, u1, u2;
} window;

INLINE f32x4 weights4(const struct conv1d_params *p, u32 c) {
    f32x4 w;
    UNROLL for (u32 j = 0; j < 4; j++) w[j] = load_any(p->w.data, p->w.type, (i64)c * 4 + j);
    return w;
}

INLINE void window_step(const struct conv1d_params *p, window *v, u32 t, u32 c, float u) {
    conv_store(p, t, c, fma_f32(v->w.w, u, fma_f32(v->w.z, v->u2, fma_f32(v->w.y, v->u1, v->w.x * v->u0))));
    v->u0 = v->u1;
    v->u1 = v->u2;
    v->u2 = u;
}

INLINE float window_input(const struct conv1d_params *p, u32 t, u32 c, u32 back, u32 before) {
    return back <= before ? input_at(p, t - back, c) : state_of(p, t)[(i64)(3 + before - back) * p->x.cols + c];
}
/* The inputs before t. */
INLINE void window_fill(const struct conv1d_params *p, window *v, u32 t, u32 c) {
    const u32 before = tokens_before(p, t, 3);
    v->u0 = window_input(p, t, c, 3, before);
    v->u1 = window_input(p, t, c, 2, before);
    v->u2 = window_input(p, t, c, 1, before);
}

/* Few tokens: a thread takes a channel of a whole sequence, its state included. Grid (channels / block, rows). */
KERNEL void conv1d_run4(struct conv1d_params p) {
    const u32 c = bid_x() * bdim() + tid();
    u32 t = bid_y();
    if (c >= p.x.cols || !is_first(p.slots, t)) return;
    GLOBAL float *state = state_of(&p, t) + c;
    const i64 step = p.x.cols;
    window v = {weights4(&p, c), state[0], state[step], state[2 * step]};
    const i32 slot = p.slots[t];
    for (; t < p.x.rows && p.slots[t] == slot; t++) window_step(&p, &v, t, c, input_at(&p, t, c));
    state[0] = v.u0;
    state[step] = v.u1;
    state[2 * step] = v.u2;
}

/* Many: CONV_TOKENS tokens of a channel a thread, which leaves states as they are (conv1d_state). Grid (channels /
 * block, rows / CONV_TOKENS). */
KERNEL void conv1d_tile4(struct conv1d_params p) {
    const u32 c = bid_x() * bdim() + tid();
    if (c >= p.x.cols) return;
    for (u32 first = bid_y() * CONV_TOKENS; first < p.x.rows; first += 65535 * CONV_TOKENS) {
        window v = {.w = weights4(&p, c)};
        float u[CONV_TOKENS];
        UNROLL for (u32 i = 0; i < CONV_TOKENS; i++) u[i] = first + i < p.x.rows ? input_at(&p, first + i, c) : 0;
        UNROLL for (u32 i = 0; i < CONV_TOKENS; i++) {
            const u32 t = first + i;
            if (t >= p.x.rows) continue;
            if (i == 0 || is_first(p.slots, t)) window_fill(&p, &v, t, c);
            window_step(&p, &v, t, c, u[i]);
        }
    }
}

/* ---- Gates ------------------------------------------------------------------------------------------------------- */

/* A thread for a head of a token. */
KERNEL void delta_gates(struct delta_gates_params p) {
    const u64 i = (u64)bid_x() * bdim() + tid();
    const u32 n = p.x.cols, t = (u32)(i / n), h = (u32)(i % n);
    if (t >= p.x.rows) return;
    const float s = load_as_f32(p.x.data, p.x.type, t * p.x.stride + h) + load_any(p.dt_bias.data, p.dt_bias.type, h);
    const float rate = exp_f32(load_any(p.a_log.data, p.a_log.type, h));
    const float beta = act_sigmoid(load_as_f32(p.z.data, p.z.type, t * p.z.stride + h));
    store_from_f32(p.y.data, p.y.type, t * p.y.stride + h, exp_f32(-rate * softplus_f32(s)));
    store_from_f32(p.y.data, p.y.type, t * p.y.stride + n + h, beta);
}
