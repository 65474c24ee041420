/* SPDX-License-Identifier: Apache-2.0
 *
 * What the NEON files share: stored floats as fp32 vectors, and the exponential. */
#ifndef NB_CPU_ARM_NEON_H
#define NB_CPU_ARM_NEON_H

#include <arm_neon.h>

#include "base/half.h"
#include "kernels/kernel.h"

static inline float32x4_t load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline float32x4_t load_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

/* 4 elements of an array of f32, f16 or bf16, from element i on. */
static inline float32x4_t load_stored(const void *data, dtype type, int64_t i) {
    if (type == DT_F32) return vld1q_f32((const float *)data + i);
    const uint16_t *halves = (const uint16_t *)data + i;
    return type == DT_F16 ? load_f16(halves) : load_bf16(halves);
}

/* e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; the Taylor series of e^r to r^7 / 7! is off by less than
 * 6e-9 of it. n ln 2 is taken off in two parts, the first short enough for an exact product. 0 where the result would
 * be below the normal numbers; above e^88 it stays there. A NaN stays one. */
static inline float32x4_t exp_4(float32x4_t x) {
    const float32x4_t least = vdupq_n_f32(-87.33654f);
    uint32x4_t tiny = vcltq_f32(x, least);
    x = vminq_f32(vmaxq_f32(x, least), vdupq_n_f32(88.0f));
    float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(0x1.715476p+0f)));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0x1.62e4p-1f));
    r = vfmsq_f32(r, n, vdupq_n_f32(0x1.7f7d1cp-20f));
    float32x4_t p = vdupq_n_f32(1.0f / 5040);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 720), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    float32x4_t e = vmulq_f32(p, vreinterpretq_f32_s32(power));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(e), tiny));
}

#endif
