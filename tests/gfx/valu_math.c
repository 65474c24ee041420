/* SPDX-License-Identifier: Apache-2.0
 *
 * Reciprocals, roots, powers, logarithms and circular functions. Hardware approximates (to 1 ulp, v_rcp_f64 and
 * v_rsq_f64 far worse), and no document says which bits come out; here all is rounded correctly to nearest even, but
 * for v_rsq_f64, which may be off by one unit. Computed as double; where that is too near to the middle between two
 * floats to tell (one lane in 2^18), once more as long double.
 *
 * Those of f32 take and give no denormals, whatever MODE says: so LLVM's AMDGPUUsage.rst of exp2 and log2, and its
 * expansions scale around these instructions exactly where denormals are on (AMDGPUISelLowering.cpp: lowerFEXP2,
 * getScaledLogInput; SIISelLowering.cpp: lowerFSQRTF32; AMDGPUCodeGenPrepare.cpp of rcp_f32). Those of f16 and f64
 * follow MODE. */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

#include <math.h>

/* The bits of a double below a float's: within NEAR of the middle, the float is in doubt. The series below are exact to
 * 2^-46, which is 64. */
enum { NEAR = 1024 };

static inline uint64_t in_doubt(double y) {
    const uint64_t off = (f64_bits(y) & 0x1fffffff) - (0x10000000 - NEAR);
    return off < 2 * NEAR ? 1 : 0;
}

/* 2^x: the power of the whole part goes to the exponent, that of the rest, |r| <= 1/2, is its series. */
static inline double power(float x) {
    const double shifter = 0x1.8p52, inside = x < -200 ? -200 : x > 200 ? 200 : (double)x;
    const double shifted = inside + shifter, u = (inside - (shifted - shifter)) * 0x1.62e42fefa39efp-1;
    double p = 1.0 / 39916800;
    p = __builtin_fma(p, u, 1.0 / 3628800);
    p = __builtin_fma(p, u, 1.0 / 362880);
    p = __builtin_fma(p, u, 1.0 / 40320);
    p = __builtin_fma(p, u, 1.0 / 5040);
    p = __builtin_fma(p, u, 1.0 / 720);
    p = __builtin_fma(p, u, 1.0 / 120);
    p = __builtin_fma(p, u, 1.0 / 24);
    p = __builtin_fma(p, u, 1.0 / 6);
    p = __builtin_fma(p, u, 0.5);
    p = __builtin_fma(u * u, p, u) + 1;
    return f64_of(f64_bits(p) + (f64_bits(shifted) << 52));
}

/* log2 of a normal number 2^e m, m within sqrt(1/2) and sqrt(2), by the series of the inverse hyperbolic tangent. */
static inline double logarithm(uint32_t x) {
    const uint32_t below = x - 0x3f3504f3; /* sqrt(1/2) */
    const int32_t e = (int32_t)below >> 23;
    const double t = (double)f32_of((below & 0x7fffff) + 0x3f3504f3) - 1, s = t / (2 + t), z = s * s;
    double p = 1.0 / 17;
    p = __builtin_fma(p, z, 1.0 / 15);
    p = __builtin_fma(p, z, 1.0 / 13);
    p = __builtin_fma(p, z, 1.0 / 11);
    p = __builtin_fma(p, z, 1.0 / 9);
    p = __builtin_fma(p, z, 1.0 / 7);
    p = __builtin_fma(p, z, 1.0 / 5);
    p = __builtin_fma(p, z, 1.0 / 3);
    return __builtin_fma(__builtin_fma(p, z * s, s), 0x1.71547652b82fep+1, (double)e);
}

/* y: the function as double of the float x, s its bits; again: the same as long double. */
#define MATH32(name, y_of_x, again)                                                                                    \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[GFX_LANES];                                                                                     \
        const uint32_t *source = f32_source(in, 0, space);                                                             \
        uint64_t doubt = 0;                                                                                            \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t s = f32_flush(source[i]);                                                                   \
            const float x = f32_of(s);                                                                                 \
            (void)x;                                                                                                   \
            const double y = (y_of_x);                                                                                 \
            doubt |= in_doubt(y);                                                                                      \
            out->lo[i] = f32_flush(f32_bits((float)y));                                                                \
        }                                                                                                              \
        if (doubt) EACH_LANE(i) {                                                                                      \
                const uint32_t s = f32_flush(source[i]);                                                               \
                const float x = f32_of(s);                                                                             \
                if (in_doubt(y_of_x)) out->lo[i] = f32_flush(f32_bits((float)(again)));                                \
            }                                                                                                          \
        uint32_t nan = 0;                                                                                              \
        EACH_LANE(i) nan |= (f32_is_nan(out->lo[i]) || f32_is_nan(source[i])) ? 1u : 0u;                               \
        if (nan) settle(out, source);                                                                                  \
        f32_finish(in, out);                                                                                           \
    }

/* A NaN in is a NaN out, whatever the formulas made of it. */
static void settle(valu_out out, const uint32_t *source) {
    EACH_LANE(i) if (f32_is_nan(source[i])) out->lo[i] = source[i];
    f32_nans(out, 1, &source);
}

