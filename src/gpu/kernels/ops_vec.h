/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements of a matrix one by one or four at a time: kernels are written once for N = 1 and N = 4. Four need data and
 * rows at multiples of four elements. */
#ifndef NB_GPU_KERNELS_OPS_VEC_H
#define NB_GPU_KERNELS_OPS_VEC_H

#include "params.h"

INLINE f32x4 load_vec(const GLOBAL void *p, u32 type, i64 i, u32 n) {
    if (n == 1) return (f32x4){load_as_f32(p, type, i), 0, 0, 0};
    if (type == G_F32) return *(const GLOBAL f32x4 *)((const GLOBAL float *)p + i);
    const u32x2 h = *(const GLOBAL u32x2 *)((const GLOBAL u16 *)p + i);
    if (type == G_BF16)
        return (f32x4){as_f32(h.x << 16), as_f32(h.x & 0xffff0000), as_f32(h.y << 16), as_f32(h.y & 0xffff0000)};
    return (f32x4){f16_to_f32((u16)h.x), f16_to_f32((u16)(h.x >> 16)), f16_to_f32((u16)h.y),
                   f16_to_f32((u16)(h.y >> 16))};
}

INLINE u32 two_as_u32(u32 type, float a, float b) {
    return type == G_F16 ? f32_to_f16(a) | (u32)f32_to_f16(b) << 16 : f32_to_bf16(a) | (u32)f32_to_bf16(b) << 16;
}

INLINE void store_vec(GLOBAL void *p, u32 type, i64 i, u32 n, f32x4 v) {
    if (n == 1)
        store_from_f32(p, type, i, v.x);
    else if (type == G_F32)
        *(GLOBAL f32x4 *)((GLOBAL float *)p + i) = v;
    else
        *(GLOBAL u32x2 *)((GLOBAL u16 *)p + i) = (u32x2){two_as_u32(type, v.x, v.y), two_as_u32(type, v.z, v.w)};
}

INLINE f32x4 load_row(const gpu_mat *m, u32 row, u32 col, u32 n) {
    return load_vec(m->data, m->type, row * m->stride + col, n);
}
INLINE void store_row(const gpu_mat *m, u32 row, u32 col, u32 n, f32x4 v) {
    store_vec(m->data, m->type, row * m->stride + col, n, v);
}

#endif
