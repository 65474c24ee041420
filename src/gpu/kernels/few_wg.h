/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on the matrix units of sm_90a (few_stage.h, wgmma.h), which read x from shared memory by
 * themselves. Affine weights of 4 or 8 bits become f16 or bf16 in the fragments of A. A half of the block is a group
 * of four warps, which has half of the block's outputs, a tile of 64, and all of a step's terms: so sums[1] is not
 * used. */
#ifndef NB_GPU_KERNELS_FEW_WG_H
#define NB_GPU_KERNELS_FEW_WG_H

#include "dequant.h"
#include "wgmma.h"

#if defined(WGMMA_WAIT)

/* Constant at compilation. */
typedef struct few_form {
    dq_form dq;
    u32 tiles, group_size;
} few_form;
enum { FEW_TILES = 4 };

#    define FEW_WARPGROUPS 1
#    include "few_loop.h"

enum { AT_ONCE = 4 /* products of 16 terms */, TERMS = AT_ONCE * 16 };

/* The lane's row among the block's, or the one 8 further on. */
INLINE u32 wg_row(u32 half) {
    return row_of(warp_half(), half * 8 + lane_id() / 4);
}

INLINE few_shape few_shape_of(const few_part *p, few_form f) {
    (void)p;
    return few_wg_shape(f.dq.bits, f.group_size);
}

/* Scales or biases of the lane's rows. */
typedef struct wg_scales {
    u32 of[2][FEW_K / 32 / 2];
} wg_scales;
INLINE void wg_load_scales(wg_scales *to, const SHARED u8 *from, const few_shape *shape) {
    UNROLL for (u32 half = 0; half < 2; half++)
        few_load(to->of[half], from + wg_row(half) * shape->scale_bytes, shape->scale_bytes);
}
/* Of term `term` on, twice. */
INLINE u32 wg_scale(const wg_scales *s, few_form f, u32 half, u32 term) {
    const u32 group = term / f.group_size;
    return pick_bytes(s->of[half][group / 2], 0, group % 2 ? 0x3232 : 0x1010);
}

/* Fragments of AT_ONCE products, from term `first` on: of each 8 terms the lane takes two. */
INLINE void wg_fragments(u32 a[AT_ONCE][4], const few_stage *s, const few_shape *shape, const wg_scales *scales,
                         const wg_scales *biases, few_form f, u32 first, u32 offset) {
    const u32 t = lane_id() % 4, bits = f.dq.bits;
    UNROLL for (u32 half = 0; half < 2; half++) {
        u32 words[TERMS / 4];
        few_load(words, s->codes + wg_row(half) * shape->row_stride + first * bits / 8, TERMS * bits / 8);
        UNROLL for (u32 i = 0; i < TERMS / 8; i++) {
            const u32 *w = words + i * bits / 4, term = first + i * 8;
            const u32 codes = bits == 4 ? pick_bytes(w[0], w[0] >> 4, 0x4400 + t * 0x1111) & 0x000f000f
                                        : pick_bytes(w[0], w[1], 0x0100 + t * 0x0202) & 0x00ff00ff;
            const u32 exact = bits == 4 ? dq_less_offset(codes | offset, f.dq.bf16) : dq_integers(codes, 8, f.dq.bf16);
            a[i / 2][i % 2 * 2 + half] =
                dq_fma(exact, wg_scale(scales, f, half, term), wg_scale(biases, f, half, term), f.dq.bf16);
        }
    }
}

INLINE void few_multiply(few_sums sums, const few_stage *s, const few_shape *shape, few_form f, u32 types) {
    (void)types;
    /* Something that the compiler does not know (grids have no z) stays in a register, and is put in by the instruction
     * that masks the codes. */
    const u32 offset = (f.dq.bf16 ? DQ_OFFSET_BF16 : DQ_OFFSET_F16) + bid_z();
    const wgmma_b x = wgmma_of(s->x);
    u32 a[2][AT_ONCE][4];
    wg_scales scales, biases;
    wg_load_scales(&scales, s->scales, shape);
    wg_load_scales(&biases, s->biases, shape);
    UNROLL for (u32 i = 0; i < FEW_K / TERMS; i++) {
        if (i >= 2) WGMMA_WAIT(1);
        wg_fragments(a[i % 2], s, shape, &scales, &biases, f, i * TERMS, offset);
        wgmma_begin();
        UNROLL for (u32 j = 0; j < AT_ONCE; j++) wgmma(sums[0], a[i % 2][j], x, i * AT_ONCE + j, f.dq.bf16);
        wgmma_end();
    }
    WGMMA_WAIT(0);
}

/* Sums of a split go from the registers to where they belong. */
INLINE void wg_store(const few_part *part, const few_at *at, few_sums sums) {
    const qmv_part *p = &part->of;
    const u32 n = p->act ? p->n / 2 : p->n, rows = rows_of_matrix(p), token = at->token + lane_id() % 4 * 2;
    GLOBAL float *to = part->sums + ((u64)at->split * p->rows + token) * p->n;
    UNROLL for (u32 half = 0; half < 2; half++) {
        const u32 row = wg_row(half), output = at->block * rows + row % rows, column = output + (row < rows ? 0 : n);
        if (output >= n) continue;
        UNROLL for (u32 i = 0; i < FEW_TILES * 2; i++) {
            const u32 further = i / 2 * 8 + i % 2;
            if (token + further < p->rows) to[(u64)further * p->n + column] = sums[0][i / 2][half * 2 + i % 2];
        }
    }
}

INLINE void few_end(const struct few_params *all, const few_at *at, const few_shape *shape, few_form f, few_sums sums,
                    SHARED u8 *memory) {
    (void)f;
    if (all->part[at->part].sums) {
        wg_store(&all->part[at->part], at, sums);
        return;
    }
    SHARED float *together = (SHARED float *)memory;
    barrier();
    UNROLL for (u32 i = 0; i < FEW_TILES * 4; i++)
        together[(i / 4 * 8 + lane_id() % 4 * 2 + i % 2) * FEW_SUM_STRIDE + wg_row(i / 2 % 2)] = sums[0][i / 4][i % 4];
    barrier();
    few_finish(all, at, shape, together);
}

#    define FEW_WG_KERNEL(name, bits, group, bf16)                                                                     \
        KERNEL void name(struct few_params p) {                                                                        \
            few(&p, (few_form){{DQ_AFFINE, bits, bf16}, FEW_TILES, group});                                            \
        }
#    define FEW_WG_KERNELS(name, bits, group)                                                                          \
        FEW_WG_KERNEL(name##_##group##_f16, bits, group, false)                                                        \
        FEW_WG_KERNEL(name##_##group##_bf16, bits, group, true)
#else
#    define FEW_WG_KERNELS(name, bits, group)
#endif

#endif
