/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of sums, products, extremes, comparisons and the steps of divisions in f16, f32 and f64. Comparisons are
 * made on exact differences, extremes as the pseudo-code of V_MIN_F32 and its kin walks through the cases. */
#include "gfx/valu_check/expect.h"

#include <string.h>

static format dst(const lane *x) {
    return format_of(x->op->dst);
}

static uint64_t negative_of(format f, uint64_t bits) {
    return take(f, bits).nan ? bits : bits ^ zero_of(f, true);
}

/* a b + c of sources as computed with; a NaN by their order in the instruction. */
static result finish(const lane *x, const uint64_t *s, unsigned n, uint64_t r) {
    const format f = dst(x);
    uint64_t nan;
    if (take(f, r).nan) r = nan_result(f, s, n, &nan) ? nan : nan_of(f);
    return value(float_result(x, f, r));
}

static void sources(const lane *x, unsigned n, uint64_t *s) {
    for (unsigned k = 0; k < n; k++) s[k] = float_source(x, k, dst(x));
}

static result add(const lane *x) {
    const format f = dst(x);
    uint64_t s[2];
    sources(x, 2, s);
    return finish(x, s, 2, fused(f, s[0], one_of(f), s[1], 0, round_of(x, f)));
}

static result sub(const lane *x) {
    const format f = dst(x);
    uint64_t s[2];
    sources(x, 2, s);
    return finish(x, s, 2, fused(f, s[0], one_of(f), negative_of(f, s[1]), 0, round_of(x, f)));
}

static result subrev(const lane *x) {
    const format f = dst(x);
    uint64_t s[2];
    sources(x, 2, s);
    return finish(x, s, 2, fused(f, s[1], one_of(f), negative_of(f, s[0]), 0, round_of(x, f)));
}

static uint64_t product(format f, uint64_t a, uint64_t b, unsigned mode) {
    const bool negative = take(f, a).negative != take(f, b).negative;
    return fused(f, a, b, zero_of(f, negative), 0, mode);
}

static result mul(const lane *x) {
    const format f = dst(x);
    uint64_t s[2];
    sources(x, 2, s);
    return finish(x, s, 2, product(f, s[0], s[1], round_of(x, f)));
}

static result fma3(const lane *x) {
    const format f = dst(x);
    uint64_t s[3];
    sources(x, 3, s);
    return finish(x, s, 3, fused(f, s[0], s[1], s[2], 0, round_of(x, f)));
}

static result mul_dx9(const lane *x) {
    uint64_t s[2];
    sources(x, 2, s);
    if (take(F32, s[0]).zero || take(F32, s[1]).zero) return value(float_result(x, F32, 0));
    return mul(x);
}

static result fma_dx9(const lane *x) {
    uint64_t s[3];
    sources(x, 3, s);
    if (take(F32, s[0]).zero || take(F32, s[1]).zero) return finish(x, s + 2, 1, s[2]);
    return fma3(x);
}

/* Less, -0 below +0. */
static bool below(format f, uint64_t a, uint64_t b) {
    const parts p = take(f, a), q = take(f, b);
    if (p.negative != q.negative) return p.negative;
    const uint64_t sign = zero_of(f, true), x = a & ~sign, y = b & ~sign;
    return p.negative ? x > y : x < y;
}

static uint64_t extreme(const lane *x, format f, uint64_t a, uint64_t b, bool most) {
    const parts p = take(f, a), q = take(f, b);
    if (x->in->mode.ieee) {
        if (p.nan && p.signalling) return quiet_of(f, a);
        if (q.nan && q.signalling) return quiet_of(f, b);
    }
    if (q.nan) return a;
    if (p.nan) return b;
    if (most) return below(f, b, a) ? a : b;
    return below(f, a, b) ? a : b;
}

static result extreme2(const lane *x, bool most) {
    uint64_t s[2];
    sources(x, 2, s);
    return value(float_result(x, dst(x), extreme(x, dst(x), s[0], s[1], most)));
}

static result min2(const lane *x) {
    return extreme2(x, false);
}

static result max2(const lane *x) {
    return extreme2(x, true);
}

