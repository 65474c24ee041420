/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparisons of floats and v_cmp_class; a bit a lane. Sources are flushed as MODE says before they are compared. The
 * halves of f16 are compared as floats. */
#include "gfx/valu_lanes.h"

#include "gfx/valu_half.h"

#define COMPARE32(name, expr)                                                                                          \
    static void name##_f32(valu_in in, gfx_valu_out *restrict out) {                                                   \
        uint32_t space[2][GFX_LANES], bits = 0;                                                                        \
        const uint32_t *s0 = f32_source(in, 0, space[0]), *s1 = f32_source(in, 1, space[1]);                           \
        EACH_LANE(i) {                                                                                                 \
            const float a = f32_of(s0[i]), b = f32_of(s1[i]);                                                          \
            (void)a, (void)b;                                                                                          \
            bits |= (uint32_t)(expr) << i;                                                                             \
        }                                                                                                              \
        out->mask = bits;                                                                                              \
    }

#define COMPARE16(name, expr)                                                                                          \
    static void name##_f16(valu_in in, gfx_valu_out *restrict out) {                                                   \
        float s0[GFX_LANES], s1[GFX_LANES];                                                                            \
        uint32_t bits = 0;                                                                                             \
        f16_source(in, 0, s0);                                                                                         \
        f16_source(in, 1, s1);                                                                                         \
        EACH_LANE(i) {                                                                                                 \
            const float a = s0[i], b = s1[i];                                                                          \
            (void)a, (void)b;                                                                                          \
            bits |= (uint32_t)(expr) << i;                                                                             \
        }                                                                                                              \
        out->mask = bits;                                                                                              \
    }

#define COMPARE64(name, expr)                                                                                          \
    static void name##_f64(valu_in in, gfx_valu_out *restrict out) {                                                   \
        uint32_t bits = 0;                                                                                             \
        EACH_LANE(i) {                                                                                                 \
            const double a = f64_of(f64_source(in, 0, i)), b = f64_of(f64_source(in, 1, i));                           \
            (void)a, (void)b;                                                                                          \
            bits |= (uint32_t)(expr) << i;                                                                             \
        }                                                                                                              \
        out->mask = bits;                                                                                              \
    }

#define COMPARE(name, expr) COMPARE32(name, expr) COMPARE16(name, expr) COMPARE64(name, expr)

COMPARE(f, 0)
COMPARE(lt, a < b)
COMPARE(eq, a == b)
COMPARE(le, a <= b)
COMPARE(gt, a > b)
COMPARE(lg, (a < b) | (a > b))
COMPARE(ge, a >= b)
COMPARE(o, (a == a) & (b == b))
COMPARE(u, (a != a) | (b != b))
COMPARE(nge, !(a >= b))
COMPARE(nlg, !((a < b) | (a > b)))
COMPARE(ngt, !(a > b))
COMPARE(nle, !(a <= b))
COMPARE(neq, !(a == b))
COMPARE(nlt, !(a < b))
COMPARE(t, 1)

/* The bit of v_cmp_class that x belongs to: signalling NaN, quiet NaN, -infinity, -normal, -denormal, -0, +0,
 * +denormal, +normal, +infinity. A denormal is one whatever MODE says. */
static unsigned class_of(bool sign, bool top, bool any_exponent, bool fraction, bool quiet) {
    if (top && fraction) return quiet ? 1 : 0;
    const unsigned size = top ? 0 : any_exponent ? 1 : fraction ? 2 : 3;
    return sign ? 2 + size : 9 - size;
}

static void class_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t bits = 0;
    EACH_LANE(i) {
        const uint32_t x = (in->lo[0][i] & sign_keep(in, 0, F32_SIGN)) ^ sign_flip(in, 0, F32_SIGN), e = x & F32_INF;
        const unsigned c = class_of(x >> 31, e == F32_INF, e != 0, x & 0x7fffff, x & 0x400000);
        bits |= (in->lo[1][i] >> c & 1) << i;
    }
    out->mask = bits;
}

static void class_f16(valu_in in, gfx_valu_out *restrict out) {
    uint32_t bits = 0;
    EACH_LANE(i) {
        const uint32_t h = in->lo[0][i] >> half_shift(in, 0) & 0xffff;
        const uint32_t x = (h & sign_keep(in, 0, F16_SIGN)) ^ sign_flip(in, 0, F16_SIGN), e = x & F16_INF;
        const unsigned c = class_of(x >> 15, e == F16_INF, e != 0, x & 0x3ff, x & 0x200);
        bits |= (in->lo[1][i] >> half_shift(in, 1) >> c & 1) << i;
    }
    out->mask = bits;
}

static void class_f64(valu_in in, gfx_valu_out *restrict out) {
    uint32_t bits = 0;
    EACH_LANE(i) {
        uint64_t x = u64_at(in, 0, i);
        if (in->abs & 1) x &= ~F64_SIGN;
        if (in->neg & 1) x ^= F64_SIGN;
        const uint64_t e = x & F64_INF;
        const unsigned c = class_of(x >> 63, e == F64_INF, e != 0, x & 0xfffffffffffff, x & 0x8000000000000);
        bits |= (in->lo[1][i] >> c & 1) << i;
    }
    out->mask = bits;
}

#define ROW(n, type)                                                                                                   \
    { .name = "v_cmp_" #n, .src = {type, type}, .writes_mask = true, .run = n }
#define ROWS(n) ROW(n##_f16, GFX_F16), ROW(n##_f32, GFX_F32), ROW(n##_f64, GFX_F64)
#define CLASS(n, type, flags)                                                                                          \
    { .name = "v_cmp_" #n, .src = {type, flags}, .writes_mask = true, .run = n }

static const gfx_valu ops[] = {
    ROWS(f),
    ROWS(lt),
    ROWS(eq),
    ROWS(le),
    ROWS(gt),
    ROWS(lg),
    ROWS(ge),
    ROWS(o),
    ROWS(u),
    ROWS(nge),
    ROWS(nlg),
    ROWS(ngt),
    ROWS(nle),
    ROWS(neq),
    ROWS(nlt),
    ROWS(t),
    CLASS(class_f16, GFX_F16, GFX_U16),
    CLASS(class_f32, GFX_F32, GFX_U32),
    CLASS(class_f64, GFX_F64, GFX_U32),
};
VALU_TABLE(valu_cmp_f_table, ops);
