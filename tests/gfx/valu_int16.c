/* SPDX-License-Identifier: Apache-2.0
 *
 * 16-bit integers, one or two in a register. A packed result's low half comes of the halves that op_sel names, its high
 * half of those of op_sel_hi. clamp saturates sums, differences and v_mad. */
#include "gfx/valu_lanes.h"

/* Which of a source's halves a result of its own half is made of. */
static inline unsigned low_from(valu_in in, unsigned k) {
    return in->op_sel >> k & 1 ? 16 : 0;
}

static inline unsigned high_from(valu_in in, unsigned k) {
    return in->op_sel_hi >> k & 1 ? 16 : 0;
}

#define CLAMP(w, low, high) ((w) < (low) ? (low) : (w) > (high) ? (high) : (w))

/* wide: the exact result of a, b, c (int32_t or int64_t), of sources of the type; a single one and, where there is one,
 * the packed instruction. */
#define SINGLE(name, type, n, wide, low, high)                                                                         \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = n == 3 ? in->lo[2] : s0;                                \
        const unsigned h0 = low_from(in, 0), h1 = low_from(in, 1), h2 = low_from(in, 2);                               \
        const bool clamp = in->clamp;                                                                                  \
        EACH_LANE(i) {                                                                                                 \
            const int64_t a = (type)(s0[i] >> h0), b = (type)(s1[i] >> h1), c = (type)(s2[i] >> h2);                   \
            (void)c;                                                                                                   \
            const int64_t w = (wide);                                                                                  \
            out->lo[i] = (uint16_t)(clamp ? CLAMP(w, low, high) : w);                                                  \
        }                                                                                                              \
    }

#define PACKED(name, type, n, wide, low, high)                                                                         \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = n == 3 ? in->lo[2] : s0;                                \
        const bool clamp = in->clamp;                                                                                  \
        EACH_LANE(i) out->lo[i] = 0;                                                                                   \
        for (unsigned half = 0; half < 2; half++) {                                                                    \
            const unsigned h0 = half ? high_from(in, 0) : low_from(in, 0);                                             \
            const unsigned h1 = half ? high_from(in, 1) : low_from(in, 1);                                             \
            const unsigned h2 = half ? high_from(in, 2) : low_from(in, 2);                                             \
            EACH_LANE(i) {                                                                                             \
                const int64_t a = (type)(s0[i] >> h0), b = (type)(s1[i] >> h1), c = (type)(s2[i] >> h2);               \
                (void)c;                                                                                               \
                const int64_t w = (wide);                                                                              \
                out->lo[i] |= (uint32_t)(uint16_t)(clamp ? CLAMP(w, low, high) : w) << 16 * half;                      \
            }                                                                                                          \
        }                                                                                                              \
    }

#define SIGNED(make, name, n, wide)   make(name, int16_t, n, wide, INT16_MIN, INT16_MAX)
#define UNSIGNED(make, name, n, wide) make(name, uint16_t, n, wide, 0, UINT16_MAX)
#define BOTH_S(name, n, wide)         SIGNED(SINGLE, name, n, wide) SIGNED(PACKED, pk_##name, n, wide)
#define BOTH_U(name, n, wide)         UNSIGNED(SINGLE, name, n, wide) UNSIGNED(PACKED, pk_##name, n, wide)

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

SIGNED(SINGLE, add_nc_i16, 2, a + b)
SIGNED(PACKED, pk_add_i16, 2, a + b)
SIGNED(SINGLE, sub_nc_i16, 2, a - b)
SIGNED(PACKED, pk_sub_i16, 2, a - b)
UNSIGNED(SINGLE, add_nc_u16, 2, a + b)
UNSIGNED(PACKED, pk_add_u16, 2, a + b)
UNSIGNED(SINGLE, sub_nc_u16, 2, a - b)
UNSIGNED(PACKED, pk_sub_u16, 2, a - b)
/* A product's low half, whatever clamp says. */
UNSIGNED(SINGLE, mul_lo_u16, 2, (uint16_t)(a *b))
UNSIGNED(PACKED, pk_mul_lo_u16, 2, (uint16_t)(a *b))
BOTH_S(mad_i16, 3, a *b + c)
BOTH_U(mad_u16, 3, a *b + c)
BOTH_S(min_i16, 2, least(a, b))
BOTH_S(max_i16, 2, most(a, b))
BOTH_U(min_u16, 2, least(a, b))
BOTH_U(max_u16, 2, most(a, b))
SIGNED(SINGLE, min3_i16, 3, least(least(a, b), c))
SIGNED(SINGLE, max3_i16, 3, most(most(a, b), c))
SIGNED(SINGLE, med3_i16, 3, most(least(a, b), least(most(a, b), c)))
UNSIGNED(SINGLE, min3_u16, 3, least(least(a, b), c))
UNSIGNED(SINGLE, max3_u16, 3, most(most(a, b), c))
UNSIGNED(SINGLE, med3_u16, 3, most(least(a, b), least(most(a, b), c)))
BOTH_U(lshlrev_b16, 2, (uint16_t)(b << (a & 15)))
BOTH_U(lshrrev_b16, 2, b >> (a & 15))
BOTH_S(ashrrev_i16, 2, b >> (a & 15))

