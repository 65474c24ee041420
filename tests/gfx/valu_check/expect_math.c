/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of functions. Where a function is only known to more bits (long double), the rounding of what is known
 * must be certain, or else a neighbour is right as well. Square roots and reciprocals are known exactly: the middle
 * between a result and its neighbour, squared or multiplied out, lies on the other side. */
#include "gfx/valu_check/expect.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if LDBL_MANT_DIG < 64
#    error "these expectations need a long double of more bits than a double"
#endif

static long double number_of(format f, uint64_t bits) {
    const parts p = take(f, bits);
    if (p.nan) return NAN;
    if (p.infinite) return p.negative ? -INFINITY : INFINITY;
    return ldexpl(p.negative ? -(long double)p.m : (long double)p.m, p.e);
}

/* A long double, exactly, in the format. */
static uint64_t rounded(format f, long double v) {
    if (v != v) return nan_of(f);
    if (isinf(v)) return infinity_of(f, v < 0);
    if (v == 0) return zero_of(f, signbit(v));
    int e;
    const long double m = frexpl(fabsl(v), &e);
    if (e < -2200) return zero_of(f, v < 0);
    if (e > 2100) return infinity_of(f, v < 0);
    exact x = {{0}};
    exact_add(&x, v < 0, (u128)(uint64_t)ldexpl(m, 64), e - 64);
    return exact_round(&x, f, 0);
}

static long double turn_sine(long double t) {
    const long double pi = 3.14159265358979323846264338327950288L;
    if (isinf(t)) return NAN;
    long double r = t - truncl(t); /* exact; within one turn, then folded onto an eighth */
    const bool negative = signbit(t);
    r = fabsl(r);
    bool flip = false;
    if (r >= 0.5L) r -= 0.5L, flip = true;
    if (r > 0.25L) r = 0.5L - r;
    if (r == 0) return negative ? -0.0L : 0.0L;
    const long double v = r < 0.125L ? sinl(2 * pi * r) : cosl(2 * pi * (0.25L - r));
    return negative != flip ? -v : v;
}

static long double turn_cosine(long double t) {
    if (isinf(t)) return NAN;
    const long double r = fabsl(t) - floorl(fabsl(t));
    const long double u = r > 0.5L ? 1 - r : r; /* even, and symmetric about a half */
    return u == 0.25L ? 0 : turn_sine(0.25L - u);
}

static long double inverse(long double v) {
    return 1 / v;
}

static long double inverse_root(long double v) {
    return 1 / sqrtl(v);
}

typedef long double function(long double v);

static function *function_of(const char *name) {
    static const struct {
        const char *name;
        function *f;
    } all[] = {{"v_exp_", exp2l},   {"v_log_", log2l},  {"v_sin_", turn_sine},   {"v_cos_", turn_cosine},
               {"v_rcp_", inverse}, {"v_sqrt_", sqrtl}, {"v_rsq_", inverse_root}};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(all[i].name, name, strlen(all[i].name)) == 0) return all[i].f;
    fail_msg("no function of %s", name);
    return NULL;
}

static uint64_t no_denormal(format f, uint64_t bits) {
    const parts p = take(f, bits);
    return p.denormal ? zero_of(f, p.negative) : bits;
}

static result by_function(const lane *x) {
    const format f = format_of(x->op->dst);
    const bool flush = f.fraction == 23;
    uint64_t s = float_source(x, 0, f);
    if (take(f, s).nan) return value(float_result(x, f, quiet_of(f, s)));
    if (flush) s = no_denormal(f, s);
    const uint64_t r = rounded(f, function_of(x->op->name)(number_of(f, s)));
    return value(float_result(x, f, flush ? no_denormal(f, r) : r));
}

/* ---- f64: no long double is long enough ---- */

/* v is between the middles below and above r: compare(middle m 2^e) is the sign of v - middle. */
typedef int side(const parts *v, u128 m, int e);

/* v against the middle squared. */
static int root_side(const parts *v, u128 m, int e) {
    exact x = {{0}};
    exact_add(&x, false, v->m, v->e);
    exact_add(&x, true, m * m, 2 * e);
    return exact_sign(&x);
}

/* 1 against v times the middle; both positive. */
static int inverse_side(const parts *v, u128 m, int e) {
    exact x = {{0}};
    exact_add(&x, false, 1, 0);
    exact_add(&x, true, v->m * m, v->e + e);
    return exact_sign(&x);
}

static bool is_nearest(side *compare, const parts *v, uint64_t r) {
    const parts p = take(F64, r), q = take(F64, r - 1);
    if (p.nan || p.infinite || p.zero) return false;
    const int above = compare(v, 2 * (u128)p.m + 1, p.e - 1);
    const int below = compare(v, ((u128)q.m << 1) + 1, q.e - 1); /* the middle of r - 1 and r */
    const bool even = !(r & 1);
    return (above < 0 || (above == 0 && even)) && (below > 0 || (below == 0 && even));
}

