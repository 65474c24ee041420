/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions for vectors of any width, each within a few units in the last place. Included by the headers of
 * the instruction sets (x86/vec_avx2.h, x86/vec_avx512.h, arm/neon.h), which define what is used here: v_round to
 * nearest, v_power(n) = 2^n for whole n in [-126, 127], v_less a mask, v_and_not(mask, a): 0 where the mask is set, and
 * v_min, v_max whose result is NaN where the second operand is. */

/* x = n ln 2 + r with |r| <= ln 2 / 2. n ln 2 is taken off in two parts, the first short enough for an exact product.
 */
static inline vfloat v_reduce(vfloat x, vfloat *n) {
    *n = v_round(v_mul(x, v_set1(0x1.715476p+0f)));
    vfloat r = v_fma(*n, v_set1(-0x1.62e4p-1f), x);
    return v_fma(*n, v_set1(-0x1.7f7d1cp-20f), r);
}

/* (e^r - 1) / r for |r| <= ln 2 / 2: the Taylor series, whose rest is below 6e-9 of e^r. */
static inline vfloat v_series(vfloat r) {
    vfloat p = v_set1(1.0f / 5040);
    p = v_fma(p, r, v_set1(1.0f / 720));
    p = v_fma(p, r, v_set1(1.0f / 120));
    p = v_fma(p, r, v_set1(1.0f / 24));
    p = v_fma(p, r, v_set1(1.0f / 6));
    p = v_fma(p, r, v_set1(0.5f));
    return v_fma(p, r, v_set1(1.0f));
}

/* e^x; 0 where that would be below the normal numbers, e^88 for all that is larger. A NaN stays one. */
static inline vfloat v_exp(vfloat x) {
    const vfloat least = v_set1(-87.33654f);
    const vmask tiny = v_less(x, least);
    vfloat n, r = v_reduce(v_min(v_set1(88.0f), v_max(least, x)), &n);
    vfloat p = v_fma(v_series(r), r, v_set1(1.0f));
    return v_and_not(tiny, v_mul(p, v_power(n)));
}

/* 1 / (1 + e^-x) */
static inline vfloat v_sigmoid(vfloat x) {
    return v_div(v_set1(1), v_add(v_set1(1), v_exp(v_neg(x))));
}

/* tanh |x| = m / (m + 2) with m = e^2|x| - 1 = 2^n (e^r - 1) + (2^n - 1), which loses nothing near 0. From 10 on it
 * rounds to 1. */
static inline vfloat v_tanh(vfloat x) {
    vfloat a = v_min(v_set1(10.0f), v_abs(x)), n, r = v_reduce(v_add(a, a), &n), power = v_power(n);
    vfloat m = v_fma(v_mul(v_series(r), r), power, v_sub(power, v_set1(1)));
    return v_with_sign(v_div(m, v_add(m, v_set1(2))), x);
}

/* ln(1 + x) for x in [0, 1]: 2 artanh(s), s = x / (2 + x) <= 1 / 3; the series' rest is below 2e-9 of it. */
static inline vfloat v_log1p(vfloat x) {
    vfloat s = v_div(x, v_add(v_set1(2), x)), q = v_mul(s, s);
    vfloat p = v_set1(1.0f / 15);
    p = v_fma(p, q, v_set1(1.0f / 13));
    p = v_fma(p, q, v_set1(1.0f / 11));
    p = v_fma(p, q, v_set1(1.0f / 9));
    p = v_fma(p, q, v_set1(1.0f / 7));
    p = v_fma(p, q, v_set1(1.0f / 5));
    p = v_fma(p, q, v_set1(1.0f / 3));
    vfloat twice = v_add(s, s);
    return v_fma(v_mul(p, q), twice, twice);
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|) */
static inline vfloat v_softplus(vfloat x) {
    return v_add(v_max(v_set1(0), x), v_log1p(v_exp(v_neg(v_abs(x)))));
}
