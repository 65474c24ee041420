/* SPDX-License-Identifier: Apache-2.0
 *
 * Floating point in integers, one value at a time: every format, every rounding mode. The vectorized loops use the
 * host's arithmetic, which rounds to nearest even; all else comes here. */
#ifndef NB_TESTS_GFX_VALU_SOFT_H
#define NB_TESTS_GFX_VALU_SOFT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct soft_format {
    unsigned fraction, exponent; /* bits of each */
} soft_format;

static const soft_format SOFT_F16 = {10, 5}, SOFT_BF16 = {7, 8}, SOFT_F32 = {23, 8}, SOFT_F64 = {52, 11};

/* (-1)^sign m 2^exponent with m != 0, rounded; overflow gives infinity or, where the mode rounds towards zero, the
 * largest number. A set lowest bit of m may stand for any rest below it, if m has more bits than the format's. */
uint64_t soft_round(soft_format f, bool sign, int exponent, unsigned __int128 m, unsigned mode);

/* a b + c, rounded once. */
uint64_t soft_fma(soft_format f, uint64_t a, uint64_t b, uint64_t c, unsigned mode);
uint64_t soft_add(soft_format f, uint64_t a, uint64_t b, unsigned mode);
uint64_t soft_mul(soft_format f, uint64_t a, uint64_t b, unsigned mode);
/* (a b + c) 2^scale, rounded once. */
uint64_t soft_fma_scaled(soft_format f, uint64_t a, uint64_t b, uint64_t c, int scale, unsigned mode);

uint64_t soft_convert(soft_format from, soft_format to, uint64_t x, unsigned mode);
uint64_t soft_from_int(soft_format to, bool sign, uint64_t magnitude, unsigned mode);

#endif
