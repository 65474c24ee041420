/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums with carry or borrow, and products of 32 bits added to 64. Two results each: the value and one bit a lane. */
#include "gfx/valu_lanes.h"

/* carry: whether the result went beyond 32 bits, for which clamp gives limit. */
#define CARRY(name, value, carry, limit)                                                                               \
    static void name(valu_in in, gfx_valu_out *restrict out) {                                                         \
        const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], mask = in->mask, clamp = in->clamp ? ~0u : 0;                 \
        uint32_t bits = 0;                                                                                             \
        EACH_LANE(i) {                                                                                                 \
            const uint32_t a = s0[i], b = s1[i], m = mask >> i & 1;                                                    \
            (void)m;                                                                                                   \
            const uint32_t r = (value);                                                                                \
            const uint32_t c = (uint32_t)(carry);                                                                      \
            const uint32_t saturate = (0u - c) & clamp;                                                                \
            out->lo[i] = (r & ~saturate) | (saturate & (limit));                                                       \
            bits |= c << i;                                                                                            \
        }                                                                                                              \
        out->mask = bits;                                                                                              \
    }

CARRY(add_co_u32, a + b, r < a, ~0u)
CARRY(sub_co_u32, a - b, a < b, 0)
CARRY(subrev_co_u32, b - a, b < a, 0)
CARRY(add_co_ci_u32, a + b + m, (r < a) | ((r == a) & m), ~0u)
CARRY(sub_co_ci_u32, a - b - m, (a < b) | ((a == b) & m), 0)
CARRY(subrev_co_ci_u32, b - a - m, (b < a) | ((a == b) & m), 0)

static void mad_u64_u32(valu_in in, gfx_valu_out *restrict out) {
    const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *c_lo = in->lo[2], *c_hi = in->hi[2];
    uint32_t bits = 0;
    EACH_LANE(i) {
        const uint64_t c = (uint64_t)c_hi[i] << 32 | c_lo[i], r = (uint64_t)s0[i] * s1[i] + c;
        out->lo[i] = (uint32_t)r;
        out->hi[i] = (uint32_t)(r >> 32);
        bits |= (uint32_t)(r < c) << i;
    }
    out->mask = bits;
}

/* Bit 64 of the sum of both as 65-bit signed numbers, as the document writes it. */
static void mad_i64_i32(valu_in in, gfx_valu_out *restrict out) {
    const uint32_t *s0 = in->lo[0], *s1 = in->lo[1];
    uint32_t bits = 0;
    EACH_LANE(i) {
        const __int128 r = (__int128)((int64_t)(int32_t)s0[i] * (int32_t)s1[i]) + (int64_t)u64_at(in, 2, i);
        set_u64(out, i, (uint64_t)r);
        bits |= (uint32_t)(r >> 64 & 1) << i;
    }
    out->mask = bits;
}

#define PLAIN(n)                                                                                                       \
    { .name = "v_" #n, .dst = GFX_U32, .src = {GFX_U32, GFX_U32}, .writes_mask = true, .run = n }
#define WITH_CARRY(n)                                                                                                  \
    { .name = "v_" #n, .dst = GFX_U32, .src = {GFX_U32, GFX_U32}, .reads_mask = true, .writes_mask = true, .run = n }

static const gfx_valu ops[] = {
    PLAIN(add_co_u32),
    PLAIN(sub_co_u32),
    PLAIN(subrev_co_u32),
    WITH_CARRY(add_co_ci_u32),
    WITH_CARRY(sub_co_ci_u32),
    WITH_CARRY(subrev_co_ci_u32),
    {.name = "v_mad_u64_u32",
     .dst = GFX_U64,
     .src = {GFX_U32, GFX_U32, GFX_U64},
     .writes_mask = true,
     .run = mad_u64_u32},
    {.name = "v_mad_i64_i32",
     .dst = GFX_I64,
     .src = {GFX_I32, GFX_I32, GFX_I64},
     .writes_mask = true,
     .run = mad_i64_i32},
};
VALU_TABLE(valu_carry_table, ops);
