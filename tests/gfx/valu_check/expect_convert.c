/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of conversions, whole numbers of floats, and exponents apart from mantissas: all on the exact value. */
#include "gfx/valu_check/expect.h"

#include <string.h>

/* Rounded, or its special value, in another format. NaNs keep the top of their payload. */
static uint64_t converted(format from, format to, uint64_t bits, unsigned mode) {
    const parts p = take(from, bits);
    if (p.nan) {
        const uint64_t payload = bits & (((uint64_t)1 << from.fraction) - 1);
        const int wider = to.fraction - from.fraction;
        const uint64_t kept = wider > 0 ? payload << wider : payload >> -wider;
        return quiet_of(to, infinity_of(to, p.negative) | kept);
    }
    if (p.infinite) return infinity_of(to, p.negative);
    if (p.zero) return zero_of(to, p.negative);
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e);
    return exact_round(&e, to, mode);
}

static result to_float(const lane *x) {
    const format from = format_of(x->op->src[0]), to = format_of(x->op->dst);
    const uint64_t r = converted(from, to, float_source(x, 0, from), round_of(x, to));
    return value(float_result(x, to, r));
}

static result pack_rtz(const lane *x) {
    uint64_t r = 0;
    for (unsigned k = 0; k < 2; k++) {
        uint64_t h = converted(F32, F16, float_source(x, k, F32), 3);
        const parts p = take(F16, h);
        if (p.denormal && !keeps_out(x, F16)) h = zero_of(F16, p.negative);
        r |= h << 16 * k;
    }
    return value(r);
}

static result of_integer(const lane *x) {
    const char *n = x->op->name, *u = strstr(n, "ubyte");
    const format to = format_of(x->op->dst);
    int64_t v;
    if (u)
        v = x->s[0] >> 8 * (u[5] - '0') & 255;
    else if (strstr(n, "_u32"))
        v = (int64_t)x->s[0];
    else if (strstr(n, "_i32"))
        v = (int32_t)x->s[0];
    else
        v = strstr(n, "_u16") ? (int64_t)half_source(x, 0) : (int16_t)half_source(x, 0);
    if (v == 0) return value(float_result(x, to, 0));
    exact e = {{0}};
    exact_add(&e, v < 0, (u128)(v < 0 ? -v : v), 0);
    return value(float_result(x, to, exact_round(&e, to, round_of(x, to))));
}

static result off_i4(const lane *x) {
    static const float table[] = {0,     0.0625f,  0.125f,  0.1875f,  0.25f,  0.3125f,  0.375f,  0.4375f,
                                  -0.5f, -0.4375f, -0.375f, -0.3125f, -0.25f, -0.1875f, -0.125f, -0.0625f};
    uint32_t bits;
    memcpy(&bits, &table[x->s[0] & 15], sizeof bits);
    return value(float_result(x, F32, bits));
}

/* ---- whole numbers ---- */

enum { TRUNC, FLOOR, CEIL, NEAREST };

/* m 2^e to a whole number; far beyond all integers it stands for a large one. */
static __int128 whole(const parts *p, int how) {
    if (p->e >= 0) {
        const __int128 v = p->e > 70 ? (__int128)1 << 120 : (__int128)p->m << p->e;
        return p->negative ? -v : v;
    }
    const int down = -p->e;
    const __int128 unit = down > 100 ? 0 : (__int128)1 << down;
    const __int128 q = unit ? (__int128)p->m / unit : 0, rest = (__int128)p->m - (unit ? q * unit : 0);
    __int128 r = q;
    if (how == NEAREST && unit && (2 * rest > unit || (2 * rest == unit && q & 1))) r++;
    if (how == FLOOR && p->negative && rest) r++;
    if (how == CEIL && !p->negative && rest) r++;
    return p->negative ? -r : r;
}

static uint64_t whole_float(format f, uint64_t bits, int how) {
    const parts p = take(f, bits);
    if (p.nan) return quiet_of(f, bits);
    if (p.infinite || p.zero || p.e >= 0) return bits;
    const __int128 w = whole(&p, how);
    if (w == 0) return zero_of(f, p.negative);
    exact e = {{0}};
    exact_add(&e, w < 0, (u128)(w < 0 ? -w : w), 0);
    return exact_round(&e, f, 0);
}

static result round_to(const lane *x, int how) {
    const format f = format_of(x->op->dst);
    return value(float_result(x, f, whole_float(f, float_source(x, 0, f), how)));
}

