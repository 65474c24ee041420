/* SPDX-License-Identifier: Apache-2.0
 *
 * Params of rope.c: the table of angles, and what is done to each head of queries, keys or values on its way from a
 * product to attention. */
#ifndef NB_GPU_KERNELS_ROPE_PARAMS_H
#define NB_GPU_KERNELS_ROPE_PARAMS_H

#include "params.h"

struct rope_table_params {
    gpu_mat y;
    const GLOBAL i32 *positions;
    const GLOBAL double *freqs;
    float scale;
    u32 unused;
};

enum {
    HEAD_NORMED = 1,
    HEAD_INTERLEAVED = 2,
    HEAD_IN_PLACE = 4 /* columns that stay as they are need no writing */
};

/* One call. Heads go to y or, with tables, to pages at y. */
typedef struct head_part {
    const GLOBAL u8 *x;
    GLOBAL u8 *y;
    const GLOBAL u8 *angles, *weight; /* NULL: not rotated, all ones */
    i64 x_stride, y_stride, angles_stride;
    const GLOBAL u64 *tables;
    const GLOBAL i32 *positions;
    u32 x_type, y_type, angles_type, weight_type;
    u32 rows, n_heads, head_dim, half; /* half: pairs that are rotated */
    u32 page_size, flags;
    float eps, offset;
} head_part;

struct head_params {
    gpu_parts parts;
    head_part part[GPU_KERNEL_PARTS];
};

#endif
