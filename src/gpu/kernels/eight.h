/* SPDX-License-Identifier: Apache-2.0
 *
 * Eight neighbouring elements of a row of floats: read with as few loads as can be, turned into fp32 when they are
 * needed. */
#ifndef NB_GPU_KERNELS_EIGHT_H
#define NB_GPU_KERNELS_EIGHT_H

#include "gpu.h"

/* Eight elements from column j on, a multiple of 8. */
typedef struct eight {
    float v[8];
} eight;

/* As they lie in memory: f32 in both, 16-bit numbers in the first. */
typedef struct eight_raw {
    u32x4 a, b;
} eight_raw;
/* From a multiple of 16 bytes on. */
INLINE void eight_read(eight_raw *raw, const GLOBAL u8 *p, u32 type, u64 j) {
    const GLOBAL u32x4 *at = (const GLOBAL u32x4 *)(p + (type == G_F32 ? 4 : 2) * j);
    raw->a = at[0];
    if (type == G_F32) raw->b = at[1];
}
/* The i-th of them; type and i are better constants. */
INLINE float eight_at(const eight_raw *raw, u32 type, u32 i) {
    if (type == G_F32) return as_f32(i < 4 ? raw->a[i % 4] : raw->b[i % 4]);
    return f32_of_half(raw->a[i / 2], type, i % 2);
}
INLINE void eight_of(eight *e, const eight_raw *raw, u32 type) {
    UNROLL for (u32 i = 0; i < 8; i++) e->v[i] = eight_at(raw, type, i);
}
INLINE float eight_sum(const eight *e) {
    const float *v = e->v;
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}
INLINE void eight_load(eight *e, const GLOBAL u8 *p, u32 type, u64 j) {
    eight_raw raw;
    if (type == G_F32) {
        eight_read(&raw, p, G_F32, j);
        eight_of(e, &raw, G_F32);
    } else {
        eight_read(&raw, p, G_BF16, j);
        eight_of(e, &raw, type);
    }
}
/* At any address. */
INLINE void eight_load_any(eight *e, const GLOBAL u8 *p, u32 type, u64 j) {
    if (((u64)p + (type == G_F32 ? 4 : 2) * j) % 16 == 0)
        eight_load(e, p, type, j);
    else
        UNROLL for (u32 i = 0; i < 8; i++) e->v[i] = load_any(p, type, (i64)(j + i));
}

#endif