static result trunc_to(const lane *x) {
    return round_to(x, TRUNC);
}

static result floor_to(const lane *x) {
    return round_to(x, FLOOR);
}

static result ceil_to(const lane *x) {
    return round_to(x, CEIL);
}

static result nearest_to(const lane *x) {
    return round_to(x, NEAREST);
}

/* x - floor(x), never one. */
static result fract(const lane *x) {
    const format f = format_of(x->op->dst);
    const uint64_t s = float_source(x, 0, f);
    const parts p = take(f, s), q = take(f, whole_float(f, s, FLOOR));
    if (p.nan) return value(float_result(x, f, quiet_of(f, s)));
    if (p.infinite) return value(float_result(x, f, nan_of(f)));
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e);
    exact_add(&e, !q.negative, q.m, q.e);
    uint64_t r = exact_sign(&e) ? exact_round(&e, f, 0) : 0;
    if (r >= one_of(f)) r = one_of(f) - 1;
    return value(float_result(x, f, r));
}

static int64_t clamped(__int128 v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : (int64_t)v;
}

static int64_t as_integer(format f, uint64_t bits, int how, int64_t low, int64_t high) {
    const parts p = take(f, bits);
    if (p.nan) return 0;
    if (p.infinite) return p.negative ? low : high;
    return clamped(whole(&p, how), low, high);
}

static result to_integer(const lane *x) {
    const char *n = x->op->name;
    const format f = format_of(x->op->src[0]);
    const uint64_t s = float_source(x, 0, f);
    if (strstr(n, "cvt_u32")) return value((uint32_t)as_integer(f, s, TRUNC, 0, UINT32_MAX));
    if (strstr(n, "cvt_i32")) return value((uint32_t)as_integer(f, s, TRUNC, INT32_MIN, INT32_MAX));
    if (strstr(n, "cvt_u16")) return value((uint16_t)as_integer(f, s, TRUNC, 0, UINT16_MAX));
    return value((uint16_t)as_integer(f, s, TRUNC, INT16_MIN, INT16_MAX));
}

static result floor_integer(const lane *x) {
    uint64_t s = float_source(x, 0, F32);
    if (strstr(x->op->name, "nearest")) s = fused(F32, s, one_of(F32), 0x3f000000, 0, 0); /* s + 0.5 as a float */
    return value((uint32_t)as_integer(F32, s, FLOOR, INT32_MIN, INT32_MAX));
}

static result pair_of_integers(const lane *x) {
    uint64_t r = 0;
    for (unsigned k = 0; k < 2; k++) {
        const bool is_signed = strstr(x->op->name, "_i16") != NULL;
        const int64_t v =
            as_integer(F32, float_source(x, k, F32), TRUNC, is_signed ? -32768 : 0, is_signed ? 32767 : 65535);
        r |= (uint64_t)(uint16_t)v << 16 * k;
    }
    return value(r);
}

/* [-1, 1] to [-32767, 32767] or [0, 1] to [0, 65535]. */
static uint16_t normalized(format f, uint64_t bits, bool is_signed) {
    parts p = take(f, bits);
    const int64_t top = is_signed ? 32767 : 65535, low = is_signed ? -top : 0;
    if (p.nan) return 0;
    if (p.infinite) return (uint16_t)(p.negative ? low : top);
    p.m *= (uint64_t)top;
    return (uint16_t)clamped(whole(&p, NEAREST), low, top);
}

static result norm(const lane *x) {
    const format f = format_of(x->op->src[0]);
    const bool is_signed = strstr(x->op->name, "_i16") != NULL;
    const uint64_t low = normalized(f, float_source(x, 0, f), is_signed);
    if (!strstr(x->op->name, "pk")) return value(low);
    return value(low | (uint64_t)normalized(f, float_source(x, 1, f), is_signed) << 16);
}

/* ---- exponents ---- */

static int top_bit(uint64_t m) {
    int b = 0;
    while (m >> b > 1) b++;
    return b;
}

static result mantissa(const lane *x) {
    const format f = format_of(x->op->dst);
    const uint64_t s = float_source(x, 0, f);
    const parts p = take(f, s);
    if (p.nan) return value(float_result(x, f, quiet_of(f, s)));
    if (p.infinite || p.zero) return value(float_result(x, f, s));
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, -top_bit(p.m) - 1);
    return value(float_result(x, f, exact_round(&e, f, 0)));
}

