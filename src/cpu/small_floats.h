/* SPDX-License-Identifier: Apache-2.0
 *
 * The small floats of microscaling weights as fp32 (OCP Microscaling Formats 1.0; OCP FP8 1.0). */
#ifndef NB_CPU_SMALL_FLOATS_H
#define NB_CPU_SMALL_FLOATS_H

#include <math.h>

#include "base/half.h"

/* e2m1 of each code. */
#define E2M1_VALUES                                                                                                    \
    0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f

/* e4m3 of each code: with e > 0 (8 + m) 2^(e - 10), else m 2^-9; the last of each sign is NaN. */
#define E4M3_SIZE(c) ((float)(((c) >> 3 ? 8 : 0) + ((c)&7)) * (float)(1 << ((c) >> 3 ? ((c) >> 3) - 1 : 0)) / 512)
#define E4M3(c)      (((c)&127) == 127 ? NAN : ((c)&128) ? -E4M3_SIZE((c)&127) : E4M3_SIZE((c)&127))
#define E4M3_4(c)    E4M3(c), E4M3((c) + 1), E4M3((c) + 2), E4M3((c) + 3)
#define E4M3_16(c)   E4M3_4(c), E4M3_4((c) + 4), E4M3_4((c) + 8), E4M3_4((c) + 12)
#define E4M3_64(c)   E4M3_16(c), E4M3_16((c) + 16), E4M3_16((c) + 32), E4M3_16((c) + 48)
static const float e4m3_values[256] = {E4M3_64(0), E4M3_64(64), E4M3_64(128), E4M3_64(192)};

static inline float e4m3_to_f32(uint8_t c) {
    return e4m3_values[c];
}

/* 2^(s - 127), which is no normal number for s = 0; NaN for 255. */
static inline float e8m0_to_f32(uint8_t s) {
    return f32_from_bits((s > 0 ? (uint32_t)s << 23 : 1u << 22) | (s == 255 ? 1u << 22 : 0));
}

#endif
