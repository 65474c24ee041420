/* SPDX-License-Identifier: Apache-2.0
 *
 * The three instructions around a division: v_div_scale brings numerator and denominator where no step of the division
 * under- or overflows and says whether the quotient must be scaled back, v_div_fmas is the last step and scales it,
 * v_div_fixup gives the special cases. What the document's pseudo-code says is taken but where a right quotient would
 * not come out of it (LLVM's expansion of a division, which is correctly rounded, is the test of this):
 * - both 1/S1 and S2/S1 denormal: the document scales the denominator up by 2^64, where it would overflow; here down.
 * - v_div_fmas multiplies by 2^32: here by 2^64 or 2^-64, by which side of one the quotient (S2) is, as v_div_scale's
 * own factors ask for, and as a test of tinygrad on hardware shows (2^32 and 2^64 for f64: 2^128).
 * - v_div_fixup passes a quotient that is NaN: it is one where a quotient overflowed on the way, and so infinity here.
 * A quotient "is denormal" where its exponents allow it: on hardware the flag is set for 2^-126 / 1, says the same
 * test. Zeros among S1 and S2 give NaN with the flag set (so on hardware; the document has no flag). */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

/* What is different between f32 and f64. far: from which ratio on the denominator is scaled; tiny: exponents of
 * numerators up to this one scale both. */
typedef struct kind {
    soft_format format;
    int bias, shift, far, tiny;
} kind;

static const kind F32_KIND = {{23, 8}, 127, 64, 96, 23}, F64_KIND = {{52, 11}, 1023, 128, 768, 53};

static uint64_t sign_of(const kind *k, uint64_t x) {
    return x & (uint64_t)1 << (k->format.fraction + k->format.exponent);
}

static uint64_t size_of(const kind *k, uint64_t x) {
    return x & (((uint64_t)1 << (k->format.fraction + k->format.exponent)) - 1);
}

/* The field. */
static int exponent(const kind *k, uint64_t x) {
    return (int)(size_of(k, x) >> k->format.fraction);
}

/* As if the field went on below 1 for denormals. x is no zero. */
static int true_exponent(const kind *k, uint64_t x) {
    const int e = exponent(k, x);
    return e ? e : 1 - (__builtin_clzll(size_of(k, x)) - (63 - (int)k->format.fraction));
}

static uint64_t infinity(const kind *k) {
    return (((uint64_t)1 << k->format.exponent) - 1) << k->format.fraction;
}

static uint64_t quiet(const kind *k) {
    return (uint64_t)1 << (k->format.fraction - 1);
}

static bool is_nan(const kind *k, uint64_t x) {
    return size_of(k, x) > infinity(k);
}

static uint64_t scaled(const kind *k, uint64_t x, int by) {
    if (size_of(k, x) >= infinity(k) || size_of(k, x) == 0) return x;
    const uint64_t one = (uint64_t)k->bias << k->format.fraction;
    return soft_fma_scaled(k->format, x, one, sign_of(k, x), by, ROUND_EVEN);
}

/* s0 is the one of d (denominator) and n (numerator) that is wanted. */
static uint64_t div_scale(const kind *k, uint64_t s0, uint64_t d, uint64_t n, bool *flag) {
    *flag = false;
    if (size_of(k, d) == 0 || size_of(k, n) == 0) {
        *flag = true;
        return infinity(k) | quiet(k);
    }
    const bool of_d = s0 == d, of_n = s0 == n;
    /* 1 / d is denormal beyond 2^bias-1. */
    const bool inverse_denormal = size_of(k, d) > (uint64_t)(2 * k->bias - 1) << k->format.fraction;
    const bool quotient_denormal = true_exponent(k, n) - true_exponent(k, d) <= 1 - k->bias;
    if (exponent(k, n) - exponent(k, d) >= k->far) {
        *flag = true;
        return of_d ? scaled(k, s0, k->shift) : s0;
    }
    if (exponent(k, d) == 0) return scaled(k, s0, k->shift);
    if (inverse_denormal && quotient_denormal) {
        *flag = true;
        return of_d ? scaled(k, s0, -k->shift) : s0;
    }
    if (inverse_denormal) return scaled(k, s0, -k->shift);
    if (quotient_denormal) {
        *flag = true;
        return of_n ? scaled(k, s0, k->shift) : s0;
    }
    return exponent(k, n) <= k->tiny ? scaled(k, s0, k->shift) : s0;
}

static uint64_t div_fmas(const kind *k, const uint64_t *x, bool flag, unsigned mode) {
    const int scale = !flag ? 0 : exponent(k, x[2]) > k->bias ? k->shift : -k->shift;
    return soft_fma_scaled(k->format, x[0], x[1], x[2], scale, mode);
}

/* q is the quotient so far, of n and d; underflow: below which difference of exponents it is nothing, or 0 for f16,
 * where neither that nor overflow on the way can be. */
