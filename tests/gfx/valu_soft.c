/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of valu_soft.h. A finite number is taken apart into sign, exponent and an integer; products are exact
 * in 128 bits, sums keep what is shifted out as one lowest bit that only says whether there was any. */
#include "gfx/valu_lanes.h"

#include "gfx/valu_soft.h"

typedef unsigned __int128 u128;

typedef struct number {
    bool sign;
    int exponent; /* of the integer's lowest bit */
    u128 m;
} number;

static uint64_t sign_bit(soft_format f) {
    return (uint64_t)1 << (f.fraction + f.exponent);
}
static uint64_t infinity(soft_format f) {
    return sign_bit(f) - ((uint64_t)1 << f.fraction);
}
static uint64_t quiet(soft_format f) {
    return (uint64_t)1 << (f.fraction - 1);
}
static bool is_nan(soft_format f, uint64_t x) {
    return (x & (sign_bit(f) - 1)) > infinity(f);
}
static bool is_infinite(soft_format f, uint64_t x) {
    return (x & (sign_bit(f) - 1)) == infinity(f);
}
static bool is_zero(soft_format f, uint64_t x) {
    return (x & (sign_bit(f) - 1)) == 0;
}
static bool is_negative(soft_format f, uint64_t x) {
    return (x & sign_bit(f)) != 0;
}
static int bias(soft_format f) {
    return (1 << (f.exponent - 1)) - 1;
}

static number take_apart(soft_format f, uint64_t x) {
    const uint64_t one = (uint64_t)1 << f.fraction, fraction = x & (one - 1);
    const int e = (int)((x & (sign_bit(f) - 1)) >> f.fraction);
    const int lowest = 1 - bias(f) - (int)f.fraction;
    return (number){is_negative(f, x), e ? lowest + e - 1 : lowest, e ? fraction | one : fraction};
}

