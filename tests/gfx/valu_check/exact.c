/* SPDX-License-Identifier: Apache-2.0
 *
 * The wide integer of exact.h. */
#include "gfx/valu_check/exact.h"

enum { UNIT = 2400, BITS = EXACT_LIMBS * 64 };

static uint64_t exponent_mask(format f) {
    return ((uint64_t)1 << f.exponent) - 1;
}

static int lowest_exponent(format f) {
    return 2 - (1 << (f.exponent - 1)) - f.fraction; /* of the smallest denormal: f32 -149 */
}

parts take(format f, uint64_t bits) {
    const uint64_t field = bits >> f.fraction & exponent_mask(f), m = bits & (((uint64_t)1 << f.fraction) - 1);
    parts p = {.negative = bits >> (f.fraction + f.exponent) & 1};
    if (field == exponent_mask(f)) {
        p.infinite = m == 0;
        p.nan = m != 0;
        p.signalling = p.nan && !(m >> (f.fraction - 1));
        return p;
    }
    p.zero = field == 0 && m == 0;
    p.denormal = field == 0 && m != 0;
    p.m = field ? m + ((uint64_t)1 << f.fraction) : m;
    p.e = lowest_exponent(f) + (field ? (int)field - 1 : 0);
    return p;
}

uint64_t zero_of(format f, bool negative) {
    return (uint64_t)negative << (f.fraction + f.exponent);
}

uint64_t infinity_of(format f, bool negative) {
    return zero_of(f, negative) + (exponent_mask(f) << f.fraction);
}

uint64_t largest_of(format f, bool negative) {
    return infinity_of(f, negative) - 1;
}

uint64_t nan_of(format f) {
    return quiet_of(f, infinity_of(f, false));
}

uint64_t quiet_of(format f, uint64_t nan) {
    return nan | (uint64_t)1 << (f.fraction - 1);
}

uint64_t one_of(format f) {
    return (exponent_mask(f) >> 1) << f.fraction;
}

void exact_add(exact *x, bool negative, u128 m, int e) {
    const int at = e + UNIT;
    uint64_t term[EXACT_LIMBS] = {0};
    for (int b = 0; b < 128; b++)
        if (m >> b & 1) term[(at + b) / 64] |= (uint64_t)1 << (at + b) % 64;
    unsigned carry = negative;
    for (int k = 0; k < EXACT_LIMBS; k++) {
        const u128 sum = (u128)x->limb[k] + (negative ? ~term[k] : term[k]) + carry;
        x->limb[k] = (uint64_t)sum;
        carry = (unsigned)(sum >> 64);
    }
}

int exact_sign(const exact *x) {
    if (x->limb[EXACT_LIMBS - 1] >> 63) return -1;
    for (int k = 0; k < EXACT_LIMBS; k++)
        if (x->limb[k]) return 1;
    return 0;
}

static bool bit(const exact *x, int b) {
    return b >= 0 && x->limb[b / 64] >> b % 64 & 1;
}

static bool any_below(const exact *x, int b) {
    for (int k = 0; k < b / 64; k++)
        if (x->limb[k]) return true;
    for (int i = b / 64 * 64; i < b; i++)
        if (bit(x, i)) return true;
    return false;
}

static int top_bit(const exact *x) {
    int k = EXACT_LIMBS - 1;
    while (!x->limb[k]) k--;
    int b = 63;
    while (!(x->limb[k] >> b & 1)) b--;
    return k * 64 + b;
}

uint64_t exact_round(const exact *x, format f, unsigned mode) {
    const bool negative = exact_sign(x) < 0;
    exact size = {{0}};
    if (negative) { /* 0 - x */
        unsigned carry = 1;
        for (int k = 0; k < EXACT_LIMBS; k++) {
            const u128 sum = (u128)~x->limb[k] + carry;
            size.limb[k] = (uint64_t)sum;
            carry = (unsigned)(sum >> 64);
        }
    } else {
        size = *x;
    }
    const int top = top_bit(&size), smallest = lowest_exponent(f) + UNIT;
    int last = top - f.fraction; /* the bit of the result's unit */
    if (last < smallest) last = smallest;
    uint64_t kept = 0;
    for (int b = top; b >= last; b--) kept = kept << 1 | bit(&size, b);
    const bool half = bit(&size, last - 1), rest = any_below(&size, last - 1);
    if (mode == 0 && half && (rest || kept & 1)) kept++;
    if (mode == (negative ? 2u : 1u) && (half || rest)) kept++;
    if (kept >> (f.fraction + 1)) kept >>= 1, last++;
    const uint64_t field = kept >> f.fraction ? (uint64_t)(last - smallest + 1) : 0;
    if (field >= exponent_mask(f)) {
        const bool stays = mode == 3 || mode == (negative ? 1u : 2u);
        return stays ? largest_of(f, negative) : infinity_of(f, negative);
    }
    const uint64_t fraction = kept & (((uint64_t)1 << f.fraction) - 1);
    return zero_of(f, negative) | field << f.fraction | fraction;
}
