/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of 16 x 16 x 16 tiles of f16 or bf16 with fp32 sums, on whatever matrix unit the target has. A warp holds a
 * fragment of x (16 rows, 16 terms), one of w (16 columns, 16 terms) and the sums of a tile; both operands lie in
 * shared memory with the terms side by side, rows at multiples of 16 bytes. Which sums a lane holds say mma_row and
 * mma_col. */
#ifndef NB_GPU_KERNELS_MMA_H
#define NB_GPU_KERNELS_MMA_H

#include <stdbool.h>

#include "gpu.h"

#if defined(__NVPTX__)
#    define MMA_HAVE 1
#    define MMA_SUMS 8
typedef struct mma_x {
    u32 r[4];
} mma_x;
typedef struct mma_w {
    u32 r[4];
} mma_w;

INLINE void ldmatrix(u32 r[4], const SHARED u16 *p) {
    __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"((u32)(u64)p)
                     : "memory");
}
INLINE void mma_load_x(mma_x *f, const SHARED u16 *tile, u32 stride) {
    const u32 lane = lane_id();
    ldmatrix(f->r, tile + lane % 16 * stride + lane / 16 * 8);
}
INLINE void mma_load_w(mma_w *f, const SHARED u16 *tile, u32 stride) {
    const u32 lane = lane_id();
    ldmatrix(f->r, tile + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
}
/* The unit's own product: of 16 rows and 8 columns. Lane l holds in x terms 2 (l % 4) and the next of row l / 4 and of
 * the row 8 below, then terms 8 further of both; in w0 the first two terms of column l / 4, in w1 the others; and sums
 * (l / 4, 2 (l % 4)), the next column's, and both of the row 8 below. */
#    define MMA_16X8 1
INLINE void mma_16x8(float *s, const u32 x[4], u32 w0, u32 w1, bool bf16) {
    if (bf16)
        __asm__("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                "{%0, %1, %2, %3};"
                : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
                : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
    else
        __asm__("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                "{%0, %1, %2, %3};"
                : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
                : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
}
INLINE void mma(float s[MMA_SUMS], const mma_x *x, const mma_w *w, bool bf16) {
    mma_16x8(s, x->r, w->r[0], w->r[1], bf16);
    mma_16x8(s + 4, x->r, w->r[2], w->r[3], bf16);
}
INLINE u32 mma_row(u32 i) {
    return lane_id() / 4 + i / 2 % 2 * 8;
}
INLINE u32 mma_col(u32 i) {
    return lane_id() % 4 * 2 + i % 2 + i / 4 * 8;
}

#elif defined(__AMDGCN__) && (defined(__GFX11__) || defined(__GFX12__))
#    define MMA_HAVE 1
#    define MMA_SUMS 8
/* A lane holds the terms of one row: RDNA 3 all 16 of them, both halves of the warp the same; RDNA 4 8 in each half. */
#    if defined(__GFX11__)
#        define MMA_TERMS 16
#    else
#        define MMA_TERMS 8
#    endif
typedef _Float16 mma_f16s __attribute__((ext_vector_type(MMA_TERMS)));
typedef short mma_i16s __attribute__((ext_vector_type(MMA_TERMS)));
typedef float mma_sums __attribute__((ext_vector_type(8)));
typedef struct mma_x {
    u32x4 r[MMA_TERMS / 8];
} mma_x;
typedef mma_x mma_w;

INLINE void mma_load_x(mma_x *f, const SHARED u16 *tile, u32 stride) {
    const SHARED u16 *p = tile + lane_id() % 16 * stride;
#    if MMA_TERMS == 8
    p += lane_id() / 16 * 8;
#    endif
    UNROLL for (u32 i = 0; i < MMA_TERMS / 8; i++) f->r[i] = *(const SHARED u32x4 *)(p + 8 * i);
}
INLINE void mma_load_w(mma_w *f, const SHARED u16 *tile, u32 stride) {
    mma_load_x(f, tile, stride);
}
INLINE void mma(float s[MMA_SUMS], const mma_x *x, const mma_w *w, bool bf16) {
    mma_sums c;
    UNROLL for (u32 i = 0; i < 8; i++) c[i] = s[i];
#    if defined(__GFX11__)
    c = bf16 ? __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(mma_i16s, *x),
                                                           __builtin_bit_cast(mma_i16s, *w), c)
             : __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(mma_f16s, *x),
                                                          __builtin_bit_cast(mma_f16s, *w), c);
#    else
    c = bf16 ? __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(__builtin_bit_cast(mma_i16s, *x),
                                                                 __builtin_bit_cast(mma_i16s, *w), c)
             : __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(__builtin_bit_cast(mma_f16s, *x),
                                                                __builtin_bit_cast(mma_f16s, *w), c);
#    endif
    UNROLL for (u32 i = 0; i < 8; i++) s[i] = c[i];
}
INLINE u32 mma_row(u32 i) {
#    if defined(__GFX11__)
    return 2 * i + lane_id() / 16;
#    else
    return i + lane_id() / 16 * 8;
#    endif
}
INLINE u32 mma_col(u32 i) {
    (void)i;
    return lane_id() % 16;
}

#elif defined(__AMDGCN__) && (defined(__gfx90a__) || defined(__gfx942__) || defined(__gfx950__))
#    define MMA_HAVE 1
#    define MMA_SUMS 4
typedef _Float16 mma_f16s __attribute__((ext_vector_type(4)));
typedef short mma_i16s __attribute__((ext_vector_type(4)));
typedef struct mma_x {
    u32x2 r;
} mma_x;
typedef mma_x mma_w;

INLINE void mma_load_x(mma_x *f, const SHARED u16 *tile, u32 stride) {
    f->r = *(const SHARED u32x2 *)(tile + lane_id() % 16 * stride + lane_id() / 16 * 4);
}
INLINE void mma_load_w(mma_w *f, const SHARED u16 *tile, u32 stride) {
    mma_load_x(f, tile, stride);
}
INLINE void mma(float s[MMA_SUMS], const mma_x *x, const mma_w *w, bool bf16) {
    f32x4 c = {s[0], s[1], s[2], s[3]};
    c = bf16 ? __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(mma_i16s, x->r),
                                                         __builtin_bit_cast(mma_i16s, w->r), c, 0, 0, 0)
             : __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(mma_f16s, x->r),
                                                     __builtin_bit_cast(mma_f16s, w->r), c, 0, 0, 0);
    UNROLL for (u32 i = 0; i < 4; i++) s[i] = c[i];
}
INLINE u32 mma_row(u32 i) {
    return lane_id() / 16 * 4 + i;
}
INLINE u32 mma_col(u32 i) {
    (void)i;
    return lane_id() % 16;
}

