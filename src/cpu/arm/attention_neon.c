/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION with NEON: the vectors of attention_tmpl.h are 4 lanes. */
#include "cpu/arm/neon.h"

static inline vmask v_between(int lo, int hi, int first) {
    static const int32_t count[4] = {0, 1, 2, 3};
    int32x4_t i = vaddq_s32(vdupq_n_s32(first), vld1q_s32(count));
    return vandq_u32(vcgeq_s32(i, vdupq_n_s32(lo)), vcltq_s32(i, vdupq_n_s32(hi)));
}

static inline void dot8(const float *q, const float *k, int64_t dim, float *out) {
    float32x4_t a[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) a[i] = vdupq_n_f32(0);
    for (int64_t d = 0; d < dim; d += LANES) {
        float32x4_t x = vld1q_f32(q + d);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) a[i] = vfmaq_f32(a[i], x, vld1q_f32(k + i * dim + d));
    }
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3])));
    vst1q_f32(out + 4, vpaddq_f32(vpaddq_f32(a[4], a[5]), vpaddq_f32(a[6], a[7])));
}

#include "cpu/attention_tmpl.h"

static const krow rows[] = {ATTENTION_ROW("neon", 20, CPU_NEON)};
const krow_table attention_neon_rows = KROW_TABLE(rows);
