/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations of matrix products: where each element lies, exact sums of small whole numbers in any order, a bound of
 * the error of any others, the order that valu_wmma.c chose, signs, halves, signed and saturated integers. */
#include "gfx/valu_check/expect.h"

#include <math.h>
#include <string.h>

enum { SIDE = 16 };

typedef uint32_t registers[8][GFX_LANES];

typedef struct kind {
    const char *name;
    unsigned bits; /* of an element of A and B */
    format of, to; /* of those, and of C and D */
    bool is_integer;
} kind;

static const kind kinds[] = {
    {"v_wmma_f32_16x16x16_f16", 16, {10, 5}, {23, 8}, false}, {"v_wmma_f32_16x16x16_bf16", 16, {7, 8}, {23, 8}, false},
    {"v_wmma_f16_16x16x16_f16", 16, {10, 5}, {10, 5}, false}, {"v_wmma_bf16_16x16x16_bf16", 16, {7, 8}, {7, 8}, false},
    {"v_wmma_i32_16x16x16_iu8", 8, {0, 0}, {0, 0}, true},     {"v_wmma_i32_16x16x16_iu4", 4, {0, 0}, {0, 0}, true},
};

/* Element k of a row of A (a column of B). */
static void put(registers r, unsigned bits, unsigned row, unsigned k, uint32_t v) {
    const unsigned at = k * bits;
    for (unsigned half = 0; half < 2; half++) {
        uint32_t *word = &r[at / 32][row + SIDE * half];
        *word = (*word & ~((((uint32_t)1 << bits) - 1) << at % 32)) | v << at % 32;
    }
}

/* Where an element of C or D stands. */
static uint32_t *at(registers r, unsigned row, unsigned column) {
    return &r[row / 2][column + SIDE * (row % 2)];
}

static uint64_t bits_of(format f, double v) {
    if (v == 0) return 0;
    int e;
    const double m = frexp(fabs(v), &e);
    exact x = {{0}};
    exact_add(&x, v < 0, (u128)(uint64_t)ldexp(m, 53), e - 53);
    return exact_round(&x, f, 0);
}

static double number_of(format f, uint64_t bits) {
    const parts p = take(f, bits);
    return ldexp(p.negative ? -(double)p.m : (double)p.m, p.e);
}

static uint32_t element(const kind *k, int v) {
    return k->is_integer ? (uint32_t)v & ((1u << k->bits) - 1) : (uint32_t)bits_of(k->of, v);
}

static uint32_t sum_bits(const kind *k, int v) {
    return k->is_integer ? (uint32_t)v : (uint32_t)bits_of(k->to, v);
}

static void run(const kind *k, registers a, registers b, registers c, registers d, uint8_t neg, uint8_t neg_hi,
                uint8_t op_sel) {
    assert_true(gfx_wmma_find(k->name)->run((const uint32_t(*)[GFX_LANES])a, (const uint32_t(*)[GFX_LANES])b,
                                            (const uint32_t(*)[GFX_LANES])c, d, neg, neg_hi, op_sel));
}

static void same(const kind *k, registers d, unsigned row, unsigned column, uint32_t want, const char *what) {
    const uint32_t got = *at(d, row, column);
    if (got != want) fail_msg("%s, %s: D[%u][%u] is 0x%x, expected 0x%x", k->name, what, row, column, got, want);
}

/* One element of A and one of B give one of D, or none where their k differ. */
static void layout(const kind *k) {
    for (unsigned i = 0; i < SIDE; i++)
        for (unsigned j = 0; j < SIDE; j++) {
            registers a = {{0}}, b = {{0}}, c = {{0}}, d;
            const unsigned ka = (i * 5 + j) % SIDE, kb = i == 3 ? (ka + 1) % SIDE : ka;
            put(a, k->bits, i, ka, element(k, 3));
            put(b, k->bits, j, kb, element(k, 2));
            *at(c, j, i) = sum_bits(k, 5);
            memset(d, 0, sizeof d);
            run(k, a, b, c, d, 0, 0, 0);
            for (unsigned m = 0; m < SIDE; m++)
                for (unsigned n = 0; n < SIDE; n++) {
                    const int product = m == i && n == j && ka == kb ? 6 : 0;
                    same(k, d, m, n, sum_bits(k, product + (m == j && n == i ? 5 : 0)), "one product");
                }
        }
}

