/* SPDX-License-Identifier: Apache-2.0
 *
 * The small operations on each token with NEON: the vectors of ops_tmpl.h and route_tmpl.h are 4 lanes. */
#include <math.h>

#include "cpu/arm/neon.h"

#define INSTRUCTIONS "neon"
#define NEEDS        CPU_NEON

static void rotate(const kcall *c, const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    (void)c; /* halves: rope_takes leaves pairs to others */
    int64_t i = 0;
    for (; i + 4 <= half; i += 4) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + half + i);
        float32x4_t cs = vld1q_f32(cosine + i), sn = vld1q_f32(sine + i);
        vst1q_f32(y + i, vfmsq_f32(vmulq_f32(a, cs), b, sn));
        vst1q_f32(y + half + i, vfmaq_f32(vmulq_f32(a, sn), b, cs));
    }
    for (; i < half; i++) {
        float a = x[i], b = x[half + i];
        y[i] = fmaf(-b, sine[i], a * cosine[i]);
        y[half + i] = fmaf(b, cosine[i], a * sine[i]);
    }
}

static void store_f16(const float *x, int64_t n, uint16_t *y) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

static void store_bf16(const float *x, int64_t n, uint16_t *y) {
    for (int64_t i = 0; i < n; i++) y[i] = f32_to_bf16(x[i]);
}

#include "cpu/ops_tmpl.h"
#include "cpu/route_tmpl.h"

static bool rope_takes(const krow *row, const kcall *c) {
    return takes_f32(row, c) && !c->interleaved;
}

static const krow rows[] = {
    ROW(rope, KOP_ROPE, rope_takes),
    COMMON_ROWS,
    ROUTE_ROWS,
};
const krow_table ops_neon_rows = KROW_TABLE(rows);