static uint64_t div_fixup(const kind *k, uint64_t q, uint64_t d, uint64_t n, unsigned mode, int underflow) {
    const uint64_t sign = sign_of(k, d ^ n), top = infinity(k), sd = size_of(k, d), sn = size_of(k, n);
    if (is_nan(k, n)) return n | quiet(k);
    if (is_nan(k, d)) return d | quiet(k);
    if ((sd == 0 && sn == 0) || (sd == top && sn == top)) return sign_of(k, ~(uint64_t)0) | top | quiet(k);
    if (sd == 0 || sn == top) return sign | top;
    if (sd == top || sn == 0) return sign;
    if (underflow && exponent(k, n) - exponent(k, d) < underflow)
        return sign | (mode == (sign ? ROUND_DOWN : ROUND_UP));
    return sign | (underflow && is_nan(k, q) ? top : size_of(k, q));
}

/* v_div_scale has neg, but neither abs nor clamp; its sources are not flushed but where MODE says so. */
static void div_scale_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[3][GFX_LANES], mask = 0;
    const uint32_t *s[3];
    for (unsigned k = 0; k < 3; k++) s[k] = f32_source(in, k, space[k]);
    EACH_LANE(i) {
        bool flag;
        out->lo[i] = (uint32_t)div_scale(&F32_KIND, s[0][i], s[1][i], s[2][i], &flag);
        mask |= (uint32_t)flag << i;
    }
    out->mask = mask;
    f32_finish(in, out);
}

static void div_fmas_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[3][GFX_LANES];
    const uint32_t *s[3];
    for (unsigned k = 0; k < 3; k++) s[k] = f32_source(in, k, space[k]);
    const bool host = in->mode.round32 == ROUND_EVEN && !in->mask;
    uint32_t nan = 0;
    if (host) {
        EACH_LANE(i) out->lo[i] = f32_bits(__builtin_fmaf(f32_of(s[0][i]), f32_of(s[1][i]), f32_of(s[2][i])));
        EACH_LANE(i) nan |= f32_is_nan(out->lo[i]) ? 1u : 0u;
    }
    if (!host || nan) EACH_LANE(i) {
            const uint64_t x[] = {s[0][i], s[1][i], s[2][i]};
            out->lo[i] = (uint32_t)div_fmas(&F32_KIND, x, in->mask >> i & 1, in->mode.round32);
        }
    f32_finish(in, out);
}

static void div_fixup_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[3][GFX_LANES];
    const uint32_t *s[3];
    for (unsigned k = 0; k < 3; k++) s[k] = f32_source(in, k, space[k]);
    EACH_LANE(i)
    out->lo[i] = (uint32_t)div_fixup(&F32_KIND, s[0][i], s[1][i], s[2][i], in->mode.round32, -150);
    f32_finish(in, out);
}

static void div_scale_f64(valu_in in, gfx_valu_out *restrict out) {
    uint32_t mask = 0;
    EACH_LANE(i) {
        bool flag;
        const uint64_t a = f64_source(in, 0, i), d = f64_source(in, 1, i), n = f64_source(in, 2, i);
        set_u64(out, i, div_scale(&F64_KIND, a, d, n, &flag));
        mask |= (uint32_t)flag << i;
    }
    out->mask = mask;
    f64_finish(in, out);
}

static void div_fmas_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const uint64_t x[] = {f64_source(in, 0, i), f64_source(in, 1, i), f64_source(in, 2, i)};
        set_u64(out, i, div_fmas(&F64_KIND, x, in->mask >> i & 1, in->mode.round16_64));
    }
    f64_finish(in, out);
}

static void div_fixup_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const uint64_t q = f64_source(in, 0, i), d = f64_source(in, 1, i), n = f64_source(in, 2, i);
        set_u64(out, i, div_fixup(&F64_KIND, q, d, n, in->mode.round16_64, -1075));
    }
    f64_finish(in, out);
}

/* A quotient of f16 is computed in f32, where nothing under- or overflows. */
static void div_fixup_f16(valu_in in, gfx_valu_out *restrict out) {
    static const kind f16 = {{10, 5}, 15, 0, 0, 0};
    EACH_LANE(i) {
        const uint32_t q = f16_lane(in, 0, i), d = f16_lane(in, 1, i), n = f16_lane(in, 2, i);
        out->lo[i] = (uint32_t)div_fixup(&f16, q, d, n, in->mode.round16_64, 0);
    }
    f16_finish(in, out);
}

#define THREE(n, t)                                                                                                    \
    { .name = "v_" #n, .dst = t, .src = {t, t, t}, .run = n }
#define SCALE(n, t)                                                                                                    \
    { .name = "v_" #n, .dst = t, .src = {t, t, t}, .writes_mask = true, .run = n }
#define FMAS(n, t)                                                                                                     \
    { .name = "v_" #n, .dst = t, .src = {t, t, t}, .reads_mask = true, .run = n }

static const gfx_valu ops[] = {
    SCALE(div_scale_f32, GFX_F32), SCALE(div_scale_f64, GFX_F64), FMAS(div_fmas_f32, GFX_F32),
    FMAS(div_fmas_f64, GFX_F64),   THREE(div_fixup_f32, GFX_F32), THREE(div_fixup_f64, GFX_F64),
    THREE(div_fixup_f16, GFX_F16),
};
VALU_TABLE(valu_div_table, ops);
