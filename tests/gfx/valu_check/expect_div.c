/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of divisions. First each of the three instructions as the document's pseudo-code has it, with the
 * exceptions that valu_div.c names; then what they are for: the steps that compilers make of a division give the
 * quotient, correctly rounded, also with a reciprocal that is off by one unit as hardware's may be. */
#include "gfx/valu_check/expect.h"

#include <string.h>

/* ---- instruction by instruction ---- */

typedef struct limits {
    int shift, far, tiny, nothing; /* powers of two, differences of exponent fields */
} limits;

static limits limits_of(format f) {
    return f.fraction == 23 ? (limits){64, 96, 23, -150} : (limits){128, 768, 53, -1075};
}

static int field(format f, uint64_t bits) {
    return (int)(bits >> f.fraction & (((uint64_t)1 << f.exponent) - 1));
}

/* The exponent of the leading bit. */
static int magnitude(format f, uint64_t bits) {
    const parts p = take(f, bits);
    int e = p.e;
    for (uint64_t m = p.m; m > 1; m /= 2) e++;
    return e;
}

static uint64_t times_power(format f, uint64_t bits, int power) {
    const parts p = take(f, bits);
    if (p.nan || p.infinite || p.zero) return bits;
    exact e = {{0}};
    exact_add(&e, p.negative, p.m, p.e + power);
    return exact_round(&e, f, 0);
}

static result scale(const lane *x) {
    const format f = format_of(x->op->dst);
    const limits l = limits_of(f);
    const uint64_t s0 = float_source(x, 0, f), d = float_source(x, 1, f), n = float_source(x, 2, f);
    const parts pd = take(f, d), pn = take(f, n);
    const int least = f.fraction == 23 ? -126 : -1022; /* of a normal number */
    uint64_t r = s0;
    bool flag = false;
    if (pd.zero || pn.zero) return (result){.value = float_result(x, f, nan_of(f)), .bit = true};
    const bool special = pd.nan || pd.infinite || pn.nan || pn.infinite;
    const bool small_inverse =
        !pd.nan &&
        (pd.infinite || (magnitude(f, d) >= -least && take(f, d).m & (take(f, d).m - 1)) || magnitude(f, d) > -least);
    const bool small_quotient = !special && magnitude(f, n) - magnitude(f, d) <= least;
    if (special && !(pd.denormal && !pn.nan && !pn.infinite))
        return (result){.any = true}; /* v_div_fixup does not look */
    if (field(f, n) - field(f, d) >= l.far) {
        flag = true;
        if (s0 == d) r = times_power(f, s0, l.shift);
    } else if (pd.denormal) {
        r = times_power(f, s0, l.shift);
    } else if (small_inverse && small_quotient) {
        flag = true;
        if (s0 == d) r = times_power(f, s0, -l.shift);
    } else if (small_inverse) {
        r = times_power(f, s0, -l.shift);
    } else if (small_quotient) {
        flag = true;
        if (s0 == n) r = times_power(f, s0, l.shift);
    } else if (field(f, n) <= l.tiny) {
        r = times_power(f, s0, l.shift);
    }
    return (result){.value = float_result(x, f, r), .bit = flag};
}

static result fmas(const lane *x) {
    const format f = format_of(x->op->dst);
    const uint64_t a = float_source(x, 0, f), b = float_source(x, 1, f), c = float_source(x, 2, f);
    const int shift = limits_of(f).shift, bias = f.fraction == 23 ? 127 : 1023;
    const int by = !x->bit ? 0 : field(f, c) > bias ? shift : -shift;
    return value(float_result(x, f, fused(f, a, b, c, by, round_of(x, f))));
}

static result fixup(const lane *x) {
    const format f = format_of(x->op->dst);
    const limits l = limits_of(f);
    const uint64_t q = float_source(x, 0, f), d = float_source(x, 1, f), n = float_source(x, 2, f);
    const parts pq = take(f, q), pd = take(f, d), pn = take(f, n);
    const bool negative = pd.negative != pn.negative, half = f.fraction == 10;
    const unsigned mode = round_of(x, f);
    uint64_t r;
    if (pn.nan)
        r = quiet_of(f, n);
    else if (pd.nan)
        r = quiet_of(f, d);
    else if ((pd.zero && pn.zero) || (pd.infinite && pn.infinite))
        r = quiet_of(f, infinity_of(f, true));
    else if (pd.zero || pn.infinite)
        r = infinity_of(f, negative);
    else if (pd.infinite || pn.zero)
        r = zero_of(f, negative);
    else if (!half && field(f, n) - field(f, d) < l.nothing)
        r = zero_of(f, negative) + (mode == (negative ? 2u : 1u)); /* what rounding makes of next to nothing */
    else if (!half && pq.nan)
        r = infinity_of(f, negative);
    else
        r = zero_of(f, negative) | (q & ~zero_of(f, true));
    return value(float_result(x, f, r));
}

