/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements of a matrix one by one or four at a time: kernels are written once for N = 1 and N = 4. Four need data and
 * rows at multiples of four elements. */
#ifndef NB_GPU_KERNELS_OPS_VEC_H
#define NB_GPU_KERNELS_OPS_VEC_H

#include "params.h"

/* n elements as they lie in memory, and what they stand for. */
INLINE u32x4 vec_bits(const GLOBAL void *p, u32 type, i64 i, u32 n) {
    if (n == 1) return (u32x4){load_bits(p, type, i), 0, 0, 0};
    if (type == G_F32) return *(const GLOBAL u32x4 *)((const GLOBAL u32 *)p + i);
    const u32x2 h = *(const GLOBAL u32x2 *)((const GLOBAL u16 *)p + i);
    return (u32x4){h.x, h.y, 0, 0};
}
INLINE f32x4 vec_of(u32x4 bits, u32 type, u32 n) {
    if (n == 1) return (f32x4){f32_of(bits.x, type), 0, 0, 0};
    if (type == G_F32) return __builtin_bit_cast(f32x4, bits);
    return (f32x4){f32_of_half(bits.x, type, false), f32_of_half(bits.x, type, true), f32_of_half(bits.y, type, false),
                   f32_of_half(bits.y, type, true)};
}
INLINE f32x4 load_vec(const GLOBAL void *p, u32 type, i64 i, u32 n) {
    return vec_of(vec_bits(p, type, i, n), type, n);
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

INLINE u32x4 row_bits(const gpu_mat *m, u32 row, u32 col, u32 n) {
    return vec_bits(m->data, m->type, row * m->stride + col, n);
}
INLINE f32x4 load_row(const gpu_mat *m, u32 row, u32 col, u32 n) {
    return load_vec(m->data, m->type, row * m->stride + col, n);
}
INLINE void store_row(const gpu_mat *m, u32 row, u32 col, u32 n, f32x4 v) {
    store_vec(m->data, m->type, row * m->stride + col, n, v);
}

#endif
