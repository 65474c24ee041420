/* SPDX-License-Identifier: Apache-2.0
 *
 * QUANTIZE, RMSNORM and ACT_MUL with NEON: the vectors of activations_tmpl.h are 4 lanes. */
#include "cpu/arm/neon.h"
#include "quant/xform.h"

#define INSTRUCTIONS "neon"
#define NEEDS        CPU_NEON

static uint32_t largest_bits(const float *x, int64_t n) {
    uint32x4_t most = vdupq_n_u32(0);
    for (int64_t j = 0; j < n; j += 4) most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + j))));
    return vmaxvq_u32(most);
}

/* 16 columns of a block. */
static int32x4_t quantize_half(const float *x, float inverse, int8_t *to) {
    uint8x16x4_t bytes;
    int32x4_t total = vdupq_n_s32(0);
    for (int i = 0; i < 4; i++) {
        int32x4_t q = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse));
        total = vaddq_s32(total, q);
        bytes.val[i] = vreinterpretq_u8_s32(vaddq_s32(q, vdupq_n_s32(0x8080)));
    }
    const uint8x16_t every_4th = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60};
    for (int plane = 0; plane < XFORM_PLANES; plane++) {
        uint8x16_t p = vqtbl4q_u8(bytes, vaddq_u8(every_4th, vdupq_n_u8((uint8_t)(2 - plane))));
        if (plane > 0) p = veorq_u8(p, vdupq_n_u8(0x80));
        vst1q_s8(to + plane * XFORM_BLOCK, vreinterpretq_s8_u8(p));
    }
    return total;
}

static int32x4_t quantize_block(const float *x, float inverse, int8_t *to) {
    enum { HALF = XFORM_BLOCK / 2 };
    return vaddq_s32(quantize_half(x, inverse, to), quantize_half(x + HALF, inverse, to + HALF));
}

#include "cpu/activations_tmpl.h"

const krow_table activations_neon_rows = KROW_TABLE(rows);
