/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of few_ints.h and few_ints_sum.c. */
#ifndef NB_GPU_KERNELS_FEW_INTS_PARAMS_H
#define NB_GPU_KERNELS_FEW_INTS_PARAMS_H

#include "qmv_params.h"

enum {
    INTS_K = 256,        /* terms of a step */
    INTS_WARP_ROWS = 32, /* outputs of a warp */
    INTS_WARPS = 8,      /* of a block at most; twice, since two share the terms */
    INTS_TILES_MOST = 4, /* of 8 tokens */
    INTS_STAGES_MOST = 4,
    INTS_SUM_THREADS = 256
};

/* A product. Of `of` what is not x's staging counts: x is the form's beginning, row_tiles twice the block's warps,
 * blocks those of outputs. */
typedef struct ints_part {
    qmv_part of;
    GLOBAL float *sums; /* of the splits: [splits, tokens, n]; one split: NULL */
    u32 codes_at;       /* of x: bytes from its beginning to the codes */
    u32 splits;         /* of the terms */
    u32 stages;         /* steps that shared memory holds, 2 to 4 */
    u32 unused;
} ints_part;

struct ints_params {
    gpu_parts parts; /* first: in units: blocks of outputs, tiles of tokens, splits of terms */
    ints_part part[GPU_KERNEL_PARTS];
};

/* Bytes between rows of shared memory that the copies of lanes side by side go to different banks. */
static inline u32 ints_codes_pad(u32 bits, u32 group_size) {
    return bits == 8 && group_size == 128 ? 16 : group_size * bits / 8;
}
static inline u32 ints_x_pad(u32 group_size) {
    return group_size == 128 ? 16 : group_size;
}

#endif
