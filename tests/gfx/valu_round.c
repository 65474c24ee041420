/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats to whole numbers and fractions, and exponents apart from mantissas, in all three formats. f16 goes through
 * float, whose results here are exact f16 again; v_fract_f16 and v_ldexp_f16 round once more, by MODE. */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

#include <math.h>

/* x - floor(x), but below one: a tiny negative x would round to it. LLVM takes v_fract for
 * min(x - floor(x), the largest number below one), so hardware has it that way. Rounded to nearest. */
static float fract32(float x) {
    const float f = x - floorf(x);
    return f >= 1 ? 0x1.fffffep-1f : f;
}

static double fract64(double x) {
    const double f = x - floor(x);
    return f >= 1 ? 0x1.fffffffffffffp-1 : f;
}

#define ROUND32(name, expr)                                                                                            \
    static void name##_f32(valu_in in, gfx_valu_out *restrict out) {                                                   \
        uint32_t space[GFX_LANES];                                                                                     \
        const uint32_t *s = f32_source(in, 0, space);                                                                  \
        EACH_LANE(i) {                                                                                                 \
            const float x = f32_of(s[i]);                                                                              \
            out->lo[i] = f32_bits(expr);                                                                               \
        }                                                                                                              \
        f32_nans(out, 1, &s);                                                                                          \
        f32_finish(in, out);                                                                                           \
    }

#define ROUND64(name, expr)                                                                                            \
    static void name##_f64(valu_in in, gfx_valu_out *restrict out) {                                                   \
        EACH_LANE(i) {                                                                                                 \
            const uint64_t bits = f64_source(in, 0, i);                                                                \
            const double x = f64_of(bits);                                                                             \
            const uint64_t r = f64_bits(expr);                                                                         \
            const uint64_t nan = f64_is_nan(bits) ? bits | 0x8000000000000 : F64_QNAN;                                 \
            set_u64(out, i, f64_is_nan(r) ? nan : r);                                                                  \
        }                                                                                                              \
        f64_finish(in, out);                                                                                           \
    }

/* Of a float that is an f16. */
#define ROUND16(name, expr)                                                                                            \
    static void name##_f16(valu_in in, gfx_valu_out *restrict out) {                                                   \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t bits = f16_lane(in, 0, i);                                                                  \
            const float x = f32_of(f32_from_f16(bits));                                                                \
            const uint32_t r = f16_from_f32(f32_bits(expr));                                                           \
            const uint32_t nan = f16_is_nan(bits) ? bits | 0x200 : F16_QNAN;                                           \
            out->lo[i] = f16_is_nan(r) ? nan : r;                                                                      \
        }                                                                                                              \
        f16_finish(in, out);                                                                                           \
    }

ROUND32(trunc, truncf(x))
ROUND32(ceil, ceilf(x))
ROUND32(floor, floorf(x))
ROUND32(rndne, nearbyintf(x))
ROUND32(fract, fract32(x))
ROUND64(trunc, trunc(x))
ROUND64(ceil, ceil(x))
ROUND64(floor, floor(x))
ROUND64(rndne, nearbyint(x))
ROUND64(fract, fract64(x))
ROUND16(trunc, truncf(x))
ROUND16(ceil, ceilf(x))
ROUND16(floor, floorf(x))
ROUND16(rndne, nearbyintf(x))

static void fract_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const uint32_t bits = f16_lane(in, 0, i);
        const float x = f32_of(f32_from_f16(bits));
        /* Exact as float but for tiny negative x, which stay below or become one. */
        const uint32_t r = f16_from_f32(f32_bits(x - floorf(x)));
        const uint32_t nan = f16_is_nan(bits) ? bits | 0x200 : F16_QNAN;
        out->lo[i] = f16_is_nan(r) ? nan : r >= 0x3c00 && r < F16_INF ? 0x3bff : r;
    }
    f16_finish(in, out);
}

/* mantissa 2^exponent with the mantissa in [1/2, 1); denormals as the numbers they are. An infinity or NaN is its own
 * mantissa, of exponent 0. */
static uint64_t mantissa(soft_format f, uint64_t x, int *exponent) {
    const unsigned top = f.fraction + f.exponent;
    const uint64_t sign = x & (uint64_t)1 << top, fraction_mask = ((uint64_t)1 << f.fraction) - 1;
    const uint64_t size = x ^ sign, infinity = (((uint64_t)1 << f.exponent) - 1) << f.fraction;
    const int bias = (1 << (f.exponent - 1)) - 1;
    *exponent = 0;
    if (size > infinity) return x | (uint64_t)1 << (f.fraction - 1);
    if (size == infinity || size == 0) return x;
    const int up = size >> f.fraction ? 0 : __builtin_clzll(size) - (63 - (int)f.fraction);
    *exponent = (up ? 1 - up : (int)(size >> f.fraction)) - bias + 1;
    return sign | (uint64_t)(bias - 1) << f.fraction | (size << up & fraction_mask);
}