/* Small enough that every sum is exact, whatever the order. */
static void whole_numbers(const kind *k) {
    registers a = {{0}}, b = {{0}}, c = {{0}}, d = {{0}};
    int va[SIDE][SIDE], vb[SIDE][SIDE], vc[SIDE][SIDE];
    const int top = k->to.fraction == 7 ? 2 : 4;
    for (unsigned m = 0; m < SIDE; m++)
        for (unsigned n = 0; n < SIDE; n++) {
            va[m][n] = (int)(random64() % (unsigned)(2 * top - 1)) - top + 1;
            vb[m][n] = (int)(random64() % (unsigned)(2 * top - 1)) - top + 1;
            vc[m][n] = (int)(random64() % 99) - 49;
            put(a, k->bits, m, n, element(k, va[m][n]));
            put(b, k->bits, m, n, element(k, vb[m][n]));
            *at(c, m, n) = sum_bits(k, vc[m][n]);
        }
    for (gfx_sums s = GFX_SUMS_FORWARD; s <= GFX_SUMS_PAIRS; s++) {
        gfx_wmma_sums(s);
        run(k, a, b, c, d, k->is_integer ? 3 : 0, 0, 0);
        for (unsigned m = 0; m < SIDE; m++)
            for (unsigned n = 0; n < SIDE; n++) {
                int sum = vc[m][n];
                for (unsigned e = 0; e < SIDE; e++) sum += va[m][e] * vb[n][e];
                same(k, d, m, n, sum_bits(k, sum), "whole numbers");
            }
    }
    gfx_wmma_sums(GFX_SUMS_FORWARD);
}

static uint64_t random_bits(format f, double low, double high) {
    const double u = (double)(random64() >> 11) * 0x1p-53;
    return bits_of(f, (random64() & 1 ? -1 : 1) * exp2(low + (high - low) * u));
}

static uint64_t as_f32(format f, uint64_t bits) {
    return bits_of(F32, number_of(f, bits));
}

/* Error within 17 roundings of the sum of sizes; and for the order chosen, bit for bit. */
static void random_numbers(const kind *k) {
    registers a = {{0}}, b = {{0}}, c = {{0}}, d = {{0}};
    uint64_t va[SIDE][SIDE], vb[SIDE][SIDE], vc[SIDE][SIDE];
    for (unsigned m = 0; m < SIDE; m++)
        for (unsigned n = 0; n < SIDE; n++) {
            put(a, 16, m, n, (uint32_t)(va[m][n] = random_bits(k->of, -6, 4)));
            put(b, 16, m, n, (uint32_t)(vb[m][n] = random_bits(k->of, -6, 4)));
            *at(c, m, n) = (uint32_t)(vc[m][n] = random_bits(k->to, -8, 8));
        }
    for (gfx_sums s = GFX_SUMS_FORWARD; s <= GFX_SUMS_PAIRS; s++) {
        gfx_wmma_sums(s);
        run(k, a, b, c, d, 0, 0, 0);
        for (unsigned m = 0; m < SIDE; m++)
            for (unsigned n = 0; n < SIDE; n++) {
                double sum = number_of(k->to, vc[m][n]), size = fabs(sum);
                uint64_t chain = as_f32(k->to, vc[m][n]);
                for (unsigned e = 0; e < SIDE; e++) {
                    const unsigned o = s == GFX_SUMS_BACKWARD ? SIDE - 1 - e : e;
                    const double p = number_of(k->of, va[m][o]) * number_of(k->of, vb[n][o]);
                    chain = fused(F32, as_f32(k->of, va[m][o]), as_f32(k->of, vb[n][o]), chain, 0, 0);
                    sum += p, size += fabs(p);
                }
                const uint64_t got = *at(d, m, n), last = bits_of(k->to, number_of(F32, chain));
                const double unit = k->to.fraction == 23 ? 0 : fabs(sum) * ldexp(1, -k->to.fraction - 1);
                const double error = fabs(number_of(k->to, got) - sum);
                if (error > size * 17 * 0x1p-24 + unit * 1.01) fail_msg("%s: %g off %g", k->name, error, sum);
                if (s != GFX_SUMS_PAIRS) same(k, d, m, n, (uint32_t)last, "in order");
            }
    }
    gfx_wmma_sums(GFX_SUMS_FORWARD);
}

/* neg negates elements of even k, neg_hi those of odd k; of C neg is neg and neg_hi abs. */
static void signs(const kind *k) {
    for (unsigned flags = 0; flags < 64; flags++) {
        registers a = {{0}}, b = {{0}}, c = {{0}}, d = {{0}};
        const uint8_t neg = flags & 7, neg_hi = flags >> 3 & 7;
        for (unsigned m = 0; m < SIDE; m++) {
            put(a, 16, m, 0, element(k, 1)), put(a, 16, m, 1, element(k, 2));
            put(b, 16, m, 0, element(k, 4)), put(b, 16, m, 1, element(k, 8));
            for (unsigned n = 0; n < SIDE; n++) *at(c, m, n) = sum_bits(k, -64);
        }
        run(k, a, b, c, d, neg, neg_hi, 0);
        const int even = (neg & 1 ? -1 : 1) * (neg & 2 ? -4 : 4), odd = (neg_hi & 1 ? -2 : 2) * (neg_hi & 2 ? -8 : 8);
        const int third = (neg_hi & 4 ? 64 : -64) * (neg & 4 ? -1 : 1);
        for (unsigned m = 0; m < SIDE; m++) same(k, d, m, SIDE - 1 - m, sum_bits(k, even + odd + third), "signs");
    }
}

