/* SPDX-License-Identifier: Apache-2.0
 *
 * f32 sums, products, fused products and extremes. Where the mode rounds to nearest even the host computes; all sums
 * are plain C, so the file is compiled without contraction (-ffp-contract=off, as all of nibble is). */
#include "gfx/valu_lanes.h"

#include "gfx/valu_soft.h"

/* A result that is no number is rare: found by one pass over the results, repaired by another. */
static void f32_done(valu_in in, valu_out out, unsigned n, const uint32_t *const *s) {
    uint32_t nan = 0;
    EACH_LANE(i) nan |= f32_is_nan(out->lo[i]) ? 1u : 0u;
    if (nan) f32_nans(out, n, s);
    f32_finish(in, out);
}

#define SOURCE(k) f32_source(in, k, space[k])

/* host: of floats a, b, c; soft: of their bits x, y, z and the rounding mode. */
#define F32_OP2(name, host, soft)                                                                                      \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[2][GFX_LANES];                                                                                  \
        const uint32_t *s[] = {SOURCE(0), SOURCE(1)}, *s0 = s[0], *s1 = s[1];                                          \
        const unsigned mode = in->mode.round32;                                                                        \
        if (mode == ROUND_EVEN) {                                                                                      \
            EACH_LANE(i) {                                                                                             \
                const float a = f32_of(s0[i]), b = f32_of(s1[i]);                                                      \
                out->lo[i] = f32_bits(host);                                                                           \
            }                                                                                                          \
        } else {                                                                                                       \
            EACH_LANE(i) {                                                                                             \
                const uint32_t x = s0[i], y = s1[i];                                                                   \
                out->lo[i] = (uint32_t)(soft);                                                                         \
            }                                                                                                          \
        }                                                                                                              \
        f32_done(in, out, 2, s);                                                                                       \
    }

#define F32_OP3(name, host, soft)                                                                                      \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[3][GFX_LANES];                                                                                  \
        const uint32_t *s[] = {SOURCE(0), SOURCE(1), SOURCE(2)}, *s0 = s[0], *s1 = s[1], *s2 = s[2];                   \
        const unsigned mode = in->mode.round32;                                                                        \
        if (mode == ROUND_EVEN) {                                                                                      \
            EACH_LANE(i) {                                                                                             \
                const float a = f32_of(s0[i]), b = f32_of(s1[i]), c = f32_of(s2[i]);                                   \
                out->lo[i] = f32_bits(host);                                                                           \
            }                                                                                                          \
        } else {                                                                                                       \
            EACH_LANE(i) {                                                                                             \
                const uint32_t x = s0[i], y = s1[i], z = s2[i];                                                        \
                out->lo[i] = (uint32_t)(soft);                                                                         \
            }                                                                                                          \
        }                                                                                                              \
        f32_done(in, out, 3, s);                                                                                       \
    }

/* x - y without changing which NaN comes out: the sign goes to a number only. */
static uint32_t negated(uint32_t x) {
    return f32_is_nan(x) ? x : x ^ F32_SIGN;
}

/* The DX9 rule: zero times anything is +0. */
static float mul_dx9(float a, float b) {
    return a == 0 || b == 0 ? 0 : a * b;
}
static uint32_t mul_dx9_soft(uint32_t x, uint32_t y, unsigned mode) {
    return f32_of(x) == 0 || f32_of(y) == 0 ? 0 : (uint32_t)soft_mul(SOFT_F32, x, y, mode);
}
F32_OP2(add_f32, a + b, soft_add(SOFT_F32, x, y, mode))
F32_OP2(sub_f32, a - b, soft_add(SOFT_F32, x, negated(y), mode))
F32_OP2(subrev_f32, b - a, soft_add(SOFT_F32, negated(x), y, mode))
F32_OP2(mul_f32, a *b, soft_mul(SOFT_F32, x, y, mode))
F32_OP2(mul_dx9_zero_f32, mul_dx9(a, b), mul_dx9_soft(x, y, mode))
F32_OP3(fma_f32, __builtin_fmaf(a, b, c), soft_fma(SOFT_F32, x, y, z, mode))
F32_OP3(fmamk_f32, __builtin_fmaf(a, b, c), soft_fma(SOFT_F32, x, y, z, mode))

/* Where a factor is zero the result is the third source, and what the other factor is does not matter. */
static void fma_dx9_zero_f32(valu_in in, gfx_valu_out *restrict out) {
    uint32_t space[3][GFX_LANES], zeroed[2][GFX_LANES];
    const uint32_t *s0 = SOURCE(0), *s1 = SOURCE(1), *s2 = SOURCE(2);
    const uint32_t *const s[] = {zeroed[0], zeroed[1], s2};
    EACH_LANE(i) {
        const bool zero = f32_of(s0[i]) == 0 || f32_of(s1[i]) == 0;
        zeroed[0][i] = zero ? 0 : s0[i];
        zeroed[1][i] = zero ? 0 : s1[i];
        out->lo[i] = zero ? s2[i] : (uint32_t)soft_fma(SOFT_F32, s0[i], s1[i], s2[i], in->mode.round32);
    }
    f32_done(in, out, 3, s);
}

