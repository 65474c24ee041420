/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions in double precision, for what little of device code needs it. */
#ifndef NB_GPU_KERNELS_MATH64_H
#define NB_GPU_KERNELS_MATH64_H

#include "gpu.h"

INLINE u64 as_u64(double v) {
    return __builtin_bit_cast(u64, v);
}
INLINE double as_f64(u64 bits) {
    return __builtin_bit_cast(double, bits);
}

/* e^x for x <= 0, 0 below the normal numbers: x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor series, whose rest is
 * below 2e-17. Adding 1.5 2^52 rounds n, which then stands in the low bits. */
INLINE double exp_f64(double x) {
    if (x < -708.0) return 0;
    const double shifted = __builtin_fma(x, 0x1.71547652b82fep+0, 0x1.8p52), n = shifted - 0x1.8p52;
    double r = __builtin_fma(n, -0x1.62e42fefa3800p-1, x);
    r = __builtin_fma(n, -0x1.ef35793c76730p-45, r);
    double p = 1.0 / 6227020800;
    p = __builtin_fma(p, r, 1.0 / 479001600);
    p = __builtin_fma(p, r, 1.0 / 39916800);
    p = __builtin_fma(p, r, 1.0 / 3628800);
    p = __builtin_fma(p, r, 1.0 / 362880);
    p = __builtin_fma(p, r, 1.0 / 40320);
    p = __builtin_fma(p, r, 1.0 / 5040);
    p = __builtin_fma(p, r, 1.0 / 720);
    p = __builtin_fma(p, r, 1.0 / 120);
    p = __builtin_fma(p, r, 1.0 / 24);
    p = __builtin_fma(p, r, 1.0 / 6);
    p = __builtin_fma(p, r, 0.5);
    p = __builtin_fma(p, r, 1.0);
    p = __builtin_fma(p, r, 1.0);
    return p * as_f64((as_u64(shifted) - 0x4338000000000000u + 1023) << 52);
}

/* ln x of a normal x >= 1: x = 2^n m with m from 0.7 to 1.42, ln m = 2 artanh(s), s = (m - 1) / (m + 1). */
INLINE double log_f64(double x) {
    i32 n = (i32)(as_u64(x) >> 52) - 1023;
    double m = as_f64((as_u64(x) & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.41421356) {
        m *= 0.5;
        n++;
    }
    const double s = (m - 1) / (m + 1), q = s * s;
    double p = 0;
    UNROLL for (i32 k = 21; k >= 3; k -= 2) p = __builtin_fma(p, q, 1.0 / k);
    return __builtin_fma((double)n, 0x1.62e42fefa39efp-1, __builtin_fma(p * q, s + s, s + s));
}

INLINE double shfl_xor_f64(double v, u32 mask) {
    const float low = shfl_xor(as_f32((u32)as_u64(v)), mask), high = shfl_xor(as_f32((u32)(as_u64(v) >> 32)), mask);
    return as_f64((u64)as_u32(high) << 32 | as_u32(low));
}
INLINE double warp_sum_f64(double v) {
    UNROLL for (u32 m = WARP / 2; m > 0; m /= 2) v += shfl_xor_f64(v, m);
    return v;
}

#endif
