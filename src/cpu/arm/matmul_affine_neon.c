/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL of affine weights with the NEON of every 64-bit Arm: the dot product of 4 bytes is two widening products and
 * pairwise sums. The integers are the same as with the dot product instructions, so the results are too. */
#include <arm_neon.h>

#define INSTRUCTIONS "neon"
#define ITS_RANK     20
#define ITS_NEEDS    CPU_NEON

/* x: the 4 bytes in every lane. A product is at most 128 * 128, so 16 bits hold it. */
static inline int32x4_t dot_bytes(int32x4_t sum, int8x16_t codes, int8x16_t x) {
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(x)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(codes, x));
    return vaddq_s32(sum, vpaddq_s32(low, high));
}

#define dot_step(sum, codes, x, step)                                                                                  \
    dot_bytes(sum, codes, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), step)))

#include "cpu/arm/matmul_affine_tmpl.h"

const krow_table matmul_affine_neon_rows = KROW_TABLE(rows);
