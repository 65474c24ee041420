/* SPDX-License-Identifier: Apache-2.0
 *
 * f16 to float and back, in integers and so vectorized everywhere; sources of f16 with their modifiers. */
#ifndef NB_TESTS_GFX_VALU_HALF_H
#define NB_TESTS_GFX_VALU_HALF_H

#include "gfx/valu_lanes.h"

/* Exact; a signalling NaN stays one. */
static inline uint32_t f32_from_f16(uint32_t h) {
    const uint32_t sign = (h & F16_SIGN) << 16, x = (h & 0x7fff) << 13;
    /* A denormal is the fraction of a number with the exponent of the smallest normal one, less that one. */
    const uint32_t small = f32_bits(f32_of(x + (113u << 23)) - f32_of(113u << 23));
    const uint32_t normal = x + (112u << 23), top = x + (224u << 23);
    return sign | ((h & F16_INF) == 0 ? small : (h & F16_INF) == F16_INF ? top : normal);
}

/* To nearest even; NaNs become quiet and keep the top of their payload. */
static inline uint32_t f16_from_f32(uint32_t bits) {
    const uint32_t sign = bits >> 16 & F16_SIGN, x = bits & ~F32_SIGN;
    const uint32_t normal = (x - (112u << 23) + 0xfff + (x >> 13 & 1)) >> 13;
    /* Adding a half leaves a fraction whose unit is the smallest denormal: the host's addition rounds. */
    const uint32_t small = f32_bits(f32_of(x) + 0.5f) - 0x3f000000;
    const uint32_t nan = F16_QNAN | (x >> 13 & 0x3ff);
    const uint32_t r = x < (113u << 23) ? small : x >= (143u << 23) ? F16_INF : normal;
    return sign | (x > F32_INF ? nan : r);
}

/* Source k as bits of f16: half, abs, neg, flushing. */
static inline uint32_t f16_lane(valu_in in, unsigned k, unsigned i) {
    const uint32_t h = in->lo[k][i] >> half_shift(in, k) & 0xffff;
    const uint32_t x = (h & sign_keep(in, k, F16_SIGN)) ^ sign_flip(in, k, F16_SIGN);
    return in->mode.denorm16_64 & 1 ? x : f16_flush(x);
}

/* Source k as floats. */
static inline void f16_source(valu_in in, unsigned k, float *restrict to) {
    const uint32_t *s = in->lo[k], keep = sign_keep(in, k, F16_SIGN), flip = sign_flip(in, k, F16_SIGN);
    const unsigned shift = half_shift(in, k);
    if (in->mode.denorm16_64 & 1) {
        EACH_LANE(i) to[i] = f32_of(f32_from_f16(((s[i] >> shift & 0xffff) & keep) ^ flip));
    } else {
        EACH_LANE(i) to[i] = f32_of(f32_from_f16(f16_flush(((s[i] >> shift & 0xffff) & keep) ^ flip)));
    }
}

#endif
