/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of v_fma_mix and of dot products. */
#include "gfx/valu_check/expect.h"

#include <string.h>

static uint64_t widened(format from, uint64_t h) {
    const parts p = take(from, h);
    if (p.nan) return infinity_of(F32, p.negative) | (h & (((uint64_t)1 << from.fraction) - 1)) << (23 - from.fraction);
    if (p.infinite) return infinity_of(F32, p.negative);
    if (p.zero) return zero_of(F32, p.negative);
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e);
    return exact_round(&e, F32, 0);
}

static uint64_t without_denormal(format f, uint64_t bits) {
    const parts p = take(f, bits);
    return p.denormal ? zero_of(f, p.negative) : bits;
}

static result mix(const lane *x) {
    const gfx_valu_in *in = x->in;
    const bool to_half = x->op->dst == GFX_F16;
    uint64_t s[3], nan;
    for (unsigned k = 0; k < 3; k++) {
        if (in->op_sel_hi >> k & 1) {
            const uint64_t h = half_source(x, k);
            s[k] = widened(F16, keeps_in(x, F16) ? h : without_denormal(F16, h));
        } else {
            s[k] = keeps_in(x, F32) ? x->s[k] : without_denormal(F32, x->s[k]);
        }
        if (in->neg_hi >> k & 1) s[k] &= 0x7fffffff;
        if (in->neg >> k & 1) s[k] ^= 0x80000000;
    }
    uint64_t r = fused(F32, s[0], s[1], s[2], 0, round_of(x, F32));
    if (take(F32, r).nan) r = nan_result(F32, s, 3, &nan) ? nan : nan_of(F32);
    if (!to_half) return value(float_result(x, F32, r));
    if (!keeps_out(x, F32)) r = without_denormal(F32, r);
    const parts p = take(F32, r);
    uint64_t h;
    if (p.nan)
        h = quiet_of(F16, infinity_of(F16, p.negative) | (r >> 13 & 0x3ff));
    else if (p.infinite)
        h = infinity_of(F16, p.negative);
    else if (p.zero)
        h = zero_of(F16, p.negative);
    else {
        exact e = {{0}};
        exact_add(&e, p.negative, p.m, p.e);
        h = exact_round(&e, F16, round_of(x, F16));
    }
    return value(float_result(x, F16, h));
}

/* One fused product after the other, to nearest even. */
static uint64_t dot(const uint64_t *a, const uint64_t *b, uint64_t sum) {
    for (unsigned h = 0; h < 2; h++) sum = fused(F32, a[h], b[h], sum, 0, 0);
    return sum;
}

static result dot2(const lane *x) {
    const format from = strstr(x->op->name, "bf16") ? BF16 : F16;
    uint64_t v[2][2], c = x->s[2];
    for (unsigned k = 0; k < 2; k++)
        for (unsigned h = 0; h < 2; h++) {
            const unsigned choice = h ? x->in->op_sel_hi : x->in->op_sel, sign = h ? x->in->neg_hi : x->in->neg;
            v[k][h] = widened(from, x->s[k] >> (choice >> k & 1 ? 16 : 0) & 0xffff);
            if (sign >> k & 1) v[k][h] ^= 0x80000000;
        }
    if (x->in->neg_hi & 4) c &= 0x7fffffff;
    if (x->in->neg & 4) c ^= 0x80000000;
    return value(dot(v[0], v[1], c));
}

static result dot2_half(const lane *x) {
    const format f = strstr(x->op->name, "bf16") ? BF16 : F16;
    uint64_t v[2][2], c = half_source(x, 2);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned h = 0; h < 2; h++) {
            uint64_t b = x->s[k] >> 16 * h & 0xffff;
            if (x->in->abs >> k & 1) b &= 0x7fff;
            if (x->in->neg >> k & 1) b ^= 0x8000;
            v[k][h] = widened(f, b);
        }
    if (x->in->abs >> 2 & 1) c &= 0x7fff;
    if (x->in->neg >> 2 & 1) c ^= 0x8000;
    const uint64_t sum = dot(v[0], v[1], widened(f, c));
    const parts p = take(F32, sum);
    if (p.nan) return value(quiet_of(f, infinity_of(f, p.negative) | (sum & 0x7fffff) >> (23 - f.fraction)));
    if (p.infinite) return value(infinity_of(f, p.negative));
    if (p.zero) return value(zero_of(f, p.negative));
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e);
    return value(exact_round(&e, f, 0));
}

/* Bits from place on, as a signed number or not. */
static int64_t piece(uint64_t v, unsigned place, unsigned bits, bool is_signed) {
    const int64_t m = (int64_t)(v >> place & ((1u << bits) - 1));
    return is_signed && m >> (bits - 1) ? m - (1 << bits) : m;
}

static result dot_int(const lane *x) {
    const unsigned bits = strstr(x->op->name, "dot4") ? 8 : 4;
    const bool may_be_signed = strstr(x->op->name, "_i32_") != NULL;
    const bool a = may_be_signed && x->in->neg & 1, b = may_be_signed && x->in->neg & 2;
    int64_t sum = may_be_signed ? (int64_t)(int32_t)x->s[2] : (int64_t)x->s[2];
    for (unsigned p = 0; p < 32; p += bits) sum += piece(x->s[0], p, bits, a) * piece(x->s[1], p, bits, b);
    if (x->in->clamp) {
        const int64_t low = may_be_signed ? INT32_MIN : 0, high = may_be_signed ? INT32_MAX : UINT32_MAX;
        if (sum < low) sum = low;
        if (sum > high) sum = high;
    }
    return value((uint32_t)sum);
}

static const check checks[] = {
    {"v_fma_mix_f32", mix, VARY_PACKED | VARY_MODE | VARY_OUT},
    {"v_fma_mixlo_f16", mix, VARY_PACKED | VARY_MODE | VARY_OUT},
    {"v_fma_mixhi_f16", mix, VARY_PACKED | VARY_MODE | VARY_OUT},
    {"v_dot2_f32_f16", dot2, VARY_PACKED},
    {"v_dot2_f32_bf16", dot2, VARY_PACKED},
    {"v_dot2acc_f32_f16", dot2, 0},
    {"v_dot2_f16_f16", dot2_half, VARY_SIGNS | VARY_HALVES},
    {"v_dot2_bf16_bf16", dot2_half, VARY_SIGNS | VARY_HALVES},
    {"v_dot4_i32_iu8", dot_int, VARY_NEG | VARY_CLAMP},
    {"v_dot4_u32_u8", dot_int, VARY_CLAMP},
    {"v_dot8_i32_iu4", dot_int, VARY_NEG | VARY_CLAMP},
    {"v_dot8_u32_u4", dot_int, VARY_CLAMP},
};

void expect_mixed(void **state) {
    (void)state;
    check_all(checks, sizeof checks / sizeof *checks);
}
