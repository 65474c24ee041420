/* SPDX-License-Identifier: Apache-2.0
 *
 * What attention asks of matrix units beyond mma.h: sums turned into an operand, an operand whose terms lie in rows of
 * shared memory, and which rows of a tile a lane holds sums of. */
#ifndef NB_GPU_KERNELS_ATTENTION_MMA_H
#define NB_GPU_KERNELS_ATTENTION_MMA_H

#include "attention_params.h"
#include "mma.h"

#if MMA_HAVE

/* Two numbers, rounded. */
INLINE u32 mma_pack(float low, float high, bool bf16) {
#    if defined(__NVPTX__)
    u32 r;
    if (bf16)
        __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    else
        __asm__("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
#    else
    return bf16 ? f32_to_bf16(low) | (u32)f32_to_bf16(high) << 16 : f32_to_f16(low) | (u32)f32_to_f16(high) << 16;
#    endif
}

/* A lane has sums of MMA_OWN rows, each of which is spread over MMA_ACROSS neighbouring lanes. */
#    if defined(__NVPTX__)
#        define MMA_OWN    2
#        define MMA_ACROSS 4
INLINE u32 mma_own(u32 i) {
    return i / 2 % 2;
}
INLINE u32 mma_own_row(u32 own) {
    return mma_row(2 * own);
}
#    else
#        define MMA_OWN    MMA_SUMS
#        define MMA_ACROSS 16
INLINE u32 mma_own(u32 i) {
    return i;
}
INLINE u32 mma_own_row(u32 own) {
    return mma_row(own);
}
#    endif

/* Shows the lanes of a warp what they have written to shared memory. */
INLINE void mma_warp_sync(void) {
#    if defined(__AMDGCN__)
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
#    elif !defined(__NVPTX__)
    shfl_xor(0, 1);
#    endif
}

/* Sums of a tile, rounded, as the left operand; `turn` is memory of this warp alone. */
INLINE void mma_x_of_sums(mma_x *x, const float s[MMA_SUMS], bool bf16, SHARED u16 *turn) {
#    if defined(__NVPTX__)
    (void)turn;
    UNROLL for (u32 i = 0; i < 4; i++) x->r[i] = mma_pack(s[2 * i], s[2 * i + 1], bf16);
#    else
    const u32 stride = ATTEND_TURN / 16;
    mma_warp_sync();
    UNROLL for (u32 i = 0; i < MMA_SUMS; i++) turn[mma_row(i) * stride + mma_col(i)] = (u16)mma_pack(s[i], 0, bf16);
    mma_warp_sync();
    mma_load_x(x, turn, stride);
#    endif
}

/* As mma_load_w of the transposed tile: columns lie side by side, terms at multiples of stride. */
INLINE void mma_load_w_turned(mma_w *f, const SHARED u16 *tile, u32 stride) {
    const u32 lane = lane_id();
#    if defined(__NVPTX__)
    __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(f->r[0]), "=r"(f->r[1]), "=r"(f->r[2]), "=r"(f->r[3])
                     : "r"((u32)(u64)(tile + lane % 16 * stride + lane / 16 * 8))
                     : "memory");
#    else
    /* Terms of column lane % 16, as many as the fragment holds; lanes beyond 16 hold further ones, or the same. */
    enum { TERMS = sizeof(mma_w) / 2 };
    u16 terms[TERMS];
    const u32 first = TERMS == 16 ? 0 : lane / 16 * TERMS;
    UNROLL for (u32 i = 0; i < TERMS; i++) terms[i] = tile[(first + i) * stride + lane % 16];
    __builtin_memcpy(f, terms, sizeof terms);
#    endif
}

#endif
#endif
