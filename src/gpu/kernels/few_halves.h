/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with a weight that is dequantized to f16 or bf16, of which x is too (few_stage.h). Outputs are
 * the matrix unit's rows and tokens its columns. A lane's 32 codes of a row are consecutive; which terms of the unit's
 * product they are does not matter as long as x agrees. */
#ifndef NB_GPU_KERNELS_FEW_HALVES_H
#define NB_GPU_KERNELS_FEW_HALVES_H

#include "dequant.h"
#include "mma.h"

#if MMA_16X8

/* Constant at compilation. */
typedef struct few_form {
    dq_form dq;
    u32 tiles;
} few_form;
enum { FEW_TILES = 4 };

#    include "few_loop.h"

INLINE few_shape few_shape_of(const few_part *p, few_form f) {
    const u32 scale_bytes = f.dq.mode == DQ_AFFINE ? p->scale_bytes : f.dq.mode == DQ_NVFP4 ? 16 : 8;
    return few_halves_shape(f.dq.bits, scale_bytes, f.dq.mode == DQ_AFFINE, f.tiles * 8);
}

/* Terms 32 unit and on of a row. */
INLINE void halves_unit(dq_unit *to, const few_stage *s, const few_shape *shape, dq_form f, u32 row, u32 unit) {
    few_load(to->codes, s->codes + row * shape->row_stride + unit * f.bits * 4, f.bits * 4);
    const SHARED u8 *scales = s->scales + row * shape->scale_bytes;
    if (f.mode == DQ_AFFINE) {
        const u32 group = unit * (shape->scale_bytes / 2) / (FEW_K / 32);
        to->scale[0] = dq_twice(((const SHARED u16 *)scales)[group]);
        to->bias = dq_twice(((const SHARED u16 *)(s->biases + row * shape->scale_bytes))[group]);
    } else if (f.mode == DQ_NVFP4) {
        UNROLL for (u32 i = 0; i < 2; i++) to->scale[i] = scales[unit * 2 + i];
    } else {
        to->scale[0] = scales[unit];
    }
    dq_prepare(to, f);
}

INLINE void few_multiply(few_sums sums, const few_stage *s, const few_shape *shape, few_form f, u32 types) {
    (void)types;
    const u32 g = lane_id() / 4, unit = warp_half() * 4 + lane_id() % 4;
    dq_unit w[2][2];
    UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 half = 0; half < 2; half++)
        halves_unit(&w[r][half], s, shape, f.dq, row_of(r, half * 8 + g), unit);
    UNROLL for (u32 quarter = 0; quarter < 4; quarter++) {
        u32 a[2][2][4];
        UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 e = 0; e < 8; e++) a[r][e / 4][e % 4] =
            dq_pair(&w[r][e % 2], f.dq, quarter * 4 + e / 4 * 2 + e % 4 / 2);
        UNROLL for (u32 tile = 0; tile < f.tiles; tile++) {
            const u32x4 b =
                *(const SHARED u32x4 *)(s->x + (tile * 8 + g) * shape->x_stride + (quarter * 8 + unit) * 16);
            UNROLL for (u32 r = 0; r < 2; r++) {
                mma_16x8(sums[r][tile], a[r][0], b[0], b[1], f.dq.bf16);
                mma_16x8(sums[r][tile], a[r][1], b[2], b[3], f.dq.bf16);
            }
        }
    }
}

/* In tiles of 32 tokens. */
#    define FEW_KERNEL(name, mode, bits, bf16)                                                                         \
        KERNEL void name(struct few_params p) {                                                                        \
            few(&p, (few_form){{mode, bits, bf16}, 4});                                                                \
        }
#else
#    define FEW_KERNEL(name, mode, bits, bf16)
#endif

#endif