/* The other half of D stays as it is. */
static void halves(const kind *k) {
    for (unsigned high = 0; high < 2; high++) {
        registers a = {{0}}, b = {{0}}, c = {{0}}, d;
        memset(d, 0x77, sizeof d);
        for (unsigned m = 0; m < SIDE; m++) {
            put(a, 16, m, m, element(k, 1)), put(b, 16, m, m, element(k, 3));
            for (unsigned n = 0; n < SIDE; n++) *at(c, m, n) = (sum_bits(k, 10) << 16 * high) | 0x1234u << 16 * !high;
        }
        run(k, a, b, c, d, 0, 0, high ? 4 : 0);
        for (unsigned m = 0; m < SIDE; m++)
            for (unsigned n = 0; n < SIDE; n++)
                same(k, d, m, n, sum_bits(k, m == n ? 13 : 10) << 16 * high | 0x7777u << 16 * !high, "halves");
    }
}

/* What lies in the middle goes to even, once; and a product below all numbers still counts in the sum. */
static void roundings(const kind *k) {
    registers a = {{0}}, b = {{0}}, c = {{0}}, d = {{0}};
    const int top = 2 << k->to.fraction; /* from here on the unit is 2 */
    for (unsigned m = 0; m < SIDE; m++) {
        put(a, 16, m, 7, element(k, 1)), put(b, 16, m, 7, element(k, 1));
        for (unsigned n = 0; n < SIDE; n++) *at(c, m, n) = sum_bits(k, n % 2 ? top : -top - 4);
    }
    run(k, a, b, c, d, 0, 0, 0);
    for (unsigned m = 0; m < SIDE; m++)
        for (unsigned n = 0; n < SIDE; n++) same(k, d, m, n, sum_bits(k, n % 2 ? top : -top - 4), "a middle");
    if (k->of.exponent != 8 || k->to.fraction != 23) return;
    for (unsigned m = 0; m < SIDE; m++) {
        put(a, 16, m, 7, (uint32_t)bits_of(k->of, 0x1p-75)), put(b, 16, m, 7, (uint32_t)bits_of(k->of, 0x1p-75));
        for (unsigned n = 0; n < SIDE; n++) *at(c, m, n) = 1;
    }
    run(k, a, b, c, d, 0, 0, 0);
    for (unsigned m = 0; m < SIDE; m++) same(k, d, m, m, 2, "half of the smallest");
}

static void integers(const kind *k) {
    for (unsigned flags = 0; flags < 8; flags++) {
        registers a = {{0}}, b = {{0}}, c = {{0}}, d = {{0}};
        int64_t va[SIDE][SIDE], vb[SIDE][SIDE];
        for (unsigned m = 0; m < SIDE; m++)
            for (unsigned n = 0; n < SIDE; n++) {
                const uint32_t x = (uint32_t)(random64() >> (64 - k->bits)),
                               y = (uint32_t)(random64() >> (64 - k->bits));
                const int64_t range = (int64_t)1 << k->bits;
                put(a, k->bits, m, n, x), put(b, k->bits, m, n, y);
                va[m][n] = flags & 1 && x >= range / 2 ? x - range : x;
                vb[m][n] = flags & 2 && y >= range / 2 ? y - range : y;
                *at(c, m, n) = n % 3 == 0 ? 0x7fffff00 : n % 3 == 1 ? 0x80000010 : (uint32_t)random64();
            }
        run(k, a, b, c, d, flags & 3, 0, flags & 4 ? 8 : 0);
        for (unsigned m = 0; m < SIDE; m++)
            for (unsigned n = 0; n < SIDE; n++) {
                int64_t sum = (int32_t)*at(c, m, n);
                for (unsigned e = 0; e < SIDE; e++) sum += va[m][e] * vb[n][e];
                if (flags & 4) sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
                same(k, d, m, n, (uint32_t)sum, "integers");
            }
    }
}

/* Both halves of the wave must hold A and B. */
static void differing_halves(const kind *k) {
    for (unsigned r = 0; r < k->bits / 2; r++)
        for (unsigned which = 0; which < 2; which++) {
            registers x[2] = {{{0}}}, c = {{0}}, d = {{0}};
            x[which][r][SIDE + r] = 1;
            assert_false(gfx_wmma_find(k->name)->run((const uint32_t(*)[GFX_LANES])x[0],
                                                     (const uint32_t(*)[GFX_LANES])x[1],
                                                     (const uint32_t(*)[GFX_LANES])c, d, 0, 0, 0));
        }
}

void expect_matrices(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        assert_non_null(gfx_wmma_find(k->name));
        layout(k);
        whole_numbers(k);
        differing_halves(k);
        if (k->is_integer)
            integers(k);
        else
            random_numbers(k), signs(k), roundings(k);
        if (!k->is_integer && k->to.fraction != 23) halves(k);
    }
    assert_null(gfx_wmma_find("v_wmma_f32_16x16x16_fp8"));
}
