/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact sums for the tests of arithmetic: one wide fixed-point integer holds any sum of products of any format, and is
 * rounded bit by bit. Slow and plain on purpose, and nothing of it is shared with what it judges. */
#ifndef NB_TESTS_GFX_EXACT_H
#define NB_TESTS_GFX_EXACT_H

#include <stdbool.h>
#include <stdint.h>

typedef unsigned __int128 u128;

typedef struct format {
    int fraction, exponent; /* bits */
} format;

static const format F16 = {10, 5}, BF16 = {7, 8}, F32 = {23, 8}, F64 = {52, 11};

typedef struct parts {
    bool negative, nan, signalling, infinite, zero, denormal;
    uint64_t m; /* value = m 2^e, for numbers */
    int e;
} parts;

parts take(format f, uint64_t bits);

uint64_t infinity_of(format f, bool negative);
uint64_t largest_of(format f, bool negative);
uint64_t zero_of(format f, bool negative);
uint64_t nan_of(format f); /* quiet, positive, no payload */
uint64_t quiet_of(format f, uint64_t nan);
uint64_t one_of(format f);

enum { EXACT_LIMBS = 76 };

/* Two's complement, of units of 2^-2400. */
typedef struct exact {
    uint64_t limb[EXACT_LIMBS];
} exact;

void exact_add(exact *x, bool negative, u128 m, int e); /* x += +-m 2^e */
int exact_sign(const exact *x);                         /* -1, 0, 1 */
/* x is not zero. mode: 0 to nearest even, 1 up, 2 down, 3 towards zero. */
uint64_t exact_round(const exact *x, format f, unsigned mode);

#endif
