/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 16 tokens with affine weights of 4 or 8 bits on NVIDIA's matrix units for integers (few_stage.h). x
 * comes in the form of quant/xform.h: integers of three signed bytes with a scale for each group, so that codes are
 * multiplied as they are stored, a group's sums are exact, and a token is as exact as it is alone. */
#ifndef NB_GPU_KERNELS_FEW_INTS_H
#define NB_GPU_KERNELS_FEW_INTS_H

#include "mma_nv.h"

#if MMA_NV

/* Constant at compilation. */
typedef struct few_form {
    u32 bits, group_size, tiles;
} few_form;
enum { FEW_TILES = 2 };

#    include "few_loop.h"

INLINE few_shape few_shape_of(const few_part *p, few_form f) {
    (void)p;
    return few_ints_shape(f.bits, f.group_size, f.tiles * 8);
}

enum { PLANES = 3, PRODUCTS_MOST = 4, LANE_WORDS_MOST = 8 };

/* Fragments of the warp's two tiles of 16 outputs: product m of a group takes 8 of the lane's terms, the even ones of
 * a 4-bit word in front of the odd ones. */
INLINE void ints_codes(u32 a[2][PRODUCTS_MOST][4], const few_stage *s, const few_shape *shape, few_form f, u32 group) {
    const u32 g = lane_id() / 4, t = lane_id() % 4, bytes = f.group_size * f.bits / 32;
    UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 half = 0; half < 2; half++) {
        u32 words[LANE_WORDS_MOST];
        few_load(words, s->codes + row_of(r, half * 8 + g) * shape->row_stride + (group * 4 + t) * bytes, bytes);
        UNROLL for (u32 m = 0; m < f.group_size / 32; m++) {
            a[r][m][half] = f.bits == 4 ? words[m] & 0x0f0f0f0f : words[2 * m];
            a[r][m][2 + half] = f.bits == 4 ? words[m] >> 4 & 0x0f0f0f0f : words[2 * m + 1];
        }
    }
}

/* The lane's terms of a group of a token: a plane's bytes, in the order of ints_codes. */
INLINE void ints_x(u32 b[PRODUCTS_MOST][2], const SHARED u8 *token, few_form f, u32 group, u32 plane) {
    const u32 each = f.group_size / 4, first = group * f.group_size + lane_id() % 4 * each;
    u32 words[LANE_WORDS_MOST];
    few_load(words, token + first / 32 * (32 * PLANES) + plane * 32 + first % 32, each);
    UNROLL for (u32 m = 0; m < f.group_size / 32; m++) UNROLL for (u32 i = 0; i < 2; i++) b[m][i] =
        f.bits == 4 ? pick_bytes(words[2 * m], words[2 * m + 1], i ? 0x7531 : 0x6420) : words[2 * m + i];
}

/* Scales or biases of a group: of the lane's rows g and g + 8 of both tiles. */
INLINE void ints_of_rows(float to[2][2], const SHARED u8 *from, const few_shape *shape, u32 type, u32 group) {
    UNROLL for (u32 r = 0; r < 4; r++) {
        const u32 row = row_of(r / 2, r % 2 * 8 + lane_id() / 4);
        const u16 h = ((const SHARED u16 *)(from + row * shape->scale_bytes))[group];
        to[r / 2][r % 2] = type == G_F16 ? f16_to_f32(h) : bf16_to_f32(h);
    }
}

INLINE void ints_group(few_sums sums, const few_stage *s, const few_shape *shape, few_form f, u32 type, u32 group) {
    u32 a[2][PRODUCTS_MOST][4];
    float scales[2][2], biases[2][2];
    ints_codes(a, s, shape, f, group);
    ints_of_rows(scales, s->scales, shape, type, group);
    ints_of_rows(biases, s->biases, shape, type, group);
    UNROLL for (u32 tile = 0; tile < f.tiles; tile++) {
        i32 c[PLANES][2][4] = {{{0}}};
        const SHARED u8 *token = s->x + (tile * 8 + lane_id() / 4) * shape->x_stride;
        UNROLL for (u32 plane = 0; plane < PLANES; plane++) {
            u32 b[PRODUCTS_MOST][2];
            ints_x(b, token, f, group, plane);
            UNROLL for (u32 m = 0; m < f.group_size / 32; m++) UNROLL for (u32 r = 0; r < 2; r++)
                mma_nv_u8(c[plane][r], a[r][m], b[m][0], b[m][1]);
        }
        UNROLL for (u32 i = 0; i < 2; i++) { /* of the lane's two tokens */
            const u32 at = (tile * 8 + lane_id() % 4 * 2 + i) * (FEW_K / f.group_size) + group;
            const float x_scale = ((const SHARED float *)s->x_scales)[at],
                        x_sum = ((const SHARED float *)s->x_sums)[at];
            UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 half = 0; half < 2; half++) {
                const u32 e = 2 * half + i;
                const float high = (float)(c[0][r][e] * 256 + c[1][r][e]);
                const float sum = x_scale * __builtin_fmaf(high, 256, (float)c[2][r][e]);
                const float scaled = __builtin_fmaf(scales[r][half], sum, sums[r][tile][e]);
                sums[r][tile][e] = __builtin_fmaf(biases[r][half], x_sum, scaled);
            }
        }
    }
}

INLINE void few_multiply(few_sums sums, const few_stage *s, const few_shape *shape, few_form f, u32 types) {
    const u32 type = QMV_TYPE(types, QMV_SCALE), groups = FEW_K / f.group_size / 2, first = warp_half() * groups;
    if (f.tiles == 1)
        UNROLL for (u32 group = 0; group < groups; group++) ints_group(sums, s, shape, f, type, first + group);
    else
        ROLLED for (u32 group = 0; group < groups; group++) ints_group(sums, s, shape, f, type, first + group);
}

#    define INTS_KERNEL(kernel, bits, group_size, tiles)                                                               \
        KERNEL void kernel(struct few_params p) {                                                                      \
            few(&p, (few_form){bits, group_size, tiles});                                                              \
        }
/* In tiles of 8 and 16 tokens. */
#    define INTS_KERNELS(name, bits, group_size)                                                                       \
        INTS_KERNEL(name##_8, bits, group_size, 1)                                                                     \
        INTS_KERNEL(name##_16, bits, group_size, 2)
#else
#    define INTS_KERNELS(name, bits, group_size)
#endif

#endif
