/* SPDX-License-Identifier: Apache-2.0
 *
 * What all expectations of floats share: sources, results, NaNs, the exact fused product. */
#include "gfx/valu_check/check.h"

format format_of(gfx_type t) {
    return t == GFX_F16 || t == GFX_PK16 ? F16 : t == GFX_BF16 ? BF16 : t == GFX_F64 ? F64 : F32;
}

static bool is_f32(format f) {
    return f.fraction == 23;
}

unsigned round_of(const lane *x, format f) {
    return is_f32(f) ? x->in->mode.round32 : x->in->mode.round16_64;
}

bool keeps_in(const lane *x, format f) {
    return (is_f32(f) ? x->in->mode.denorm32 : x->in->mode.denorm16_64) & 1;
}

bool keeps_out(const lane *x, format f) {
    return (is_f32(f) ? x->in->mode.denorm32 : x->in->mode.denorm16_64) & 2;
}

uint32_t half_source(const lane *x, unsigned k) {
    return (uint32_t)(x->in->op_sel >> k & 1 ? x->s[k] >> 16 : x->s[k]) & 0xffff;
}

static uint64_t flushed(format f, uint64_t bits) {
    const parts p = take(f, bits);
    return p.denormal ? zero_of(f, p.negative) : bits;
}

uint64_t float_source(const lane *x, unsigned k, format f) {
    uint64_t bits = f.fraction == 10 || f.fraction == 7 ? half_source(x, k) : x->s[k];
    const uint64_t sign = zero_of(f, true);
    if (x->in->abs >> k & 1 && bits & sign) bits -= sign;
    if (x->in->neg >> k & 1) bits = bits & sign ? bits - sign : bits + sign;
    return keeps_in(x, f) ? bits : flushed(f, bits);
}

uint64_t float_result(const lane *x, format f, uint64_t bits) {
    static const int powers[] = {0, 1, 2, -1};
    if (!keeps_out(x, f)) {
        bits = flushed(f, bits);
        const parts p = take(f, bits);
        if (x->in->omod && !x->in->mode.ieee && !p.nan) {
            if (!p.infinite && !p.zero) {
                exact e = {{0}};
                exact_add(&e, p.negative, p.m, p.e + powers[x->in->omod]);
                bits = flushed(f, exact_round(&e, f, 0));
            }
            if (take(f, bits).zero) bits = 0;
        }
    }
    if (x->in->clamp) {
        const parts p = take(f, bits);
        if (p.nan) return x->in->mode.dx10_clamp ? 0 : bits;
        if (p.negative) return 0;
        if (bits > one_of(f)) return one_of(f);
    }
    return bits;
}

bool nan_result(format f, const uint64_t *s, unsigned n, uint64_t *out) {
    for (unsigned k = 0; k < n; k++)
        if (take(f, s[k]).nan) {
            *out = quiet_of(f, s[k]);
            return true;
        }
    return false;
}

uint64_t fused(format f, uint64_t a, uint64_t b, uint64_t c, int scale, unsigned mode) {
    const uint64_t all[] = {a, b, c};
    const parts x = take(f, a), y = take(f, b), z = take(f, c);
    const bool negative = x.negative != y.negative;
    uint64_t r;
    if (nan_result(f, all, 3, &r)) return r;
    if (x.infinite || y.infinite) {
        if (x.zero || y.zero || (z.infinite && z.negative != negative)) return nan_of(f);
        return infinity_of(f, negative);
    }
    if (z.infinite) return infinity_of(f, z.negative);
    exact e = {{0}};
    exact_add(&e, negative, (u128)x.m * y.m, x.e + y.e + scale);
    exact_add(&e, z.negative, z.m, z.e + scale);
    if (exact_sign(&e)) return exact_round(&e, f, mode);
    /* IEEE 754-2019, 6.3: a sum that is exactly zero is +0, or -0 when rounding down, unless both terms are zeros of
     * the same sign. */
    const bool zeros = (x.zero || y.zero) && z.zero;
    return zero_of(f, zeros && negative == z.negative ? negative : mode == 2);
}