#elif defined(__AMDGCN__)
#    define MMA_HAVE 0
#else
/* ---- The host: laid out as on CDNA ------------------------------------------- */
#    define MMA_HAVE 1
#    define MMA_SUMS (256 / WARP)
#    define MMA_EACH (256 / WARP) /* terms of a row that a lane holds */
/* Lane l holds terms l / 16 * MMA_EACH and on of row l % 16. */
typedef struct mma_x {
    u16 r[MMA_EACH];
} mma_x;
typedef mma_x mma_w;

INLINE void mma_load_x(mma_x *f, const SHARED u16 *tile, u32 stride) {
    for (u32 i = 0; i < MMA_EACH; i++) f->r[i] = tile[lane_id() % 16 * stride + lane_id() / 16 * MMA_EACH + i];
}
INLINE void mma_load_w(mma_w *f, const SHARED u16 *tile, u32 stride) {
    mma_load_x(f, tile, stride);
}
INLINE u32 mma_row(u32 i) {
    return lane_id() / 16 * MMA_EACH + i;
}
INLINE u32 mma_col(u32 i) {
    (void)i;
    return lane_id() % 16;
}
INLINE void mma(float s[MMA_SUMS], const mma_x *x, const mma_w *w, bool bf16) {
    struct both {
        mma_x x;
        mma_w w;
    } mine = {*x, *w}, all[WARP];
    warp_exchange(&mine, all, sizeof mine);
    for (u32 i = 0; i < MMA_SUMS; i++)
        for (u32 k = 0; k < 16; k++) {
            const u16 a = all[mma_row(i) + k / MMA_EACH * 16].x.r[k % MMA_EACH];
            const u16 b = all[mma_col(i) + k / MMA_EACH * 16].w.r[k % MMA_EACH];
            s[i] += bf16 ? bf16_to_f32(a) * bf16_to_f32(b) : f16_to_f32(a) * f16_to_f32(b);
        }
}
#    if WARP == 32
#        define MMA_16X8 1
INLINE void mma_16x8(float *s, const u32 x[4], u32 w0, u32 w1, bool bf16) {
    u32 mine[6] = {x[0], x[1], x[2], x[3], w0, w1}, all[WARP][6];
    warp_exchange(mine, all, sizeof mine);
    for (u32 i = 0; i < 4; i++)
        for (u32 k = 0; k < 16; k++) {
            const u32 row = lane_id() / 4, col = lane_id() % 4 * 2 + i % 2, at = k % 8 / 2, shift = k % 2 * 16;
            const u16 a = (u16)(all[row * 4 + at][i / 2 + k / 8 * 2] >> shift);
            const u16 b = (u16)(all[col * 4 + at][4 + k / 8] >> shift);
            s[i] += bf16 ? bf16_to_f32(a) * bf16_to_f32(b) : f16_to_f32(a) * f16_to_f32(b);
        }
}
#    endif
#endif

#ifndef MMA_16X8
#    define MMA_16X8 0
#endif

/* The sums are needed here, and loads that stand behind stay there: left alone, RDNA's compiler loads the fragments of
 * a whole tile ahead, for which there are no registers. */
INLINE void mma_settle(float s[MMA_SUMS]) {
#if defined(__GFX11__) || defined(__GFX12__)
    UNROLL for (u32 i = 0; i < MMA_SUMS; i++) __asm__ volatile("" : "+v"(s[i]));
#else
    (void)s;
#endif
}

#endif
