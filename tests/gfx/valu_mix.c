/* SPDX-License-Identifier: Apache-2.0
 *
 * Mixed precision: v_fma_mix* takes each source as f32 or as a half of f16, and dot products of pairs of f16 or bf16.
 */
#include "gfx/valu_half.h"

#include "gfx/valu_soft.h"

/* Source k of v_fma_mix: op_sel_hi makes it a half, op_sel says which; neg_hi is abs. Each format is flushed as MODE
 * says of it. The source itself if it is as it should be, or else in space. */
static const uint32_t *mix_source(valu_in in, unsigned k, uint32_t *restrict space) {
    const uint32_t *s = in->lo[k], keep = in->neg_hi >> k & 1 ? ~F32_SIGN : ~0u, flip = sign_flip(in, k, F32_SIGN);
    if (in->op_sel_hi >> k & 1) {
        const unsigned shift = half_shift(in, k);
        if (in->mode.denorm16_64 & 1) {
            EACH_LANE(i) space[i] = (f32_from_f16(s[i] >> shift & 0xffff) & keep) ^ flip;
        } else {
            EACH_LANE(i) space[i] = (f32_from_f16(f16_flush(s[i] >> shift & 0xffff)) & keep) ^ flip;
        }
        return space;
    }
    const bool flush = !(in->mode.denorm32 & 1);
    if (!flush && !((in->neg | in->neg_hi) >> k & 1)) return s;
    EACH_LANE(i) {
        const uint32_t x = (s[i] & keep) ^ flip;
        space[i] = flush ? f32_flush(x) : x;
    }
    return space;
}

/* The fused product as f32, NaNs settled. */
static void mix(valu_in in, valu_out out) {
    uint32_t space[3][GFX_LANES], nan = 0;
    const uint32_t *s[3];
    for (unsigned k = 0; k < 3; k++) s[k] = mix_source(in, k, space[k]);
    const uint32_t *s0 = s[0], *s1 = s[1], *s2 = s[2];
    if (in->mode.round32 == ROUND_EVEN) {
        EACH_LANE(i) out->lo[i] = f32_bits(__builtin_fmaf(f32_of(s0[i]), f32_of(s1[i]), f32_of(s2[i])));
    } else {
        EACH_LANE(i) out->lo[i] = (uint32_t)soft_fma(SOFT_F32, s0[i], s1[i], s2[i], in->mode.round32);
    }
    EACH_LANE(i) nan |= f32_is_nan(out->lo[i]) ? 1u : 0u;
    if (nan) f32_nans(out, 3, s);
}

static void fma_mix_f32(valu_in in, gfx_valu_out *restrict out) {
    mix(in, out);
    f32_finish(in, out);
}

/* As the document writes it: the fused product is rounded to f32 and that to f16, each by its own mode. */
static void fma_mix_f16(valu_in in, gfx_valu_out *restrict out) {
    const unsigned mode = in->mode.round16_64;
    mix(in, out);
    if (!(in->mode.denorm32 & 2)) EACH_LANE(i) out->lo[i] = f32_flush(out->lo[i]);
    if (mode == ROUND_EVEN) {
        EACH_LANE(i) out->lo[i] = f16_from_f32(out->lo[i]);
    } else {
        EACH_LANE(i) out->lo[i] = (uint32_t)soft_convert(SOFT_F32, SOFT_F16, out->lo[i], mode);
    }
    f16_finish(in, out);
}

/* One half of a pair as f32 bits: neg and neg_hi of VOP3P negate the low and the high half. */
static uint32_t pair_half(valu_in in, unsigned k, unsigned i, unsigned half, bool bf16) {
    const bool high = (half ? in->op_sel_hi : in->op_sel) >> k & 1;
    const uint32_t sign = (half ? in->neg_hi : in->neg) >> k & 1 ? F32_SIGN : 0;
    const uint32_t h = high ? in->lo[k][i] >> 16 : in->lo[k][i] & 0xffff;
    return (bf16 ? h << 16 : f32_from_f16(h)) ^ sign;
}

/* The document adds one product after the other onto the third source and leaves open how each step rounds. Here: fused
 * products, to nearest even, denormals kept, whatever MODE says: LLVM holds v_dot2 to ignore it. */
static uint32_t dot2(valu_in in, unsigned i, bool bf16, uint32_t c) {
    uint32_t sum = c;
    for (unsigned half = 0; half < 2; half++) {
        const uint32_t a = pair_half(in, 0, i, half, bf16), b = pair_half(in, 1, i, half, bf16);
        sum = (uint32_t)soft_fma(SOFT_F32, a, b, sum, ROUND_EVEN);
    }
    return sum;
}

static uint32_t third_f32(valu_in in, unsigned i) {
    const uint32_t x = in->neg_hi & 4 ? in->lo[2][i] & ~F32_SIGN : in->lo[2][i];
    return in->neg & 4 ? x ^ F32_SIGN : x;
}

/* On the host; a NaN once more in integers, which say which one. */
static inline void dot2_lanes(valu_in in, valu_out out, bool bf16) {
    EACH_LANE(i) {
        float sum = f32_of(third_f32(in, i));
        for (unsigned half = 0; half < 2; half++)
            sum = __builtin_fmaf(f32_of(pair_half(in, 0, i, half, bf16)), f32_of(pair_half(in, 1, i, half, bf16)), sum);
        out->lo[i] = f32_bits(sum);
    }
    EACH_LANE(i) if (f32_is_nan(out->lo[i])) out->lo[i] = dot2(in, i, bf16, third_f32(in, i));
    if (in->clamp) f32_finish(in, out);
}

