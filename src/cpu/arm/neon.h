/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 4 floats with NEON, by the names that the bodies of src/cpu for any width use. */
#ifndef NB_CPU_ARM_NEON_H
#define NB_CPU_ARM_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernel.h"

enum { LANES = 4 };
typedef float32x4_t vfloat;
typedef int32x4_t vint;
typedef uint32x4_t vmask;

#define v_load              vld1q_f32
#define v_store             vst1q_f32
#define v_set1              vdupq_n_f32
#define v_add               vaddq_f32
#define v_sub               vsubq_f32
#define v_mul               vmulq_f32
#define v_div               vdivq_f32
#define v_min               vminq_f32
#define v_max               vmaxq_f32
#define v_fma(a, b, c)      vfmaq_f32(c, a, b)
#define v_first(a)          vgetq_lane_f32(a, 0)
#define v_sum               vaddvq_f32
#define v_largest           vmaxvq_f32
#define v_neg               vnegq_f32
#define v_abs               vabsq_f32
#define v_round             vrndnq_f32
#define v_less              vcltq_f32
#define v_blend(m, yes, no) vbslq_f32(m, yes, no)
#define v_add_int           vaddq_s32
#define v_sum_int           vaddvq_s32

/* |a| with the sign of b, for a >= 0. */
static inline vfloat v_with_sign(vfloat a, vfloat b) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), b, a);
}
static inline vfloat v_power(vfloat n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline vfloat v_and_not(vmask mask, vfloat a) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), mask));
}
/* The sums of 4 vectors. */
static inline void v_sum4(const vfloat a[4], float out[4]) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3])));
}

/* a[v] lane i holds element v * LANES + i of an array of fours; makes it a[j] lane i = element j of four i. */
static inline void v_turn4(vfloat a[4]) {
    float32x4_t p = vuzp1q_f32(a[0], a[1]), q = vuzp1q_f32(a[2], a[3]); /* elements 0 and 2 in turn */
    float32x4_t r = vuzp2q_f32(a[0], a[1]), s = vuzp2q_f32(a[2], a[3]); /* 1 and 3 */
    a[0] = vuzp1q_f32(p, q), a[1] = vuzp1q_f32(r, s);
    a[2] = vuzp2q_f32(p, q), a[3] = vuzp2q_f32(r, s);
}

/* The first n lanes, n in [0, LANES]; the others are 0. */
static inline vfloat v_load_part(const float *p, int n) {
    if (n == LANES) return vld1q_f32(p);
    float part[LANES] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vld1q_f32(part);
}
static inline void v_store_part(float *p, int n, vfloat a) {
    float part[LANES];
    vst1q_f32(part, a);
    if (n == LANES)
        vst1q_f32(p, a);
    else
        memcpy(p, part, (size_t)n * sizeof *p);
}

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

#include "cpu/vec_math.h"

#endif