static result extreme3(const lane *x, bool first, bool second) {
    const format f = dst(x);
    uint64_t s[3];
    sources(x, 3, s);
    return value(float_result(x, f, extreme(x, f, extreme(x, f, s[0], s[1], first), s[2], second)));
}

static result min3(const lane *x) {
    return extreme3(x, false, false);
}

static result max3(const lane *x) {
    return extreme3(x, true, true);
}

static result maxmin(const lane *x) {
    return extreme3(x, true, false);
}

static result minmax(const lane *x) {
    return extreme3(x, false, true);
}

static bool equal(format f, uint64_t a, uint64_t b) {
    return a == b || (take(f, a).zero && take(f, b).zero);
}

static result med3(const lane *x) {
    const format f = dst(x);
    uint64_t s[3];
    sources(x, 3, s);
    if (take(f, s[0]).nan || take(f, s[1]).nan || take(f, s[2]).nan) return min3(x);
    const uint64_t most = extreme(x, f, extreme(x, f, s[0], s[1], true), s[2], true);
    const unsigned without = equal(f, most, s[0]) ? 0 : equal(f, most, s[1]) ? 1 : 2;
    const uint64_t a = s[without == 0 ? 1 : 0], b = s[without == 2 ? 1 : 2];
    return value(float_result(x, f, extreme(x, f, a, b, true)));
}

/* ---- pairs: each half as an instruction of its own ---- */

static result of_halves(const lane *x, const char *single, expectation *expect) {
    uint64_t halves[2];
    for (unsigned h = 0; h < 2; h++) {
        gfx_valu_in in = *x->in;
        in.op_sel = h ? x->in->op_sel_hi : x->in->op_sel;
        in.neg = h ? x->in->neg_hi : x->in->neg;
        in.abs = in.omod = 0;
        lane y = *x;
        y.op = gfx_valu_find(single);
        y.in = &in;
        halves[h] = expect(&y).value;
    }
    return value(halves[0] | halves[1] << 16);
}

static result pk_add(const lane *x) {
    return of_halves(x, "v_add_f16", add);
}

static result pk_mul(const lane *x) {
    return of_halves(x, "v_mul_f16", mul);
}

static result pk_fma(const lane *x) {
    return of_halves(x, "v_fma_f16", fma3);
}

static result pk_min(const lane *x) {
    return of_halves(x, "v_min_f16", min2);
}

static result pk_max(const lane *x) {
    return of_halves(x, "v_max_f16", max2);
}

static result pack(const lane *x) {
    return value(float_source(x, 0, F16) | float_source(x, 1, F16) << 16);
}

/* ---- comparisons ---- */

/* -1, 0, 1, or 2 if not ordered. */
static int compared(format f, uint64_t a, uint64_t b) {
    const parts p = take(f, a), q = take(f, b);
    if (p.nan || q.nan) return 2;
    if (p.infinite || q.infinite) {
        const int x = !p.infinite ? 0 : p.negative ? -1 : 1, y = !q.infinite ? 0 : q.negative ? -1 : 1;
        return x < y ? -1 : x > y;
    }
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e);
    exact_add(&e, !q.negative, q.m, q.e);
    return exact_sign(&e);
}

static result compare(const lane *x) {
    const format f = format_of(x->op->src[0]);
    const int c = compared(f, float_source(x, 0, f), float_source(x, 1, f));
    char how[8] = "";
    sscanf(x->op->name, "v_cmp_%7[a-z]", how);
    const bool less = c == -1, same = c == 0, more = c == 1, ordered = c != 2;
    bool r = false;
    if (!strcmp(how, "lt")) r = less;
    if (!strcmp(how, "eq")) r = same;
    if (!strcmp(how, "le")) r = less || same;
    if (!strcmp(how, "gt")) r = more;
    if (!strcmp(how, "lg")) r = less || more;
    if (!strcmp(how, "ge")) r = more || same;
    if (!strcmp(how, "o")) r = ordered;
    if (!strcmp(how, "u")) r = !ordered;
    if (!strcmp(how, "nge")) r = less || !ordered;
    if (!strcmp(how, "nlg")) r = same || !ordered;
    if (!strcmp(how, "ngt")) r = less || same || !ordered;
    if (!strcmp(how, "nle")) r = more || !ordered;
    if (!strcmp(how, "neq")) r = less || more || !ordered;
    if (!strcmp(how, "nlt")) r = more || same || !ordered;
    if (!strcmp(how, "t")) r = true;
    return (result){.bit = r};
}

