/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of few_ints.h, few_halves.h and few_sum.c: products of few tokens, whose operands stream through shared
 * memory. */
#ifndef NB_GPU_KERNELS_FEW_PARAMS_H
#define NB_GPU_KERNELS_FEW_PARAMS_H

#include "qmv_params.h"

enum {
    FEW_K = 256,       /* terms of a step */
    FEW_THREADS = 256, /* two blocks on each processor */
    FEW_ROWS = 128,    /* outputs of a block, 32 for two warps, which share the terms */
    FEW_STAGES = 4,    /* steps that shared memory holds at most */
    FEW_SUM_THREADS = 256
};

/* A product. Of `of` what says how x is staged does not count, but for x itself, where its first token's elements lie;
 * blocks: of outputs. Only products whose parts agree up to `of` can be joined: a launch has one way to use its shared
 * memory. */
typedef struct few_part {
    u32 scale_bytes, stages; /* of a row's scales in a step, 4, 8 or 16; steps in shared memory, 1 to 4 */
    qmv_part of;
    GLOBAL float *sums;        /* of the splits: [splits, tokens, n]; one split: NULL */
    const GLOBAL u8 *x_scales; /* of the form: scales, then sums, fp32 [tokens, k / group size] each */
    u32 x_row;                 /* bytes from token to token */
    u32 splits;                /* of the terms */
} few_part;

struct few_params {
    gpu_parts parts; /* first: in units: blocks of outputs, tiles of tokens, splits of terms */
    few_part part[GPU_KERNEL_PARTS];
};

/* What lies in shared memory, in bytes: of a row of the weight codes (stride: to the next row) and scales; of a token
 * elements and scales. */
typedef struct few_shape {
    u32 tokens; /* of a tile */
    u32 row_bytes, row_stride, scale_bytes, biases /* 0 or 1 */;
    u32 x_bytes, x_stride, x_scale_bytes;
    u32 x_places; /* of a token's pieces of 16 bytes: FEW_X_... */
} few_shape;
enum {
    FEW_X_AS_IS,
    FEW_X_QUARTERS, /* [quarter of 32 terms][unit of 32 terms], so that the units of a warp's half lie side by side */
    FEW_X_TILES     /* as wgmma.h wants it */
};

static inline u32 few_stage_bytes(const few_shape *s) {
    const u32 bytes = FEW_ROWS * (s->row_stride + (1 + s->biases) * s->scale_bytes) +
                      s->tokens * (s->x_stride + 2 * s->x_scale_bytes);
    return s->x_places == FEW_X_TILES ? (bytes + 1023) / 1024 * 1024 : bytes;
}

/* few_ints.h: x is the form of quant/xform.h. Strides are such that lanes side by side meet different banks. */
static inline few_shape few_ints_shape(u32 bits, u32 group_size, u32 tokens) {
    few_shape s = {.tokens = tokens, .biases = 1};
    s.row_bytes = FEW_K / 8 * bits;
    s.row_stride = s.row_bytes + (bits == 8 && group_size == 128 ? 16 : group_size * bits / 8);
    s.scale_bytes = FEW_K / group_size * 2;
    s.x_bytes = FEW_K * 3;
    s.x_stride = s.x_bytes + (group_size == 128 ? 16 : group_size);
    s.x_scale_bytes = FEW_K / group_size * 4;
    return s;
}
/* few_halves.h: x is f16 or bf16. */
static inline few_shape few_halves_shape(u32 bits, u32 scale_bytes, u32 biases, u32 tokens) {
    few_shape s = {.tokens = tokens, .scale_bytes = scale_bytes, .biases = biases, .x_places = FEW_X_QUARTERS};
    s.row_bytes = FEW_K / 8 * bits;
    s.row_stride = s.row_bytes + (bits == 4 ? 64 : bits == 2 ? 32 : 16);
    s.x_bytes = FEW_K * 2;
    s.x_stride = s.x_bytes + 64;
    return s;
}
/* few_wg.h: the same for 32 tokens. */
static inline few_shape few_wg_shape(u32 bits, u32 group_size) {
    few_shape s = {.tokens = 32, .biases = 1, .x_places = FEW_X_TILES};
    s.scale_bytes = FEW_K / group_size * 2;
    s.row_bytes = FEW_K / 8 * bits;
    s.row_stride = s.row_bytes + 16;
    s.x_bytes = s.x_stride = FEW_K * 2;
    return s;
}

#endif
