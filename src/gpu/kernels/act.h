/* SPDX-License-Identifier: Apache-2.0
 *
 * The gated activations that end a product of two halves (kact in kernels/kernel.h, whose numbers these are). */
#ifndef NB_GPU_KERNELS_ACT_H
#define NB_GPU_KERNELS_ACT_H

#include "gpu.h"

enum { GATE_NONE, GATE_SILU, GATE_GELU, GATE_SIGMOID, GATE_SWIGLU_OAI };

/* 1 / (1 + exp(-v)). The exponent of 2 is taken apart so that a large one loses no digits: its whole part goes with a
 * number that is added and taken away again, the rest is below 1/2 with the low digits of log2(e) put right. */
INLINE float act_sigmoid(float v) {
    const float t = v < -87 ? 87 : v > 87 ? -87 : -v;
    const float log2e = 1.44269504f, low = 1.92596299e-8f, round = 12582912;
    const float shifted = t * log2e + round, whole = shifted - round; /* shifted's low bits are whole's, of a NaN any */
    const float rest = __builtin_fmaf(t, log2e, -whole) + t * low;
    const float e = exp2_fast(rest) * as_f32((as_u32(shifted) - as_u32(round) + 127) << 23);
    return v != v ? v : reciprocal_fast(1 + e);
}

INLINE float act_gate(u32 act, float v) {
    if (act == GATE_SILU) return v * act_sigmoid(v);
    if (act == GATE_SIGMOID) return act_sigmoid(v);
    /* tanh(a) = 2 sigmoid(2 a) - 1 */
    if (act == GATE_GELU) return v * act_sigmoid(1.5957691216f * (v + 0.044715f * v * v * v));
    return v;
}

/* act(a) * z */
INLINE float act_gated(u32 act, float a, float z) {
    if (act != GATE_SWIGLU_OAI) return act_gate(act, a) * z;
    const float most = a > 7 ? 7 : a;
    const float inside = z > 7 ? 7 : z < -7 ? -7 : z;
    return most * act_sigmoid(1.702f * most) * (inside + 1);
}

#endif
