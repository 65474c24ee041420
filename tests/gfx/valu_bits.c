/* SPDX-License-Identifier: Apache-2.0
 *
 * Moves, selections and everything that treats a register as bits: logic, fields, bytes, counts. */
#include "gfx/valu_lanes.h"

OP1(mov_b32, a)
OP1(not_b32, ~a)
OP2(and_b32, a &b)
OP2(or_b32, a | b)
OP2(xor_b32, a ^ b)
OP2(xnor_b32, ~(a ^ b))
OP3(and_or_b32, (a & b) | c)
OP3(or3_b32, a | b | c)
OP3(xor3_b32, a ^ b ^ c)
OP3(bfi_b32, (a & b) | (~a & c))

OP3(bfe_u32, a >> (b & 31) & ((1u << (c & 31)) - 1))
/* A field of no bits is 0; one that begins near the top ends with copies of the sign, by the arithmetic shift. */
OP3(bfe_i32, (c & 31) == 0 ? 0 : (int32_t)((uint32_t)((int32_t)a >> (b & 31)) << (32 - (c & 31))) >> (32 - (c & 31)))
OP2(bfm_b32, ((1u << (a & 31)) - 1) << (b & 31))
OP3(alignbit_b32, ((uint64_t)a << 32 | b) >> (c & 31))
OP3(alignbyte_b32, ((uint64_t)a << 32 | b) >> (8 * (c & 3)))

/* Bytes 0 to 3 of the pool are the second source's, 4 to 7 the first one's; 8 to 11 are the signs of bytes 1, 3, 5 and
 * 7, 12 is zero, all above are ones. */
static uint32_t permuted_byte(uint64_t pool, uint32_t sel) {
    if (sel < 8) return (uint32_t)(pool >> (8 * sel)) & 255;
    if (sel < 12) return pool >> (16 * (sel - 8) + 15) & 1 ? 255 : 0;
    return sel == 12 ? 0 : 255;
}

/* Where selectors name bytes only, which they nearly always do, a lane is four shifts. */
static void perm_b32(valu_in in, gfx_valu_out *restrict out) {
    const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], *s2 = in->lo[2];
    uint32_t special = 0;
    EACH_LANE(i) {
        const uint32_t a = s0[i], b = s1[i], c = s2[i];
        uint32_t r = ((c & 4 ? a : b) >> (c & 3) * 8) & 255;
        r |= (((c >> 8 & 4 ? a : b) >> (c >> 8 & 3) * 8) & 255) << 8;
        r |= (((c >> 16 & 4 ? a : b) >> (c >> 16 & 3) * 8) & 255) << 16;
        r |= ((c >> 24 & 4 ? a : b) >> (c >> 24 & 3) * 8) << 24;
        special |= c & 0xf8f8f8f8;
        out->lo[i] = r;
    }
    if (special) EACH_LANE(i) {
            const uint64_t pool = (uint64_t)s0[i] << 32 | s1[i];
            uint32_t r = 0;
            for (unsigned k = 0; k < 4; k++) r |= permuted_byte(pool, s2[i] >> (8 * k) & 255) << (8 * k);
            out->lo[i] = r;
        }
}

static uint32_t reversed(uint32_t x) {
    x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
    x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(x);
}

OP1(bfrev_b32, reversed(a))
OP2(bcnt_u32_b32, (uint32_t)__builtin_popcount(a) + b)
OP1(clz_i32_u32, a == 0 ? -1 : __builtin_clz(a))
OP1(ctz_i32_b32, a == 0 ? -1 : __builtin_ctz(a))
/* How many bits from the top down equal the sign, itself included. */
OP1(cls_i32, a == 0 || a == ~0u ? -1 : __builtin_clz(a >> 31 ? ~a : a))

static uint32_t lerp(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t r = 0;
    for (unsigned s = 0; s < 32; s += 8) r |= ((a >> s & 255) + (b >> s & 255) + (c >> s & 1)) >> 1 << s;
    return r;
}

OP3(lerp_u8, lerp(a, b, c))

static uint32_t saturated_byte(uint32_t x) {
    const int v = (int16_t)x;
    return v < 0 ? 0 : v > 255 ? 255 : (uint32_t)v;
}

OP1(sat_pk_u8_i16, saturated_byte(a) | saturated_byte(a >> 16) << 8)

