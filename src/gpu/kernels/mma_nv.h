/* SPDX-License-Identifier: Apache-2.0
 *
 * mma.sync m16n8k16 with bf16 operands and fp32 sums as NVIDIA's registers hold it, for kernels that fill the fragments
 * themselves; the host computes the same. Lane l is row or column g = l / 4 at t = l % 4: it holds of A the terms 2 t,
 * 2 t + 1 of rows g and g + 8, then terms 2 t + 8, 2 t + 9 of both; of B the terms 2 t, 2 t + 1 and 2 t + 8, 2 t + 9 of
 * column g; of the sums the columns 2 t, 2 t + 1 of row g, then of row g + 8. With bytes, m16n8k32, it holds four terms
 * where it holds two: 4 t to 4 t + 3, and 16 further on. */
#ifndef NB_GPU_KERNELS_MMA_NV_H
#define NB_GPU_KERNELS_MMA_NV_H

#include "gpu.h"

#if defined(__NVPTX__)
#    define MMA_NV 1
INLINE void mma_nv(float s[4], const u32 a[4], u32 b0, u32 b1) {
    __asm__("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* m16n8k32: A of bytes without a sign, B of bytes with one, sums of 32 bits. */
INLINE void mma_nv_u8(i32 s[4], const u32 a[4], u32 b0, u32 b1) {
    __asm__("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* v of lane i of the own four. */
INLINE float quad_from(float v, u32 i) {
    return __builtin_bit_cast(
        float, __nvvm_shfl_sync_idx_i32(-1, __builtin_bit_cast(int, v), (int)((lane_id() & ~3u) + i), 31));
}

#elif defined(__AMDGCN__)
#    define MMA_NV 0
#else
#    define MMA_NV 1
INLINE void in_order(void) {}
INLINE float mma_nv_half(u32 pair, u32 i) {
    return bf16_to_f32((u16)(pair >> 16 * i));
}
INLINE void mma_nv(float s[4], const u32 a[4], u32 b0, u32 b1) {
    struct operands {
        u32 a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}}, all[WARP];
    warp_exchange(&mine, all, sizeof mine);
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    for (u32 i = 0; i < 4; i++)
        for (u32 k = 0; k < 16; k++) {
            const struct operands *row = &all[4 * g + k % 8 / 2], *column = &all[4 * (2 * t + i % 2) + k % 8 / 2];
            s[i] += mma_nv_half(row->a[i / 2 + k / 8 * 2], k % 2) * mma_nv_half(column->b[k / 8], k % 2);
        }
}
INLINE void mma_nv_u8(i32 s[4], const u32 a[4], u32 b0, u32 b1) {
    struct operands {
        u32 a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}}, all[WARP];
    warp_exchange(&mine, all, sizeof mine);
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    for (u32 i = 0; i < 4; i++)
        for (u32 k = 0; k < 32; k++) {
            const u32 lane = k % 16 / 4, shift = k % 4 * 8;
            const struct operands *row = &all[4 * g + lane], *column = &all[4 * (2 * t + i % 2) + lane];
            s[i] += (i32)(row->a[i / 2 + k / 16 * 2] >> shift & 255) * (signed char)(column->b[k / 16] >> shift);
        }
}
INLINE float quad_from(float v, u32 i) {
    float all[WARP];
    warp_exchange(&v, all, sizeof v);
    return all[(lane_id() & ~3u) + i];
}
#endif

#endif