enum { FLOAT = VARY_SIGNS | VARY_OUT | VARY_MODE };

static const check checks[] = {
    {"v_div_scale_f32", scale, VARY_NEG | VARY_MODE},
    {"v_div_scale_f64", scale, VARY_NEG | VARY_MODE},
    {"v_div_fmas_f32", fmas, FLOAT},
    {"v_div_fmas_f64", fmas, FLOAT},
    {"v_div_fixup_f32", fixup, FLOAT},
    {"v_div_fixup_f64", fixup, FLOAT},
    {"v_div_fixup_f16", fixup, FLOAT | VARY_HALVES},
};

/* ---- whole divisions ---- */

typedef struct lanes {
    uint32_t lo[GFX_LANES], hi[GFX_LANES];
} lanes;

/* One step; sources from 0 on may be negated by neg's bits. */
static lanes step(const char *name, const char *type, uint8_t neg, uint32_t mask, uint32_t *flags, const lanes *a,
                  const lanes *b, const lanes *c) {
    char full[32];
    snprintf(full, sizeof full, "%s_%s", name, type);
    const gfx_valu_in in = {.lo = {a->lo, b ? b->lo : NULL, c ? c->lo : NULL},
                            .hi = {a->hi, b ? b->hi : NULL, c ? c->hi : NULL},
                            .mask = mask,
                            .neg = neg,
                            .mode = {.denorm32 = 3, .denorm16_64 = 3, .ieee = 1, .dx10_clamp = 1}};
    gfx_valu_out out;
    memset(&out, 0, sizeof out);
    gfx_valu_find(full)->run(&in, &out);
    lanes r;
    memcpy(r.lo, out.lo, sizeof r.lo);
    memcpy(r.hi, out.hi, sizeof r.hi);
    if (flags) *flags = out.mask;
    return r;
}

static lanes all_of(format f, uint64_t v) {
    lanes r;
    for (unsigned l = 0; l < GFX_LANES; l++)
        r.lo[l] = (uint32_t)v, r.hi[l] = f.fraction == 52 ? (uint32_t)(v >> 32) : 0;
    return r;
}

static uint64_t get(format f, const lanes *x, unsigned l) {
    return x->lo[l] | (f.fraction == 52 ? (uint64_t)x->hi[l] << 32 : 0);
}

/* Hardware's reciprocal: one unit to either side; not of a divisor whose fraction is all ones, for which the next step
 * may not make up for it (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor",
 * 1990). */
static lanes nudged(format f, lanes r, const lanes *of, int by) {
    const uint64_t ones = ((uint64_t)1 << f.fraction) - 1;
    for (unsigned l = 0; l < GFX_LANES; l++) {
        const uint64_t v = get(f, &r, l), next = v + (uint64_t)by;
        const parts p = take(f, v), q = take(f, next);
        if (p.nan || p.infinite || p.zero || p.denormal || q.infinite || q.denormal) continue;
        if (l % 3 == 0 || (get(f, of, l) & ones) == ones) continue;
        r.lo[l] = (uint32_t)next;
        r.hi[l] = (uint32_t)(next >> 32);
    }
    return r;
}

/* As LLVM expands a division of f32 that may have denormals: two steps towards the reciprocal, two towards the
 * quotient. */
static lanes divide32(const lanes *n, const lanes *d, int nudge) {
    uint32_t flags;
    const lanes one = all_of(F32, 0x3f800000);
    const lanes ds = step("v_div_scale", "f32", 0, 0, NULL, d, d, n),
                ns = step("v_div_scale", "f32", 0, 0, &flags, n, d, n);
    const lanes r = nudged(F32, step("v_rcp", "f32", 0, 0, NULL, &ds, NULL, NULL), &ds, nudge);
    const lanes e0 = step("v_fma", "f32", 1, 0, NULL, &ds, &r, &one),
                r1 = step("v_fma", "f32", 0, 0, NULL, &e0, &r, &r);
    const lanes q0 = step("v_mul", "f32", 0, 0, NULL, &ns, &r1, NULL);
    const lanes e1 = step("v_fma", "f32", 1, 0, NULL, &ds, &q0, &ns),
                q1 = step("v_fma", "f32", 0, 0, NULL, &e1, &r1, &q0);
    const lanes e2 = step("v_fma", "f32", 1, 0, NULL, &ds, &q1, &ns);
    const lanes q = step("v_div_fmas", "f32", 0, flags, NULL, &e2, &r1, &q1);
    return step("v_div_fixup", "f32", 0, 0, NULL, &q, d, n);
}

