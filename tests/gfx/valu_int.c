/* SPDX-License-Identifier: Apache-2.0
 *
 * 32-bit and 64-bit integers: sums, products, shifts, extremes. clamp saturates where the ISA document has it
 * (sums, differences and v_mad of 24 and 16 bits); elsewhere it is ignored. */
#include "gfx/valu_lanes.h"

/* wide: the exact result as an int64_t, which wraps or, with clamp, saturates between low and high. */
#define SATURATING(name, wide, low, high)                                                                              \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = in->lo[2] ? in->lo[2] : s0;                             \
        const bool clamp = in->clamp;                                                                                  \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i], c = s2[i];                                                            \
            (void)c;                                                                                                   \
            const int64_t w = (wide);                                                                                  \
            out->lo[i] = (uint32_t)(!clamp ? w : w < (low) ? (low) : w > (high) ? (high) : w);                         \
        }                                                                                                              \
    }

#define I(x)   ((int32_t)(x))
#define U24(x) ((x)&0xffffff)
#define I24(x) ((int32_t)((x) << 8) >> 8)

static int32_t min_i(int32_t a, int32_t b) {
    return a < b ? a : b;
}
static int32_t max_i(int32_t a, int32_t b) {
    return a > b ? a : b;
}
static uint32_t min_u(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static uint32_t max_u(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Sums that wrap have loops of their own: they are most of all instructions. */
OP2(add_wrap, a + b)
OP2(sub_wrap, a - b)
OP2(subrev_wrap, b - a)
SATURATING(add_clamp, (int64_t)a + b, 0, UINT32_MAX)
SATURATING(sub_clamp, (int64_t)a - b, 0, UINT32_MAX)
SATURATING(subrev_clamp, (int64_t)b - a, 0, UINT32_MAX)
SATURATING(add_i32_clamp, (int64_t)I(a) + I(b), INT32_MIN, INT32_MAX)
SATURATING(sub_i32_clamp, (int64_t)I(a) - I(b), INT32_MIN, INT32_MAX)

static void add_nc_u32(valu_in in, gfx_valu_out *out) {
    (in->clamp ? add_clamp : add_wrap)(in, out);
}
static void sub_nc_u32(valu_in in, gfx_valu_out *out) {
    (in->clamp ? sub_clamp : sub_wrap)(in, out);
}
static void subrev_nc_u32(valu_in in, gfx_valu_out *out) {
    (in->clamp ? subrev_clamp : subrev_wrap)(in, out);
}
static void add_nc_i32(valu_in in, gfx_valu_out *out) {
    (in->clamp ? add_i32_clamp : add_wrap)(in, out);
}
static void sub_nc_i32(valu_in in, gfx_valu_out *out) {
    (in->clamp ? sub_i32_clamp : sub_wrap)(in, out);
}

OP3(add3_u32, a + b + c)
OP3(lshl_add_u32, (a << (b & 31)) + c)
OP3(add_lshl_u32, (a + b) << (c & 31))
OP3(xad_u32, (a ^ b) + c)

OP2(mul_lo_u32, a *b)
OP2(mul_hi_u32, (uint64_t)a *b >> 32)
OP2(mul_hi_i32, ((int64_t)I(a) * I(b)) >> 32)
OP2(mul_u32_u24, U24(a) * U24(b))
OP2(mul_i32_i24, (int64_t)I24(a) * I24(b))
OP2(mul_hi_u32_u24, (uint64_t)U24(a) * U24(b) >> 32)
OP2(mul_hi_i32_i24, ((int64_t)I24(a) * I24(b)) >> 32)
SATURATING(mad_u32_u24, (int64_t)U24(a) * U24(b) + c, 0, UINT32_MAX)
SATURATING(mad_i32_i24, (int64_t)I24(a) * I24(b) + I(c), INT32_MIN, INT32_MAX)

OP2(min_i32, min_i(I(a), I(b)))
OP2(max_i32, max_i(I(a), I(b)))
OP2(min_u32, min_u(a, b))
OP2(max_u32, max_u(a, b))
OP3(min3_i32, min_i(min_i(I(a), I(b)), I(c)))
OP3(max3_i32, max_i(max_i(I(a), I(b)), I(c)))
OP3(min3_u32, min_u(min_u(a, b), c))
OP3(max3_u32, max_u(max_u(a, b), c))
OP3(med3_i32, max_i(min_i(I(a), I(b)), min_i(max_i(I(a), I(b)), I(c))))
OP3(med3_u32, max_u(min_u(a, b), min_u(max_u(a, b), c)))
OP3(maxmin_i32, min_i(max_i(I(a), I(b)), I(c)))
OP3(minmax_i32, max_i(min_i(I(a), I(b)), I(c)))
OP3(maxmin_u32, min_u(max_u(a, b), c))
OP3(minmax_u32, max_u(min_u(a, b), c))

OP2(lshlrev_b32, b << (a & 31))
OP2(lshrrev_b32, b >> (a & 31))
OP2(ashrrev_i32, I(b) >> (a & 31))
OP3(lshl_or_b32, a << (b & 31) | c)

/* The shift is a 32-bit source. */
#define SHIFT64(name, expr)                                                                                            \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *lo = in->lo[1], *hi = in->hi[1];                                              \
        EACH_LANE(i) {                                                                                                 \
            const uint64_t v = (uint64_t)hi[i] << 32 | lo[i];                                                          \
            const unsigned n = s0[i] & 63;                                                                             \
            const uint64_t r = (uint64_t)(expr);                                                                       \
            out->lo[i] = (uint32_t)r;                                                                                  \
            out->hi[i] = (uint32_t)(r >> 32);                                                                          \
        }                                                                                                              \
    }

SHIFT64(lshlrev_b64, v << n)
SHIFT64(lshrrev_b64, v >> n)
SHIFT64(ashrrev_i64, (int64_t)v >> n)

static uint32_t abs_difference(uint32_t a, uint32_t b) {
    return a > b ? a - b : b - a;
}

static uint32_t byte_differences(uint32_t a, uint32_t b, bool masked) {
    uint32_t sum = 0;
    for (unsigned s = 0; s < 32; s += 8) {
        const uint32_t x = a >> s & 255, y = b >> s & 255;
        sum += masked && y == 0 ? 0 : abs_difference(x, y);
    }
    return sum;
}

OP3(sad_u8, byte_differences(a, b, false) + c)
OP3(sad_hi_u8, (byte_differences(a, b, false) << 16) + c)
OP3(msad_u8, byte_differences(a, b, true) + c)
OP3(sad_u16, abs_difference(a & 0xffff, b & 0xffff) + abs_difference(a >> 16, b >> 16) + c)
OP3(sad_u32, abs_difference(a, b) + c)

OP1(cvt_i32_i16, (int16_t)(a >> half_shift(in, 0)))
OP1(cvt_u32_u16, (uint16_t)(a >> half_shift(in, 0)))

#define U2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_U32, .src = {GFX_U32, GFX_U32}, .run = n }
#define U3(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_U32, .src = {GFX_U32, GFX_U32, GFX_U32}, .run = n }
#define S2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_I32, .src = {GFX_I32, GFX_I32}, .run = n }
#define S3(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_I32, .src = {GFX_I32, GFX_I32, GFX_I32}, .run = n }
#define B2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B32, .src = {GFX_U32, GFX_B32}, .run = n }
#define Q2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B64, .src = {GFX_U32, GFX_B64}, .run = n }

static const gfx_valu ops[] = {
    U2(add_nc_u32),
    U2(sub_nc_u32),
    U2(subrev_nc_u32),
    S2(add_nc_i32),
    S2(sub_nc_i32),
    U3(add3_u32),
    U3(lshl_add_u32),
    U3(add_lshl_u32),
    U3(xad_u32),
    U2(mul_lo_u32),
    U2(mul_hi_u32),
    S2(mul_hi_i32),
    U2(mul_u32_u24),
    S2(mul_i32_i24),
    U2(mul_hi_u32_u24),
    S2(mul_hi_i32_i24),
    U3(mad_u32_u24),
    S3(mad_i32_i24),
    S2(min_i32),
    S2(max_i32),
    U2(min_u32),
    U2(max_u32),
    S3(min3_i32),
    S3(max3_i32),
    U3(min3_u32),
    U3(max3_u32),
    S3(med3_i32),
    U3(med3_u32),
    S3(maxmin_i32),
    S3(minmax_i32),
    U3(maxmin_u32),
    U3(minmax_u32),
    B2(lshlrev_b32),
    B2(lshrrev_b32),
    B2(ashrrev_i32),
    U3(lshl_or_b32),
    Q2(lshlrev_b64),
    Q2(lshrrev_b64),
    Q2(ashrrev_i64),
    U3(sad_u8),
    U3(sad_hi_u8),
    U3(msad_u8),
    U3(sad_u16),
    U3(sad_u32),
    {.name = "v_cvt_i32_i16", .dst = GFX_I32, .src = {GFX_I16}, .run = cvt_i32_i16},
    {.name = "v_cvt_u32_u16", .dst = GFX_U32, .src = {GFX_U16}, .run = cvt_u32_u16},
};
VALU_TABLE(valu_int_table, ops);
