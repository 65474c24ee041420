/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions of device code, each within a few units in the last place, from products, sums and divisions
 * alone: there is no C library there. The formulas are those of cpu/vec_math.h. Gates are in act.h. */
#ifndef NB_GPU_KERNELS_MATH_H
#define NB_GPU_KERNELS_MATH_H

#include "gpu.h"

INLINE float fma_f32(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
INLINE float abs_f32(float x) {
    return as_f32(as_u32(x) & 0x7fffffff);
}
INLINE float with_sign_of(float size, float sign) {
    return as_f32((as_u32(size) & 0x7fffffff) | (as_u32(sign) & 0x80000000));
}
/* 2^n for n in [-126, 127]; anything for others. */
INLINE float power_of_2(i32 n) {
    return as_f32((u32)(n + 127) << 23);
}

/* x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 2^23 rounds to a whole number, which then stands in the low bits. n
 * ln 2 is taken off in two parts, the first short enough for an exact product. For a NaN n is anything, r a NaN. */
typedef struct reduced {
    float r;
    i32 n;
} reduced;
INLINE reduced reduce_exp(float x) {
    const float shifted = fma_f32(x, 0x1.715476p+0f, 0x1.8p23f), n = shifted - 0x1.8p23f;
    const float r = fma_f32(n, -0x1.62e4p-1f, x);
    return (reduced){fma_f32(n, -0x1.7f7d1cp-20f, r), (i32)(as_u32(shifted) - 0x4b400000u)};
}

/* (e^r - 1) / r for |r| <= ln 2 / 2: the Taylor series, whose rest is below 6e-9 of e^r. */
INLINE float series_exp(float r) {
    float p = 1.0f / 5040;
    p = fma_f32(p, r, 1.0f / 720);
    p = fma_f32(p, r, 1.0f / 120);
    p = fma_f32(p, r, 1.0f / 24);
    p = fma_f32(p, r, 1.0f / 6);
    p = fma_f32(p, r, 0.5f);
    return fma_f32(p, r, 1.0f);
}

/* e^x, from subnormal numbers to infinity: the power of 2 comes in two factors, of which each is a normal number. */
INLINE float exp_f32(float x) {
    x = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x; /* a NaN stays one */
    const reduced e = reduce_exp(x);
    const i32 half = e.n >> 1;
    return fma_f32(series_exp(e.r), e.r, 1.0f) * power_of_2(half) * power_of_2(e.n - half);
}

/* tanh |x| = m / (m + 2) with m = e^2|x| - 1 = 2^n (e^r - 1) + (2^n - 1), which loses nothing near 0. From 10 on it
 * rounds to 1. */
INLINE float tanh_f32(float x) {
    float a = abs_f32(x);
    a = a > 10.0f ? 10.0f : a;
    const reduced e = reduce_exp(a + a);
    const float power = power_of_2(e.n), m = fma_f32(series_exp(e.r) * e.r, power, power - 1.0f);
    return with_sign_of(m * reciprocal_fast(m + 2.0f), x);
}

/* ln(1 + x) for x in [0, 1]: 2 artanh(s), s = x / (2 + x) <= 1 / 3; the series' rest is below 2e-9 of it. */
INLINE float log1p_f32(float x) {
    const float s = x / (2.0f + x), q = s * s;
    float p = 1.0f / 15;
    p = fma_f32(p, q, 1.0f / 13);
    p = fma_f32(p, q, 1.0f / 11);
    p = fma_f32(p, q, 1.0f / 9);
    p = fma_f32(p, q, 1.0f / 7);
    p = fma_f32(p, q, 1.0f / 5);
    p = fma_f32(p, q, 1.0f / 3);
    return fma_f32(p * q, s + s, s + s);
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|) */
INLINE float softplus_f32(float x) {
    return (x < 0.0f ? 0.0f : x) + log1p_f32(exp_f32(-abs_f32(x)));
}

#endif