/* What the instruction gave is taken where it is the nearest: the expectation needs no division of its own. */
static result of_double(const lane *x) {
    const bool root = strcmp(x->op->name, "v_sqrt_f64") == 0, rsq = strcmp(x->op->name, "v_rsq_f64") == 0;
    const uint64_t s = float_source(x, 0, F64);
    const parts p = take(F64, s);
    if (p.nan) return value(float_result(x, F64, quiet_of(F64, s)));
    uint64_t r;
    if ((root || rsq) && p.negative && !p.zero)
        r = nan_of(F64);
    else if (p.infinite)
        r = root ? s : zero_of(F64, p.negative);
    else if (p.zero)
        r = root ? s : infinity_of(F64, p.negative);
    else {
        parts size = p;
        size.negative = false;
        const long double v = fabsl(number_of(F64, s));
        const uint64_t close = rounded(F64, root ? sqrtl(v) : rsq ? 1 / sqrtl(v) : 1 / v);
        r = close;
        if (take(F64, close).infinite) return value(float_result(x, F64, close | (s & zero_of(F64, true))));
        if (!rsq) { /* the long double is off by less than one unit of a double */
            side *compare = root ? root_side : inverse_side;
            for (int d = -1; d <= 1; d++)
                if (is_nearest(compare, &size, close + (uint64_t)d)) r = close + (uint64_t)d;
            assert_true(is_nearest(compare, &size, r));
        }
        r |= s & zero_of(F64, true);
    }
    return value(float_result(x, F64, r));
}

/* One unit off is right as well: what came out is asked for again. */
static result about(const lane *x) {
    const result exactly = of_double(x);
    const gfx_valu_in *in = x->in;
    uint32_t lo[GFX_LANES], hi[GFX_LANES];
    gfx_valu_in again = *in;
    gfx_valu_out out;
    for (unsigned l = 0; l < GFX_LANES; l++) lo[l] = (uint32_t)x->s[0], hi[l] = (uint32_t)(x->s[0] >> 32);
    again.lo[0] = lo, again.hi[0] = hi;
    x->op->run(&again, &out);
    const uint64_t got = (uint64_t)out.hi[0] << 32 | out.lo[0];
    const uint64_t off = got - exactly.value + 1;
    return value(off <= 2 && !take(F64, got).nan ? got : exactly.value);
}

enum { FLOAT = VARY_SIGNS | VARY_OUT | VARY_MODE, HALF = FLOAT | VARY_HALVES };

#define BOTH(n)                                                                                                        \
    {"v_" #n "_f32", by_function, FLOAT}, {                                                                            \
        "v_" #n "_f16", by_function, HALF                                                                              \
    }

static const check checks[] = {
    BOTH(exp),
    BOTH(log),
    BOTH(rcp),
    BOTH(sqrt),
    BOTH(rsq),
    BOTH(sin),
    BOTH(cos),
    {"v_rcp_iflag_f32", by_function, FLOAT},
    {"v_rcp_f64", of_double, FLOAT},
    {"v_sqrt_f64", of_double, FLOAT},
    {"v_rsq_f64", about, FLOAT},
};

/* Floats in steps, so that all exponents and many fractions have been there. */
static void sweep(const char *name, uint32_t from, uint32_t to, uint32_t step) {
    const gfx_valu *op = gfx_valu_find(name);
    uint32_t s[GFX_LANES];
    const gfx_valu_in in = {.lo = {s}, .mode = {.denorm32 = 3, .denorm16_64 = 3, .ieee = 1, .dx10_clamp = 1}};
    for (uint64_t v = from + random64() % step; v < to;) {
        for (unsigned l = 0; l < GFX_LANES; l++, v += step) s[l] = (uint32_t)v;
        check_lanes(op, &in, by_function);
    }
}

void expect_functions(void **state) {
    (void)state;
    check_all(checks, sizeof checks / sizeof *checks);
    sweep("v_exp_f32", 0, UINT32_MAX, 20011);
    sweep("v_exp_f32", 0x34000000, 0x43000000, 499); /* where it is neither one nor infinite nor zero */
    sweep("v_exp_f32", 0xb4000000, 0xc3000000, 499);
    sweep("v_log_f32", 0, UINT32_MAX, 20011);
    sweep("v_rcp_f32", 0, UINT32_MAX, 20011);
    sweep("v_sqrt_f32", 0, UINT32_MAX, 20011);
    sweep("v_rsq_f32", 0, UINT32_MAX, 20011);
    sweep("v_sin_f32", 0, UINT32_MAX, 40009);
    sweep("v_cos_f32", 0, UINT32_MAX, 40009);
}