static void dot2_f32_f16(valu_in in, gfx_valu_out *restrict out) {
    dot2_lanes(in, out, false);
}

static void dot2_f32_bf16(valu_in in, gfx_valu_out *restrict out) {
    dot2_lanes(in, out, true);
}

/* VOP2: no modifiers. */
static void dot2acc_f32_f16(valu_in in, gfx_valu_out *restrict out) {
    gfx_valu_in plain = *in;
    plain.op_sel = plain.neg = plain.neg_hi = 0;
    plain.op_sel_hi = 7;
    plain.clamp = 0;
    dot2_lanes(&plain, out, false);
}

/* v_dot2_f16_f16 and v_dot2_bf16_bf16 are VOP3: both halves have the source's neg and abs, op_sel[2] chooses the third
 * source's half. Sums are f32 and rounded once at the end, to nearest even. */
static uint32_t dot2_half(valu_in in, unsigned i, bool bf16) {
    const soft_format f = bf16 ? SOFT_BF16 : SOFT_F16;
    uint32_t sum = in->lo[2][i] >> half_shift(in, 2) & 0xffff;
    sum = (sum & sign_keep(in, 2, F16_SIGN)) ^ sign_flip(in, 2, F16_SIGN);
    sum = bf16 ? sum << 16 : f32_from_f16(sum);
    for (unsigned shift = 0; shift < 32; shift += 16) {
        uint32_t x[2];
        for (unsigned k = 0; k < 2; k++) {
            const uint32_t h = in->lo[k][i] >> shift & 0xffff;
            const uint32_t v = (h & sign_keep(in, k, F16_SIGN)) ^ sign_flip(in, k, F16_SIGN);
            x[k] = bf16 ? v << 16 : f32_from_f16(v);
        }
        sum = (uint32_t)soft_fma(SOFT_F32, x[0], x[1], sum, ROUND_EVEN);
    }
    return (uint32_t)soft_convert(SOFT_F32, f, sum, ROUND_EVEN);
}

static void dot2_f16_f16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = dot2_half(in, i, false);
}

static void dot2_bf16_bf16(valu_in in, gfx_valu_out *restrict out) {
    EACH_LANE(i) out->lo[i] = dot2_half(in, i, true);
}

/* Integers: is_signed of each source, the sum of exact products and the third source, saturated with clamp. */
static void dot_int(valu_in in, valu_out out, unsigned bits, bool signed_a, bool signed_b, bool signed_sum) {
    EACH_LANE(i) {
        int64_t sum = signed_sum ? (int64_t)(int32_t)in->lo[2][i] : (int64_t)in->lo[2][i];
        for (unsigned up = 0; up < 32; up += bits) {
            const unsigned down = 32 - bits, left = down - up;
            const uint32_t a = in->lo[0][i] << left, b = in->lo[1][i] << left;
            const int64_t x = signed_a ? (int32_t)a >> down : (int32_t)(a >> down);
            sum += x * (signed_b ? (int32_t)b >> down : (int32_t)(b >> down));
        }
        const int64_t low = signed_sum ? INT32_MIN : 0, high = signed_sum ? INT32_MAX : UINT32_MAX;
        out->lo[i] = (uint32_t)(!in->clamp ? sum : sum < low ? low : sum > high ? high : sum);
    }
}

static void dot4_i32_iu8(valu_in in, gfx_valu_out *restrict out) {
    dot_int(in, out, 8, in->neg & 1, in->neg & 2, true);
}

static void dot4_u32_u8(valu_in in, gfx_valu_out *restrict out) {
    dot_int(in, out, 8, false, false, false);
}

static void dot8_i32_iu4(valu_in in, gfx_valu_out *restrict out) {
    dot_int(in, out, 4, in->neg & 1, in->neg & 2, true);
}

static void dot8_u32_u4(valu_in in, gfx_valu_out *restrict out) {
    dot_int(in, out, 4, false, false, false);
}

#define MIX(n, f, type, high)                                                                                          \
    { .name = "v_" #n, .dst = type, .src = {GFX_F32, GFX_F32, GFX_F32}, .run = f, .dst_high = high }
#define DOT(n, type, pair)                                                                                             \
    { .name = "v_" #n, .dst = type, .src = {pair, pair, type}, .run = n }

static const gfx_valu ops[] = {
    MIX(fma_mix_f32, fma_mix_f32, GFX_F32, false),
    MIX(fma_mixlo_f16, fma_mix_f16, GFX_F16, false),
    MIX(fma_mixhi_f16, fma_mix_f16, GFX_F16, true),
    DOT(dot2_f32_f16, GFX_F32, GFX_PK16),
    DOT(dot2_f32_bf16, GFX_F32, GFX_B32),
    {.name = "v_dot2acc_f32_f16",
     .dst = GFX_F32,
     .src = {GFX_PK16, GFX_PK16, GFX_F32},
     .reads_dst = true,
     .run = dot2acc_f32_f16},
    DOT(dot2_f16_f16, GFX_F16, GFX_PK16),
    DOT(dot2_bf16_bf16, GFX_BF16, GFX_B32),
    DOT(dot4_i32_iu8, GFX_I32, GFX_B32),
    DOT(dot4_u32_u8, GFX_U32, GFX_B32),
    DOT(dot8_i32_iu4, GFX_I32, GFX_B32),
    DOT(dot8_u32_u4, GFX_U32, GFX_B32),
};
VALU_TABLE(valu_mix_table, ops);