static result exponent(const lane *x) {
    const format f = format_of(x->op->src[0]);
    const parts p = take(f, float_source(x, 0, f));
    const int e = p.nan || p.infinite || p.zero ? 0 : p.e + top_bit(p.m) + 1;
    return value(f.fraction == 10 ? (uint16_t)e : (uint32_t)e);
}

static result scale(const lane *x) {
    const format f = format_of(x->op->dst);
    const uint64_t s = float_source(x, 0, f);
    const parts p = take(f, s);
    const int64_t by = f.fraction == 10 ? (int16_t)half_source(x, 1) : (int32_t)x->s[1];
    if (p.nan) return value(float_result(x, f, quiet_of(f, s)));
    if (p.infinite || p.zero) return value(float_result(x, f, s));
    exact e = {{0}};
    const int64_t near = by > 2200 - 53 ? 2200 - 53 : by < -2200 ? -2200 : by;
    int64_t at = p.e + near;
    if (at > 2200) at = 2200;
    if (at < -2300) at = -2300;
    exact_add(&e, p.negative, p.m, (int)at);
    return value(float_result(x, f, exact_round(&e, f, round_of(x, f))));
}

enum { FLOAT = VARY_SIGNS | VARY_OUT | VARY_MODE, HALF = FLOAT | VARY_HALVES, TO_INT = VARY_SIGNS | VARY_MODE };

#define EACH(n, e)                                                                                                     \
    {"v_" #n "_f16", e, HALF}, {"v_" #n "_f32", e, FLOAT}, {                                                           \
        "v_" #n "_f64", e, FLOAT                                                                                       \
    }

static const check checks[] = {
    {"v_cvt_f32_f16", to_float, HALF},
    {"v_cvt_f16_f32", to_float, FLOAT},
    {"v_cvt_f64_f32", to_float, FLOAT},
    {"v_cvt_f32_f64", to_float, FLOAT},
    {"v_cvt_pk_rtz_f16_f32", pack_rtz, VARY_SIGNS | VARY_MODE},
    {"v_cvt_f32_u32", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f32_i32", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f32_ubyte0", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f32_ubyte1", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f32_ubyte2", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f32_ubyte3", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f64_i32", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f64_u32", of_integer, VARY_OUT | VARY_MODE},
    {"v_cvt_f16_u16", of_integer, VARY_OUT | VARY_MODE | VARY_HALVES},
    {"v_cvt_f16_i16", of_integer, VARY_OUT | VARY_MODE | VARY_HALVES},
    {"v_cvt_off_f32_i4", off_i4, VARY_OUT | VARY_MODE},
    {"v_cvt_i32_f32", to_integer, TO_INT},
    {"v_cvt_u32_f32", to_integer, TO_INT},
    {"v_cvt_i32_f64", to_integer, TO_INT},
    {"v_cvt_u32_f64", to_integer, TO_INT},
    {"v_cvt_i16_f16", to_integer, TO_INT | VARY_HALVES},
    {"v_cvt_u16_f16", to_integer, TO_INT | VARY_HALVES},
    {"v_cvt_nearest_i32_f32", floor_integer, TO_INT},
    {"v_cvt_floor_i32_f32", floor_integer, TO_INT},
    {"v_cvt_pk_i16_f32", pair_of_integers, TO_INT},
    {"v_cvt_pk_u16_f32", pair_of_integers, TO_INT},
    {"v_cvt_norm_i16_f16", norm, TO_INT | VARY_HALVES},
    {"v_cvt_norm_u16_f16", norm, TO_INT | VARY_HALVES},
    {"v_cvt_pk_norm_i16_f32", norm, TO_INT},
    {"v_cvt_pk_norm_u16_f32", norm, TO_INT},
    {"v_cvt_pk_norm_i16_f16", norm, TO_INT | VARY_HALVES},
    {"v_cvt_pk_norm_u16_f16", norm, TO_INT | VARY_HALVES},
    EACH(trunc, trunc_to),
    EACH(floor, floor_to),
    EACH(ceil, ceil_to),
    EACH(rndne, nearest_to),
    EACH(fract, fract),
    EACH(frexp_mant, mantissa),
    {"v_frexp_exp_i16_f16", exponent, TO_INT | VARY_HALVES},
    {"v_frexp_exp_i32_f32", exponent, TO_INT},
    {"v_frexp_exp_i32_f64", exponent, TO_INT},
    EACH(ldexp, scale),
};

void expect_conversions(void **state) {
    (void)state;
    check_all(checks, sizeof checks / sizeof *checks);
}