/* And of f64: three steps towards the reciprocal, which is far less exact (the ISA document: 2^29 units). */
static lanes divide64(const lanes *n, const lanes *d, int nudge) {
    uint32_t flags;
    const lanes one = all_of(F64, 0x3ff0000000000000);
    const lanes ds = step("v_div_scale", "f64", 0, 0, NULL, d, d, n),
                ns = step("v_div_scale", "f64", 0, 0, &flags, n, d, n);
    const lanes r = nudged(F64, step("v_rcp", "f64", 0, 0, NULL, &ds, NULL, NULL), &ds, nudge * (1 << 28));
    const lanes e0 = step("v_fma", "f64", 1, 0, NULL, &ds, &r, &one),
                r1 = step("v_fma", "f64", 0, 0, NULL, &r, &e0, &r);
    const lanes e1 = step("v_fma", "f64", 1, 0, NULL, &ds, &r1, &one),
                r2 = step("v_fma", "f64", 0, 0, NULL, &r1, &e1, &r1);
    const lanes q0 = step("v_mul", "f64", 0, 0, NULL, &ns, &r2, NULL),
                e2 = step("v_fma", "f64", 1, 0, NULL, &ds, &q0, &ns);
    const lanes q = step("v_div_fmas", "f64", 0, flags, NULL, &e2, &r2, &q0);
    return step("v_div_fixup", "f64", 0, 0, NULL, &q, d, n);
}

static uint64_t quotient(format f, uint64_t n, uint64_t d) {
    const parts x = take(f, n), y = take(f, d);
    const bool negative = x.negative != y.negative;
    if (x.nan) return quiet_of(f, n);
    if (y.nan) return quiet_of(f, d);
    if ((x.zero && y.zero) || (x.infinite && y.infinite)) return quiet_of(f, infinity_of(f, true));
    if (x.infinite || y.zero) return infinity_of(f, negative);
    if (x.zero || y.infinite) return zero_of(f, negative);
    uint64_t m = x.m;
    int e = x.e;
    while (!(m >> 52)) m *= 2, e--;
    const u128 dividend = (u128)m << 64, q = dividend / y.m;
    exact r = {{0}};
    exact_add(&r, negative, q, e - 64 - y.e);
    if (dividend % y.m) exact_add(&r, negative, 1, e - 64 - y.e - 8); /* there is a rest */
    return exact_round(&r, f, 0);
}

static void divide(format f, const lanes *n, const lanes *d) {
    for (int nudge = -1; nudge <= 1; nudge++) {
        const lanes q = f.fraction == 23 ? divide32(n, d, nudge) : divide64(n, d, nudge);
        for (unsigned l = 0; l < GFX_LANES; l++) {
            const uint64_t want = quotient(f, get(f, n, l), get(f, d, l)), got = get(f, &q, l);
            if (got != want)
                fail_msg("0x%llx / 0x%llx (reciprocal %+d): 0x%llx, expected 0x%llx", (unsigned long long)get(f, n, l),
                         (unsigned long long)get(f, d, l), nudge, (unsigned long long)got, (unsigned long long)want);
        }
    }
}

static void divisions(gfx_type t) {
    const format f = format_of(t);
    const uint64_t *list;
    const unsigned n = corners(t, &list);
    lanes a, b;
    unsigned filled = 0;
    for (unsigned c = 0; c < n * n + 20000 || filled; c++) {
        const bool corner = c < n * n;
        const uint64_t x = corner ? list[c % n] : some_value(t), y = corner ? list[c / n] : some_value(t);
        a.lo[filled] = (uint32_t)x, a.hi[filled] = (uint32_t)(x >> 32);
        b.lo[filled] = (uint32_t)y, b.hi[filled] = (uint32_t)(y >> 32);
        if (++filled < GFX_LANES) continue;
        divide(f, &a, &b);
        filled = 0;
    }
}

/* Random operands of v_div_scale are never equal, as those of a division are. */
static void scale_equal(const char *name, gfx_type t) {
    const gfx_valu *op = gfx_valu_find(name);
    lanes a, b;
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned l = 0; l < GFX_LANES; l++) {
            const uint64_t x = some_value(t), y = some_value(t);
            a.lo[l] = (uint32_t)x, a.hi[l] = (uint32_t)(x >> 32), b.lo[l] = (uint32_t)y, b.hi[l] = (uint32_t)(y >> 32);
        }
        const lanes *first = round % 2 ? &a : &b;
        const gfx_valu_in in = {
            .lo = {first->lo, a.lo, b.lo}, .hi = {first->hi, a.hi, b.hi}, .mode = {.denorm32 = 3, .denorm16_64 = 3}};
        check_lanes(op, &in, scale);
    }
}

void expect_divisions(void **state) {
    (void)state;
    check_all(checks, sizeof checks / sizeof *checks);
    scale_equal("v_div_scale_f32", GFX_F32);
    scale_equal("v_div_scale_f64", GFX_F64);
    divisions(GFX_F32);
    divisions(GFX_F64);
}