/* Numbers in the order of signed integers, -0 below +0. */
static int32_t order(uint32_t x) {
    return (int32_t)(x ^ (uint32_t)((int32_t)x >> 31 & 0x7fffffff));
}

static bool is_signalling(uint32_t x) {
    return f32_is_nan(x) && !(x & 0x400000);
}

/* Of the numbers the smaller, -0 below +0; a NaN gives way to a number. In IEEE mode a signalling one does not: it
 * comes out quiet. (V_MIN_F32) */
static uint32_t min_ieee(uint32_t a, uint32_t b, bool ieee) {
    uint32_t r = order(a) < order(b) ? a : b;
    r = f32_is_nan(a) ? b : r;
    r = f32_is_nan(b) ? a : r;
    r = ieee && is_signalling(b) ? b | 0x400000 : r;
    return ieee && is_signalling(a) ? a | 0x400000 : r;
}

static uint32_t max_ieee(uint32_t a, uint32_t b, bool ieee) {
    uint32_t r = order(a) > order(b) ? a : b;
    r = f32_is_nan(a) ? b : r;
    r = f32_is_nan(b) ? a : r;
    r = ieee && is_signalling(b) ? b | 0x400000 : r;
    return ieee && is_signalling(a) ? a | 0x400000 : r;
}

static bool same_number(uint32_t a, uint32_t b) {
    return f32_of(a) == f32_of(b);
}

static uint32_t med3(uint32_t a, uint32_t b, uint32_t c, bool ieee) {
    if (f32_is_nan(a) || f32_is_nan(b) || f32_is_nan(c)) return min_ieee(min_ieee(a, b, ieee), c, ieee);
    const uint32_t most = max_ieee(max_ieee(a, b, ieee), c, ieee);
    if (same_number(most, a)) return max_ieee(b, c, ieee);
    return same_number(most, b) ? max_ieee(a, c, ieee) : max_ieee(a, b, ieee);
}

#define F32_PICK2(name, expr)                                                                                          \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[2][GFX_LANES];                                                                                  \
        const uint32_t *s0 = SOURCE(0), *s1 = SOURCE(1);                                                               \
        const bool ieee = in->mode.ieee;                                                                               \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i];                                                                       \
            out->lo[i] = (expr);                                                                                       \
        }                                                                                                              \
        f32_finish(in, out);                                                                                           \
    }

#define F32_PICK3(name, expr)                                                                                          \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t space[3][GFX_LANES];                                                                                  \
        const uint32_t *s0 = SOURCE(0), *s1 = SOURCE(1), *s2 = SOURCE(2);                                              \
        const bool ieee = in->mode.ieee;                                                                               \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i], c = s2[i];                                                            \
            out->lo[i] = (expr);                                                                                       \
        }                                                                                                              \
        f32_finish(in, out);                                                                                           \
    }

F32_PICK2(min_f32, min_ieee(a, b, ieee))
F32_PICK2(max_f32, max_ieee(a, b, ieee))
F32_PICK3(min3_f32, min_ieee(min_ieee(a, b, ieee), c, ieee))
F32_PICK3(max3_f32, max_ieee(max_ieee(a, b, ieee), c, ieee))
F32_PICK3(maxmin_f32, min_ieee(max_ieee(a, b, ieee), c, ieee))
F32_PICK3(minmax_f32, max_ieee(min_ieee(a, b, ieee), c, ieee))
F32_PICK3(med3_f32, med3(a, b, c, ieee))

#define F2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_F32, .src = {GFX_F32, GFX_F32}, .run = n }
#define F3(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_F32, .src = {GFX_F32, GFX_F32, GFX_F32}, .run = n }
#define FMAC(n, f)                                                                                                     \
    { .name = "v_" #n, .dst = GFX_F32, .src = {GFX_F32, GFX_F32, GFX_F32}, .reads_dst = true, .run = f }

/* v_fmamk_f32 and v_fmaak_f32 have their constant where the document's formula has it: the second and third source. */
static const gfx_valu ops[] = {
    F2(add_f32),
    F2(sub_f32),
    F2(subrev_f32),
    F2(mul_f32),
    F2(mul_dx9_zero_f32),
    F3(fma_f32),
    F3(fmamk_f32),
    {.name = "v_fmaak_f32", .dst = GFX_F32, .src = {GFX_F32, GFX_F32, GFX_F32}, .run = fma_f32},
    F3(fma_dx9_zero_f32),
    FMAC(fmac_f32, fma_f32),
    FMAC(fmac_dx9_zero_f32, fma_dx9_zero_f32),
    F2(min_f32),
    F2(max_f32),
    F3(min3_f32),
    F3(max3_f32),
    F3(maxmin_f32),
    F3(minmax_f32),
    F3(med3_f32),
};
VALU_TABLE(valu_f32_table, ops);