static void frexp_mant_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    int e;
    EACH_LANE(i) out->lo[i] = (uint32_t)mantissa(SOFT_F32, s[i], &e);
    f32_finish(in, out);
}

static void frexp_exp_i32_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    EACH_LANE(i) {
        int e;
        mantissa(SOFT_F32, s[i], &e);
        out->lo[i] = (uint32_t)e;
    }
}

static void frexp_mant_f64(valu_in in, gfx_valu_out *restrict out) {
    int e;
    EACH_LANE(i) set_u64(out, i, mantissa(SOFT_F64, f64_source(in, 0, i), &e));
    f64_finish(in, out);
}

static void frexp_exp_i32_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        int e;
        mantissa(SOFT_F64, f64_source(in, 0, i), &e);
        out->lo[i] = (uint32_t)e;
    }
}

static void frexp_mant_f16(valu_in in, gfx_valu_out *restrict out) {
    int e;
    EACH_LANE(i) out->lo[i] = (uint32_t)mantissa(SOFT_F16, f16_lane(in, 0, i), &e);
    f16_finish(in, out);
}

static void frexp_exp_i16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        int e;
        mantissa(SOFT_F16, f16_lane(in, 0, i), &e);
        out->lo[i] = (uint16_t)e;
    }
}

/* x 2^n, rounded once. */
static uint64_t scaled(soft_format f, uint64_t x, int n, unsigned mode) {
    const uint64_t sign = (uint64_t)1 << (f.fraction + f.exponent), size = x & (sign - 1);
    const uint64_t infinity = sign - ((uint64_t)1 << f.fraction), one = (uint64_t)((1 << (f.exponent - 1)) - 1)
                                                                        << f.fraction;
    if (size > infinity) return x | (uint64_t)1 << (f.fraction - 1);
    if (size == infinity || size == 0) return x;
    const int far = 5000; /* beyond all formats */
    const int by = n > far ? far : n < -far ? -far : n;
    return soft_fma_scaled(f, x, one, x & sign, by, mode);
}

static void ldexp_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[GFX_LANES];
    const uint32_t *s = f32_source(in, 0, space);
    EACH_LANE(i) out->lo[i] = (uint32_t)scaled(SOFT_F32, s[i], (int32_t)in->lo[1][i], in->mode.round32);
    f32_finish(in, out);
}

static void ldexp_f64(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i)
    set_u64(out, i, scaled(SOFT_F64, f64_source(in, 0, i), (int32_t)in->lo[1][i], in->mode.round16_64));
    f64_finish(in, out);
}

static void ldexp_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) {
        const int16_t n = (int16_t)(in->lo[1][i] >> half_shift(in, 1));
        out->lo[i] = (uint32_t)scaled(SOFT_F16, f16_lane(in, 0, i), n, in->mode.round16_64);
    }
    f16_finish(in, out);
}

#define ONE(n, t, f)                                                                                                   \
    { .name = "v_" #n, .dst = t, .src = {f}, .run = n }
#define SELF(n) ONE(n##_f32, GFX_F32, GFX_F32), ONE(n##_f64, GFX_F64, GFX_F64), ONE(n##_f16, GFX_F16, GFX_F16)

static const gfx_valu ops[] = {
    SELF(trunc),
    SELF(ceil),
    SELF(floor),
    SELF(rndne),
    SELF(fract),
    SELF(frexp_mant),
    ONE(frexp_exp_i32_f32, GFX_I32, GFX_F32),
    ONE(frexp_exp_i32_f64, GFX_I32, GFX_F64),
    ONE(frexp_exp_i16_f16, GFX_I16, GFX_F16),
    {.name = "v_ldexp_f32", .dst = GFX_F32, .src = {GFX_F32, GFX_I32}, .run = ldexp_f32},
    {.name = "v_ldexp_f64", .dst = GFX_F64, .src = {GFX_F64, GFX_I32}, .run = ldexp_f64},
    {.name = "v_ldexp_f16", .dst = GFX_F16, .src = {GFX_F16, GFX_I16}, .run = ldexp_f16},
};
VALU_TABLE(valu_round_table, ops);
