/* SPDX-License-Identifier: Apache-2.0
 *
 * f16 sums, products, fused products and extremes, one or two in a register, and v_fma_mix. A lane is computed as
 * float: exact for products; sums and fused products are rounded to odd there, so that the rounding to f16 is the only
 * one that counts (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
 * to odd": 24 bits are enough for 11). Other rounding modes than to nearest go through the soft float. */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

/* x + y as float, with its lowest bit set if that is not exact: the error of the sum is computed without error by
 * Knuth's method. No float overflows here. */
static inline uint32_t sum_to_odd(float x, float y) {
    const float s = x + y, t = s - x, error = (x - (s - t)) + (y - t);
    const uint32_t bits = f32_bits(s), inexact = (error > 0) | (error < 0);
    /* Even and inexact: the neighbour towards the error is the odd one. */
    const uint32_t away = (f32_bits(error) ^ bits) >> 31 ? 0u - 1u : 1u;
    return inexact & ~bits & 1 ? bits + away : bits;
}

static inline uint32_t add_lane(float a, float b) {
    return f16_from_f32(f32_bits(a + b)); /* 24 bits are more than twice 11: the two roundings are one */
}

static inline uint32_t mul_lane(float a, float b) {
    return f16_from_f32(f32_bits(a * b));
}

static inline uint32_t fma_lane(float a, float b, float c) {
    return f16_from_f32(sum_to_odd(a * b, c));
}

/* Which NaN: by the sources' bits x, of which there are n a lane. */
static void f16_nans(uint32_t *restrict lo, unsigned n, const uint32_t (*x)[GFX_LANES]) {
    EACH_LANE(i) {
        if (!f16_is_nan(lo[i])) continue;
        unsigned k = 0;
        while (k < n && !f16_is_nan(x[k][i])) k++;
        lo[i] = k < n ? x[k][i] | 0x200 : F16_QNAN;
    }
}

typedef enum operation { ADD, SUB, SUBREV, MUL, FMA } operation;

static uint32_t soft_lane(operation op, const uint32_t (*x)[GFX_LANES], unsigned i, unsigned mode) {
    switch (op) {
    case ADD:
        return (uint32_t)soft_add(SOFT_F16, x[0][i], x[1][i], mode);
    case SUB:
        return (uint32_t)soft_add(SOFT_F16, x[0][i], x[1][i] ^ F16_SIGN, mode);
    case SUBREV:
        return (uint32_t)soft_add(SOFT_F16, x[1][i], x[0][i] ^ F16_SIGN, mode);
    case MUL:
        return (uint32_t)soft_mul(SOFT_F16, x[0][i], x[1][i], mode);
    default:
        return (uint32_t)soft_fma(SOFT_F16, x[0][i], x[1][i], x[2][i], mode);
    }
}

/* x: bits of the sources, one f16 a lane, modifiers applied; lo: results before flushing and clamp. */
static inline void compute(operation op, unsigned mode, const uint32_t (*restrict x)[GFX_LANES],
                           uint32_t *restrict lo) {
    if (mode != ROUND_EVEN) {
        EACH_LANE(i) lo[i] = soft_lane(op, x, i, mode);
    } else {
        float f[3][GFX_LANES];
        for (unsigned k = 0; k < (op == FMA ? 3 : 2); k++) EACH_LANE(i) f[k][i] = f32_of(f32_from_f16(x[k][i]));
        switch (op) {
        case ADD:
            EACH_LANE(i) lo[i] = add_lane(f[0][i], f[1][i]);
            break;
        case SUB:
            EACH_LANE(i) lo[i] = add_lane(f[0][i], -f[1][i]);
            break;
        case SUBREV:
            EACH_LANE(i) lo[i] = add_lane(f[1][i], -f[0][i]);
            break;
        case MUL:
            EACH_LANE(i) lo[i] = mul_lane(f[0][i], f[1][i]);
            break;
        default:
            EACH_LANE(i) lo[i] = fma_lane(f[0][i], f[1][i], f[2][i]);
        }
    }
    uint32_t nan = 0;
    EACH_LANE(i) nan |= f16_is_nan(lo[i]) ? 1u : 0u;
    if (nan) f16_nans(lo, op == FMA ? 3 : 2, x);
}

static void gather(valu_in in, unsigned k, uint32_t *restrict x) {
    EACH_LANE(i) x[i] = f16_lane(in, k, i);
}

static inline void single(operation op, valu_in in, valu_out out) {
    uint32_t x[3][GFX_LANES];
    for (unsigned k = 0; k < (op == FMA ? 3 : 2); k++) gather(in, k, x[k]);
    compute(op, in->mode.round16_64, x, out->lo);
    f16_finish(in, out);
}

/* Of VOP3P: each half of the result has its own choice of halves and its own neg; there is no abs. */
static gfx_valu_in packed_half(valu_in in, unsigned half) {
    gfx_valu_in h = *in;
    h.op_sel = half ? in->op_sel_hi : in->op_sel;
    h.neg = half ? in->neg_hi : in->neg;
    h.abs = h.omod = 0;
    return h;
}

typedef void run(valu_in in, gfx_valu_out *restrict out);

static inline void packed(run *f, valu_in in, valu_out out) {
    const gfx_valu_in low = packed_half(in, 0), high = packed_half(in, 1);
    gfx_valu_out top;
    f(&low, out);
    f(&high, &top);
    EACH_LANE(i) out->lo[i] |= top.lo[i] << 16;
}

#define F16_OP(name, op)                                                                                               \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        single(op, in, out);                                                                                           \
    }
#define PACKED(name)                                                                                                   \
    static void pk_##name(valu_in in, gfx_valu_out *restrict out) {                                                    \
        packed(name, in, out);                                                                                         \
    }