static int width(u128 m) {
    const uint64_t high = (uint64_t)(m >> 64), low = (uint64_t)m;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

/* m >> n, its lowest bit set if any bit was lost. */
static u128 shift_sticky(u128 m, int n) {
    if (n <= 0) return m;
    if (n >= 128) return m != 0;
    return m >> n | ((m & (((u128)1 << n) - 1)) != 0);
}

static bool rounds_up(bool sign, bool odd, bool half, bool rest, unsigned mode) {
    switch (mode) {
    case ROUND_EVEN:
        return half && (rest || odd);
    case ROUND_UP:
        return !sign && (half || rest);
    case ROUND_DOWN:
        return sign && (half || rest);
    default:
        return false;
    }
}

uint64_t soft_round(soft_format f, bool sign, int exponent, u128 m, unsigned mode) {
    const int lowest = 1 - bias(f) - (int)f.fraction;
    const uint64_t signed_zero = sign ? sign_bit(f) : 0;
    /* One bit of m for each of the result's, and two more: half a unit and the rest. */
    int unit = exponent + width(m) - (int)f.fraction - 1;
    if (unit < lowest) unit = lowest;
    const int drop = unit - 2 - exponent;
    m = drop < 0 ? m << -drop : shift_sticky(m, drop);
    uint64_t r = (uint64_t)(m >> 2);
    if (rounds_up(sign, r & 1, m & 2, m & 1, mode)) r++;
    /* The hidden bit carries into the exponent by itself, as does a fraction that rounded up to the next power of two.
     */
    const bool far = unit - lowest >= 1 << f.exponent;
    if (!far) r += (uint64_t)(unit - lowest) << f.fraction;
    if (far || r >= infinity(f)) {
        const bool away = mode == ROUND_EVEN || mode == (sign ? ROUND_DOWN : ROUND_UP);
        r = away ? infinity(f) : infinity(f) - 1;
    }
    return signed_zero | r;
}

/* a + b of exact parts; both are shifted up so far that what a shift down loses is far below the result's lowest bit.
 */
static number add_numbers(number a, number b) {
    enum { TOP = 125 };
    if (a.m == 0) return b;
    if (b.m == 0) return a;
    const int up_a = TOP - width(a.m), up_b = TOP - width(b.m);
    a.m <<= up_a, a.exponent -= up_a;
    b.m <<= up_b, b.exponent -= up_b;
    if (a.exponent < b.exponent) {
        const number t = a;
        a = b, b = t;
    }
    b.m = shift_sticky(b.m, a.exponent - b.exponent);
    if (a.sign == b.sign) return (number){a.sign, a.exponent, a.m + b.m};
    if (a.m >= b.m) return (number){a.sign, a.exponent, a.m - b.m};
    return (number){b.sign, a.exponent, b.m - a.m};
}

static uint64_t first_nan(soft_format f, const uint64_t *x, unsigned n) {
    for (unsigned k = 0; k < n; k++)
        if (is_nan(f, x[k])) return x[k] | quiet(f);
    return infinity(f) | quiet(f);
}

uint64_t soft_fma_scaled(soft_format f, uint64_t a, uint64_t b, uint64_t c, int scale, unsigned mode) {
    const uint64_t all[] = {a, b, c};
    const bool sign = is_negative(f, a) != is_negative(f, b);
    const bool product_infinite = is_infinite(f, a) || is_infinite(f, b);
    if (is_nan(f, a) || is_nan(f, b) || is_nan(f, c)) return first_nan(f, all, 3);
    if (product_infinite) {
        const bool invalid = is_zero(f, a) || is_zero(f, b) || (is_infinite(f, c) && is_negative(f, c) != sign);
        return invalid ? first_nan(f, NULL, 0) : infinity(f) | (sign ? sign_bit(f) : 0);
    }
    if (is_infinite(f, c)) return c;
    const number x = take_apart(f, a), y = take_apart(f, b), z = take_apart(f, c);
    const number product = {sign, x.exponent + y.exponent, x.m * y.m};
    const number sum = add_numbers(product, z);
    if (sum.m == 0) { /* zeros of one sign keep it; a difference that vanishes is +0 but when rounding down */
        const bool both = product.m == 0 && z.m == 0 && sign == z.sign;
        return (both ? sign : mode == ROUND_DOWN) ? sign_bit(f) : 0;
    }
    return soft_round(f, sum.sign, sum.exponent + scale, sum.m, mode);
}

uint64_t soft_fma(soft_format f, uint64_t a, uint64_t b, uint64_t c, unsigned mode) {
    return soft_fma_scaled(f, a, b, c, 0, mode);
}

uint64_t soft_add(soft_format f, uint64_t a, uint64_t b, unsigned mode) {
    const uint64_t one = (uint64_t)bias(f) << f.fraction;
    return soft_fma_scaled(f, a, one, b, 0, mode);
}

uint64_t soft_mul(soft_format f, uint64_t a, uint64_t b, unsigned mode) {
    const uint64_t zero = (a ^ b) & sign_bit(f);
    return soft_fma_scaled(f, a, b, zero, 0, mode);
}

uint64_t soft_convert(soft_format from, soft_format to, uint64_t x, unsigned mode) {
    const uint64_t sign = is_negative(from, x) ? sign_bit(to) : 0;
    if (is_nan(from, x)) { /* the top of the payload */
        const uint64_t payload = x & (((uint64_t)1 << from.fraction) - 1);
        const int up = (int)to.fraction - (int)from.fraction;
        return sign | infinity(to) | quiet(to) | (up >= 0 ? payload << up : payload >> -up);
    }
    if (is_infinite(from, x)) return sign | infinity(to);
    if (is_zero(from, x)) return sign;
    const number n = take_apart(from, x);
    return soft_round(to, n.sign, n.exponent, n.m, mode);
}

uint64_t soft_from_int(soft_format to, bool sign, uint64_t magnitude, unsigned mode) {
    return magnitude ? soft_round(to, sign, 0, magnitude, mode) : 0;
}