static uint32_t low_u16(uint32_t x) {
    return x > 0xffff ? 0xffff : x;
}
static uint32_t low_i16(uint32_t x) {
    const int32_t v = (int32_t)x;
    return (uint16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
}

OP2(cvt_pk_u16_u32, low_u16(a) | low_u16(b) << 16)
OP2(cvt_pk_i16_i32, low_i16(a) | low_i16(b) << 16)

/* The selections take neg and abs as floats do, but flush nothing. */
static void cndmask_b32(valu_in in, gfx_valu_out *restrict out) {
    const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], mask = in->mask;
    const uint32_t keep0 = sign_keep(in, 0, F32_SIGN), keep1 = sign_keep(in, 1, F32_SIGN);
    const uint32_t flip0 = sign_flip(in, 0, F32_SIGN), flip1 = sign_flip(in, 1, F32_SIGN);
    EACH_LANE(i) {
        const uint32_t a = (s0[i] & keep0) ^ flip0, b = (s1[i] & keep1) ^ flip1;
        out->lo[i] = mask >> i & 1 ? b : a;
    }
}

static void cndmask_b16(valu_in in, gfx_valu_out *restrict out) {
    const uint32_t *s0 = in->lo[0], *s1 = in->lo[1], mask = in->mask;
    const uint32_t keep0 = sign_keep(in, 0, F16_SIGN), keep1 = sign_keep(in, 1, F16_SIGN);
    const uint32_t flip0 = sign_flip(in, 0, F16_SIGN), flip1 = sign_flip(in, 1, F16_SIGN);
    const unsigned h0 = half_shift(in, 0), h1 = half_shift(in, 1);
    EACH_LANE(i) {
        const uint32_t a = (s0[i] >> h0 & keep0) ^ flip0, b = (s1[i] >> h1 & keep1) ^ flip1;
        out->lo[i] = (mask >> i & 1 ? b : a) & 0xffff;
    }
}

OP1(mov_b16, a >> half_shift(in, 0) & 0xffff)
OP1(not_b16, ~(a >> half_shift(in, 0)) & 0xffff)
OP2(and_b16, (a >> half_shift(in, 0)) & (b >> half_shift(in, 1)) & 0xffff)
OP2(or_b16, ((a >> half_shift(in, 0)) | (b >> half_shift(in, 1))) & 0xffff)
OP2(xor_b16, ((a >> half_shift(in, 0)) ^ (b >> half_shift(in, 1))) & 0xffff)

#define B1(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B32, .src = {GFX_B32}, .run = n }
#define B2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B32, .src = {GFX_B32, GFX_B32}, .run = n }
#define B3(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B32, .src = {GFX_B32, GFX_B32, GFX_B32}, .run = n }
#define H1(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B16, .src = {GFX_B16}, .run = n }
#define H2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_B16, .src = {GFX_B16, GFX_B16}, .run = n }

static const gfx_valu ops[] = {
    B1(mov_b32),
    B1(not_b32),
    B2(and_b32),
    B2(or_b32),
    B2(xor_b32),
    B2(xnor_b32),
    B3(and_or_b32),
    B3(or3_b32),
    B3(xor3_b32),
    B3(bfi_b32),
    B3(bfe_u32),
    B3(bfe_i32),
    B2(bfm_b32),
    B3(alignbit_b32),
    B3(alignbyte_b32),
    B3(perm_b32),
    B1(bfrev_b32),
    B2(bcnt_u32_b32),
    B1(clz_i32_u32),
    B1(ctz_i32_b32),
    B1(cls_i32),
    B3(lerp_u8),
    B2(cvt_pk_u16_u32),
    B2(cvt_pk_i16_i32),
    H1(mov_b16),
    H1(not_b16),
    H2(and_b16),
    H2(or_b16),
    H2(xor_b16),
    {.name = "v_sat_pk_u8_i16", .dst = GFX_B16, .src = {GFX_B32}, .run = sat_pk_u8_i16},
    {.name = "v_cndmask_b32", .dst = GFX_B32, .src = {GFX_B32, GFX_B32}, .reads_mask = true, .run = cndmask_b32},
    {.name = "v_cndmask_b16", .dst = GFX_B16, .src = {GFX_B16, GFX_B16}, .reads_mask = true, .run = cndmask_b16},
};
VALU_TABLE(valu_bits_table, ops);