F16_OP(add_f16, ADD)
F16_OP(sub_f16, SUB)
F16_OP(subrev_f16, SUBREV)
F16_OP(mul_f16, MUL)
F16_OP(fma_f16, FMA)
PACKED(add_f16)
PACKED(mul_f16)
PACKED(fma_f16)

/* VOP2 has no modifiers, so neither which halves: always each its own. */
static void pk_fmac_f16(valu_in in, gfx_valu_out *restrict out) {
    gfx_valu_in plain = *in;
    plain.op_sel = plain.neg = plain.neg_hi = 0;
    plain.op_sel_hi = 7;
    pk_fma_f16(&plain, out);
}

/* As for f32 (valu_f32.c). */
static int32_t order(uint32_t x) {
    const int32_t v = (int16_t)x;
    return v ^ (v >> 31 & 0x7fff);
}

static bool is_signalling(uint32_t x) {
    return f16_is_nan(x) && !(x & 0x200);
}

static inline uint32_t picked(bool first, uint32_t a, uint32_t b, bool ieee) {
    uint32_t r = first ? a : b;
    r = f16_is_nan(a) ? b : r;
    r = f16_is_nan(b) ? a : r;
    r = ieee && is_signalling(b) ? b | 0x200 : r;
    return ieee && is_signalling(a) ? a | 0x200 : r;
}

static uint32_t min_ieee(uint32_t a, uint32_t b, bool ieee) {
    return picked(order(a) < order(b), a, b, ieee);
}

static uint32_t max_ieee(uint32_t a, uint32_t b, bool ieee) {
    return picked(order(a) > order(b), a, b, ieee);
}

static bool same_number(uint32_t a, uint32_t b) {
    return a == b || ((a | b) & 0x7fff) == 0;
}

static uint32_t med3(uint32_t a, uint32_t b, uint32_t c, bool ieee) {
    if (f16_is_nan(a) || f16_is_nan(b) || f16_is_nan(c)) return min_ieee(min_ieee(a, b, ieee), c, ieee);
    const uint32_t most = max_ieee(max_ieee(a, b, ieee), c, ieee);
    if (same_number(most, a)) return max_ieee(b, c, ieee);
    return same_number(most, b) ? max_ieee(a, c, ieee) : max_ieee(a, b, ieee);
}

#define F16_PICK(name, n, expr)                                                                                        \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        uint32_t x[3][GFX_LANES] = {{0}};                                                                              \
        const bool ieee = in->mode.ieee;                                                                               \
        for (unsigned k = 0; k < n; k++) gather(in, k, x[k]);                                                          \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = x[0][i], b = x[1][i], c = x[2][i];                                                      \
            (void)c;                                                                                                   \
            out->lo[i] = (expr);                                                                                       \
        }                                                                                                              \
        f16_finish(in, out);                                                                                           \
    }

F16_PICK(min_f16, 2, min_ieee(a, b, ieee))
F16_PICK(max_f16, 2, max_ieee(a, b, ieee))
F16_PICK(min3_f16, 3, min_ieee(min_ieee(a, b, ieee), c, ieee))
F16_PICK(max3_f16, 3, max_ieee(max_ieee(a, b, ieee), c, ieee))
F16_PICK(maxmin_f16, 3, min_ieee(max_ieee(a, b, ieee), c, ieee))
F16_PICK(minmax_f16, 3, max_ieee(min_ieee(a, b, ieee), c, ieee))
F16_PICK(med3_f16, 3, med3(a, b, c, ieee))
PACKED(min_f16)
PACKED(max_f16)

/* Two halves beside each other, as they are but for neg, abs. */
static void pack_b32_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = f16_lane(in, 0, i) | f16_lane(in, 1, i) << 16;
}

#define F2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_F16, .src = {GFX_F16, GFX_F16}, .run = n }
#define F3(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_F16, .src = {GFX_F16, GFX_F16, GFX_F16}, .run = n }
#define PK2(n)                                                                                                         \
    { .name = "v_" #n, .dst = GFX_PK16, .src = {GFX_PK16, GFX_PK16}, .run = n }
#define PK3(n)                                                                                                         \
    { .name = "v_" #n, .dst = GFX_PK16, .src = {GFX_PK16, GFX_PK16, GFX_PK16}, .run = n }
#define FMA3(n, f, d)                                                                                                  \
    { .name = "v_" #n, .dst = GFX_F16, .src = {GFX_F16, GFX_F16, GFX_F16}, .reads_dst = d, .run = f }

static const gfx_valu ops[] = {
    F2(add_f16),
    F2(sub_f16),
    F2(subrev_f16),
    F2(mul_f16),
    F3(fma_f16),
    FMA3(fmac_f16, fma_f16, true),
    FMA3(fmamk_f16, fma_f16, false),
    FMA3(fmaak_f16, fma_f16, false),
    F2(min_f16),
    F2(max_f16),
    F3(min3_f16),
    F3(max3_f16),
    F3(maxmin_f16),
    F3(minmax_f16),
    F3(med3_f16),
    PK2(pk_add_f16),
    PK2(pk_mul_f16),
    PK3(pk_fma_f16),
    PK2(pk_min_f16),
    PK2(pk_max_f16),
    {.name = "v_pk_fmac_f16",
     .dst = GFX_PK16,
     .src = {GFX_PK16, GFX_PK16, GFX_PK16},
     .reads_dst = true,
     .run = pk_fmac_f16},
    {.name = "v_pack_b32_f16", .dst = GFX_B32, .src = {GFX_F16, GFX_F16}, .run = pack_b32_f16},
};
VALU_TABLE(valu_f16_table, ops);