static inline double log_of(uint32_t s) {
    const double y = logarithm(s);
    const double special = s << 1 == 0 ? -(double)INFINITY : s >> 31 ? (double)NAN : (double)INFINITY;
    return s - 1 < F32_INF - 1 ? y : special;
}

MATH32(exp_f32, power(x), exp2l(x))
MATH32(log_f32, log_of(s), log2l(x))
MATH32(rcp_f32, (double)(1.0f / x), 1.0f / x)
MATH32(sqrt_f32, (double)sqrtf(x), sqrtf(x))
MATH32(rsq_f32, 1 / sqrt((double)x), 1 / sqrtl(x))

/* sin(2 pi x) without error in the argument: x less whole turns, then less a half or a quarter turn. */
static long double sine_of_turns(long double turns) {
    const long double two_pi = 0xc.90fdaa22168c235p-1L;
    long double r = turns - rintl(turns), sign = r < 0 ? -1 : 1;
    r = fabsl(r);
    if (r > 0.25L) r = 0.5L - r;
    if (r == 0) return copysignl(0, turns);
    return sign * (r <= 0.125L ? sinl(two_pi * r) : cosl(two_pi * (0.25L - r)));
}

static long double cosine_of_turns(long double turns) {
    const long double r = fabsl(turns - rintl(turns));
    return r == 0.25L ? 0 : sine_of_turns(0.25L - r);
}

/* Of infinity: no number. */
static void circular(valu_in in, valu_out out, long double (*f)(long double)) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    EACH_LANE(i) {
        const uint32_t x = f32_flush(s[i]);
        out->lo[i] = (x & F32_INF) == F32_INF ? F32_QNAN : f32_flush(f32_bits((float)f(f32_of(x))));
    }
    settle(out, s);
    f32_finish(in, out);
}

static void sin_f32(valu_in in, gfx_valu_out *restrict out) {
    circular(in, out, sine_of_turns);
}

static void cos_f32(valu_in in, gfx_valu_out *restrict out) {
    circular(in, out, cosine_of_turns);
}

/* f16: 53 bits are so many more than 11 that rounding twice is rounding once; a test has all 65,536. */
static double sin16(double x) {
    return isinf(x) ? (double)NAN : (double)sine_of_turns(x);
}

static double cos16(double x) {
    return isinf(x) ? (double)NAN : (double)cosine_of_turns(x);
}

static double rcp16(double x) {
    return 1 / x;
}

static double rsq16(double x) {
    return 1 / sqrt(x);
}

static void math16(valu_in in, valu_out out, double (*f)(double)) {
    EACH_LANE(i) {
        const uint32_t h = f16_lane(in, 0, i);
        const double y = f(f32_of(f32_from_f16(h)));
        const uint32_t nan = f16_is_nan(h) ? h | 0x200 : F16_QNAN;
        out->lo[i] = y != y ? nan : (uint32_t)soft_convert(SOFT_F64, SOFT_F16, f64_bits(y), ROUND_EVEN);
    }
    f16_finish(in, out);
}

static void math64(valu_in in, valu_out out, double (*f)(double)) {
    EACH_LANE(i) {
        const uint64_t x = f64_source(in, 0, i), y = f64_bits(f(f64_of(x)));
        const uint64_t nan = f64_is_nan(x) ? x | 0x8000000000000 : F64_QNAN;
        set_u64(out, i, f64_is_nan(y) ? nan : y);
    }
    f64_finish(in, out);
}

#define MATH16(name, f)                                                                                                \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        math16(in, out, f);                                                                                            \
    }
#define MATH64(name, f)                                                                                                \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        math64(in, out, f);                                                                                            \
    }

MATH16(exp_f16, exp2)
MATH16(log_f16, log2)
MATH16(rcp_f16, rcp16)
MATH16(sqrt_f16, sqrt)
MATH16(rsq_f16, rsq16)
MATH16(sin_f16, sin16)
MATH16(cos_f16, cos16)
MATH64(rcp_f64, rcp16)
MATH64(sqrt_f64, sqrt)
MATH64(rsq_f64, rsq16)

#define ONE(n, t)                                                                                                      \
    { .name = "v_" #n, .dst = t, .src = {t}, .run = n }
#define F32(n) ONE(n##_f32, GFX_F32)
#define F16(n) ONE(n##_f16, GFX_F16)
#define F64(n) ONE(n##_f64, GFX_F64)

static const gfx_valu ops[] = {
    F32(exp),  F32(log),  F32(rcp),
    F32(sqrt), F32(rsq),  F32(sin),
    F32(cos),  F16(exp),  F16(log),
    F16(rcp),  F16(sqrt), F16(rsq),
    F16(sin),  F16(cos),  F64(rcp),
    F64(sqrt), F64(rsq),  {.name = "v_rcp_iflag_f32", .dst = GFX_F32, .src = {GFX_F32}, .run = rcp_f32},
};
VALU_TABLE(valu_math_table, ops);
