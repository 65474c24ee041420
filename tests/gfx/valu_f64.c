/* SPDX-License-Identifier: Apache-2.0
 *
 * f64 sums, products, fused products and extremes; as f32 (valu_f32.c), but nothing here is hot. */
#include "gfx/valu_lanes.h"

#include "gfx/valu_soft.h"

typedef enum operation { ADD, MUL, FMA } operation;

static uint64_t host(operation op, const uint64_t *x) {
    const double a = f64_of(x[0]), b = f64_of(x[1]);
    return f64_bits(op == ADD ? a + b : op == MUL ? a * b : __builtin_fma(a, b, f64_of(x[2])));
}

static uint64_t soft(operation op, const uint64_t *x, unsigned mode) {
    if (op == ADD) return soft_add(SOFT_F64, x[0], x[1], mode);
    return op == MUL ? soft_mul(SOFT_F64, x[0], x[1], mode) : soft_fma(SOFT_F64, x[0], x[1], x[2], mode);
}

static uint64_t settled(uint64_t r, const uint64_t *x, unsigned n) {
    if (!f64_is_nan(r)) return r;
    for (unsigned k = 0; k < n; k++)
        if (f64_is_nan(x[k])) return x[k] | 0x8000000000000;
    return F64_QNAN;
}

static inline void compute(operation op, valu_in in, valu_out out) {
    const unsigned n = op == FMA ? 3 : 2, mode = in->mode.round16_64;
    EACH_LANE(i) {
        uint64_t x[3];
        for (unsigned k = 0; k < n; k++) x[k] = f64_source(in, k, i);
        set_u64(out, i, settled(mode == ROUND_EVEN ? host(op, x) : soft(op, x, mode), x, n));
    }
    f64_finish(in, out);
}

static void add_f64(valu_in in, gfx_valu_out *restrict out) {
    compute(ADD, in, out);
}

static void mul_f64(valu_in in, gfx_valu_out *restrict out) {
    compute(MUL, in, out);
}

static void fma_f64(valu_in in, gfx_valu_out *restrict out) {
    compute(FMA, in, out);
}

static int64_t order(uint64_t x) {
    return (int64_t)(x ^ (uint64_t)((int64_t)x >> 63 & INT64_MAX));
}

static bool is_signalling(uint64_t x) {
    return f64_is_nan(x) && !(x & 0x8000000000000);
}

static uint64_t picked(bool first, uint64_t a, uint64_t b, bool ieee) {
    if (ieee && is_signalling(a)) return a | 0x8000000000000;
    if (ieee && is_signalling(b)) return b | 0x8000000000000;
    if (f64_is_nan(b)) return a;
    return f64_is_nan(a) || !first ? b : a;
}

static inline void pick(bool most, valu_in in, valu_out out) {
    EACH_LANE(i) {
        const uint64_t a = f64_source(in, 0, i), b = f64_source(in, 1, i);
        const bool first = most ? order(a) > order(b) : order(a) < order(b);
        set_u64(out, i, picked(first, a, b, in->mode.ieee));
    }
    f64_finish(in, out);
}

static void min_f64(valu_in in, gfx_valu_out *restrict out) {
    pick(false, in, out);
}

static void max_f64(valu_in in, gfx_valu_out *restrict out) {
    pick(true, in, out);
}

#define F2(n)                                                                                                          \
    { .name = "v_" #n, .dst = GFX_F64, .src = {GFX_F64, GFX_F64}, .run = n }

static const gfx_valu ops[] = {
    F2(add_f64),
    F2(mul_f64),
    F2(min_f64),
    F2(max_f64),
    {.name = "v_fma_f64", .dst = GFX_F64, .src = {GFX_F64, GFX_F64, GFX_F64}, .run = fma_f64},
};
VALU_TABLE(valu_f64_table, ops);
