/* SPDX-License-Identifier: Apache-2.0
 *
 * wgmma m64n32k16 of sm_90a: the four warps of a group multiply 64 rows of A, whose fragments lie in registers as
 * mma_nv.h says, rows 16 w and on of warp w, with 32 columns of B in shared memory. Products run while the warp does
 * other things: wgmma_begin in front of each group of them, wgmma_end behind it; the operands of a group, in registers
 * and shared memory, must not change before WGMMA_WAIT.
 *
 * B: [column][k], tiles of 64 k: a tile has 128 bytes of each column, its pieces of 16 bytes exchanged among each
 * other (wgmma_place), and begins at a multiple of 1024 bytes. */
#ifndef NB_GPU_KERNELS_WGMMA_H
#define NB_GPU_KERNELS_WGMMA_H

#include "gpu.h"

enum { WGMMA_COLUMNS = 32, WGMMA_TILE = WGMMA_COLUMNS * 128 };

/* Where piece `piece` of 16 bytes of a column begins. */
INLINE u32 wgmma_place(u32 column, u32 piece) {
    return piece / 8 * WGMMA_TILE + column * 128 + ((piece ^ column) % 8) * 16;
}

/* What the thread has written to shared memory, copies of its that have ended too, can be read by wgmma after a
 * barrier. */
INLINE void wgmma_written(void) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    __asm__ volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
INLINE void wgmma_begin(void) {
    __asm__ volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
INLINE void wgmma_end(void) {
    __asm__ volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* All groups but the n newest are done. */
#    define WGMMA_WAIT(n) __asm__ volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory")
/* s += A B, k from 16 `step` on of B. */
#    define WGMMA_ASM(type)                                                                                            \
        __asm__ volatile("{.reg .pred p; setp.ne.b32 p, 1, 0;\n\t"                                                     \
                         "wgmma.mma_async.sync.aligned.m64n32k16.f32." type "." type                                   \
                         " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "                   \
                         "{%16, %17, %18, %19}, %20, p, 1, 1, 0;}"                                                     \
                         : "+f"(s[0][0]), "+f"(s[0][1]), "+f"(s[0][2]), "+f"(s[0][3]), "+f"(s[1][0]), "+f"(s[1][1]),   \
                           "+f"(s[1][2]), "+f"(s[1][3]), "+f"(s[2][0]), "+f"(s[2][1]), "+f"(s[2][2]), "+f"(s[2][3]),   \
                           "+f"(s[3][0]), "+f"(s[3][1]), "+f"(s[3][2]), "+f"(s[3][3])                                  \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
/* What wgmma knows B by, its first 32 bits: address, and how far it is to the next tile, which does not count here. */
typedef u32 wgmma_b;
INLINE wgmma_b wgmma_of(const SHARED u8 *x) {
    return ((u32)(u64)x & 0x3ffff) >> 4 | 1 << 16;
}
INLINE void wgmma(float s[4][4], const u32 a[4], wgmma_b x, u32 step, bool bf16) {
    /* From one group of 8 columns to the next (1024 bytes); pieces exchanged as of 128 bytes. */
    const u64 b = (u64)(1u << 30 | 64) << 32 | (x + step / 4 * (WGMMA_TILE / 16) + step % 4 * 2);
    if (bf16)
        WGMMA_ASM("bf16");
    else
        WGMMA_ASM("f16");
}

#elif !defined(__NVPTX__) && !defined(__AMDGCN__)
INLINE void wgmma_begin(void) {}
INLINE void wgmma_end(void) {}
#    define WGMMA_WAIT(n) (void)(n)
typedef const SHARED u8 *wgmma_b;
INLINE wgmma_b wgmma_of(const SHARED u8 *x) {
    return x;
}
INLINE void wgmma(float s[4][4], const u32 a[4], wgmma_b x, u32 step, bool bf16) {
    const u32 g = lane_id() / 4, t = lane_id() % 4;
    u32 mine[4] = {a[0], a[1], a[2], a[3]}, all[WARP][4];
    warp_exchange(mine, all, sizeof mine);
    for (u32 i = 0; i < 16; i++)
        for (u32 k = 0; k < 16; k++) {
            const u32 column = i / 4 * 8 + 2 * t + i % 2, at = step * 16 + k;
            const u16 w = (u16)(all[4 * g + k % 8 / 2][i % 4 / 2 + k / 8 * 2] >> k % 2 * 16);
            const u16 v = ((const SHARED u16 *)(x + wgmma_place(column, at / 8)))[at % 8];
            s[i / 4][i % 4] += bf16 ? bf16_to_f32(w) * bf16_to_f32(v) : f16_to_f32(w) * f16_to_f32(v);
        }
}
#endif

#endif