/* Bits of S1: 0 signalling NaN, 1 quiet, 2 -inf, 3 -normal, 4 -denormal, 5 -0, 6 +0, 7 +denormal, 8 +normal, 9 +inf. */
static result class(const lane *x) {
    const format f = format_of(x->op->src[0]);
    gfx_valu_in all = *x->in;
    all.mode.denorm32 = all.mode.denorm16_64 = 3;
    lane y = *x;
    y.in = &all;
    const parts p = take(f, float_source(&y, 0, f));
    const uint64_t mask = f.fraction == 10 ? half_source(x, 1) : x->s[1];
    int b;
    if (p.nan)
        b = p.signalling ? 0 : 1;
    else if (p.infinite)
        b = p.negative ? 2 : 9;
    else if (p.zero)
        b = p.negative ? 5 : 6;
    else if (p.denormal)
        b = p.negative ? 4 : 7;
    else
        b = p.negative ? 3 : 8;
    return (result){.bit = mask >> b & 1};
}

#define THREE(n, e)                                                                                                    \
    {"v_" #n "_f16", e, FLOAT | VARY_HALVES}, {"v_" #n "_f32", e, FLOAT}, {                                            \
        "v_" #n "_f64", e, FLOAT                                                                                       \
    }
#define TWO(n, e)                                                                                                      \
    {"v_" #n "_f16", e, FLOAT | VARY_HALVES}, {                                                                        \
        "v_" #n "_f32", e, FLOAT                                                                                       \
    }
#define PAIR(n, e)                                                                                                     \
    { "v_pk_" #n "_f16", e, VARY_PACKED | VARY_MODE | VARY_OUT }
#define COMPARE(n)                                                                                                     \
    {"v_cmp_" #n "_f16", compare, VARY_SIGNS | VARY_MODE | VARY_HALVES},                                               \
        {"v_cmp_" #n "_f32", compare, VARY_SIGNS | VARY_MODE}, {                                                       \
        "v_cmp_" #n "_f64", compare, VARY_SIGNS | VARY_MODE                                                            \
    }
enum { FLOAT = VARY_SIGNS | VARY_OUT | VARY_MODE };

static const check checks[] = {
    THREE(add, add),
    TWO(sub, sub),
    TWO(subrev, subrev),
    THREE(mul, mul),
    THREE(fma, fma3),
    TWO(fmac, fma3),
    TWO(fmamk, fma3),
    TWO(fmaak, fma3),
    {"v_mul_dx9_zero_f32", mul_dx9, FLOAT},
    {"v_fma_dx9_zero_f32", fma_dx9, FLOAT},
    {"v_fmac_dx9_zero_f32", fma_dx9, FLOAT},
    THREE(min, min2),
    THREE(max, max2),
    TWO(min3, min3),
    TWO(max3, max3),
    TWO(maxmin, maxmin),
    TWO(minmax, minmax),
    TWO(med3, med3),
    PAIR(add, pk_add),
    PAIR(mul, pk_mul),
    PAIR(fma, pk_fma),
    PAIR(min, pk_min),
    PAIR(max, pk_max),
    {"v_pk_fmac_f16", pk_fma, VARY_MODE},
    {"v_pack_b32_f16", pack, VARY_SIGNS | VARY_MODE | VARY_HALVES},
    COMPARE(f),
    COMPARE(lt),
    COMPARE(eq),
    COMPARE(le),
    COMPARE(gt),
    COMPARE(lg),
    COMPARE(ge),
    COMPARE(o),
    COMPARE(u),
    COMPARE(nge),
    COMPARE(nlg),
    COMPARE(ngt),
    COMPARE(nle),
    COMPARE(neq),
    COMPARE(nlt),
    COMPARE(t),
    THREE(cmp_class, class),
};

void expect_arithmetic(void **state) {
    (void)state;
    check_all(checks, sizeof checks / sizeof *checks);
}