/* Two halves to 32 bits, with 32 bits added. */
#define WIDE(name, type, low, high)                                                                                    \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = in->lo[2];                                              \
        const unsigned h0 = low_from(in, 0), h1 = low_from(in, 1);                                                     \
        const bool clamp = in->clamp, is_signed = (type)-1 < 0;                                                        \
        EACH_LANE(i) {                                                                                                 \
            const int64_t c = is_signed ? (int64_t)(int32_t)s2[i] : (int64_t)s2[i];                                    \
            const int64_t w = (int64_t)(type)(s0[i] >> h0) * (type)(s1[i] >> h1) + c;                                  \
            out->lo[i] = (uint32_t)(clamp ? CLAMP(w, low, high) : w);                                                  \
        }                                                                                                              \
    }

WIDE(mad_i32_i16, int16_t, INT32_MIN, INT32_MAX)
WIDE(mad_u32_u16, uint16_t, 0, UINT32_MAX)

#define ROW2(n, t)                                                                                                     \
    { .name = "v_" #n, .dst = t, .src = {t, t}, .run = n }
#define ROW3(n, t)                                                                                                     \
    { .name = "v_" #n, .dst = t, .src = {t, t, t}, .run = n }
#define SHIFT(n, t)                                                                                                    \
    { .name = "v_" #n, .dst = t, .src = {GFX_U16, t}, .run = n }
#define PK2(n) ROW2(pk_##n, GFX_B32)
#define PK3(n) ROW3(pk_##n, GFX_B32)

static const gfx_valu ops[] = {
    ROW2(add_nc_i16, GFX_I16),
    ROW2(sub_nc_i16, GFX_I16),
    ROW2(add_nc_u16, GFX_U16),
    ROW2(sub_nc_u16, GFX_U16),
    ROW2(mul_lo_u16, GFX_U16),
    ROW3(mad_i16, GFX_I16),
    ROW3(mad_u16, GFX_U16),
    ROW2(min_i16, GFX_I16),
    ROW2(max_i16, GFX_I16),
    ROW2(min_u16, GFX_U16),
    ROW2(max_u16, GFX_U16),
    ROW3(min3_i16, GFX_I16),
    ROW3(max3_i16, GFX_I16),
    ROW3(med3_i16, GFX_I16),
    ROW3(min3_u16, GFX_U16),
    ROW3(max3_u16, GFX_U16),
    ROW3(med3_u16, GFX_U16),
    SHIFT(lshlrev_b16, GFX_B16),
    SHIFT(lshrrev_b16, GFX_B16),
    SHIFT(ashrrev_i16, GFX_I16),
    PK2(add_i16),
    PK2(sub_i16),
    PK2(add_u16),
    PK2(sub_u16),
    PK2(mul_lo_u16),
    PK3(mad_i16),
    PK3(mad_u16),
    PK2(min_i16),
    PK2(max_i16),
    PK2(min_u16),
    PK2(max_u16),
    PK2(lshlrev_b16),
    PK2(lshrrev_b16),
    PK2(ashrrev_i16),
    {.name = "v_mad_i32_i16", .dst = GFX_I32, .src = {GFX_I16, GFX_I16, GFX_I32}, .run = mad_i32_i16},
    {.name = "v_mad_u32_u16", .dst = GFX_U32, .src = {GFX_U16, GFX_U16, GFX_U32}, .run = mad_u32_u16},
};
VALU_TABLE(valu_int16_table, ops);
