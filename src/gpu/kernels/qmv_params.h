/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of products with few tokens: qmv_any.c (everything), qmv_fma.c, and qmv_mma.h (NVIDIA).
 * A part is one product; a launch can hold several (gpu/launch.h). */
#ifndef NB_GPU_KERNELS_QMV_PARAMS_H
#define NB_GPU_KERNELS_QMV_PARAMS_H

#include "params.h"

enum {
    QMV_ANY_THREADS = 256,
    QMV_FMA_CHUNK = 4096,    /* columns of x that qmv_fma.c stages at once, */
    QMV_FMA_UNIT_FLOATS = 36 /* of 32 columns, with their sum */
};

/* One product. mode as wmode has it; k, type and group_size as w has them. Of experts: z is there, x has a part for
 * each chosen one (own_x) or one for all. Products for which the fields up to `w` agree can share a launch. */
typedef struct qmv_any_part {
    gpu_mat x, z;
    gpu_vec norm;
    u32 mode, bits, k, type, group_size, act, n_chosen, own_x, normed;
    float eps, offset;
    u32 unused;
    gpu_weight w;
    gpu_mat y, residual;
    gpu_vec bias;
} qmv_any_part;

struct qmv_any_params {
    gpu_parts parts;
    qmv_any_part part[GPU_KERNEL_PARTS];
};

enum {
    QMV_THREADS = 256,
    QMV_WARPS = 8,
    QMV_ROWS = 16,           /* of the weight: of a tile */
    QMV_COLUMNS = 8,         /* tokens of a tile */
    QMV_SUMS = 1024,         /* of a block: warps, rows and columns */
    QMV_CHUNK_ONE = 6144,    /* columns of x that are staged at once, for one token */
    QMV_CHUNK_LARGE = 13312, /* the same where a block may have so much memory: */
    QMV_LARGE_SHARED = 192 * 1024,
    QMV_CHUNK = 2048,     /* for up to four; for more, half of that */
    QMV_CHUNK_STEP = 512, /* it is a multiple of */
    /* qmv_one.h: */
    QMV_ONE_THREADS = 512,
    QMV_ONE_WARPS = 16,
    /* Columns, of which x is staged as a whole beside the sums of two batches: with 4-bit weights in less than 99 KiB,
     * which all devices have; in less than 128 KiB, with 8-bit weights in less than 99. */
    QMV_ONE_MOST = 17408,
    QMV_ONE_MOST_LARGE = 22528,
    QMV_ONE_ROUNDS = 8,                                      /* tiles of a batch, */
    QMV_ONE_SUMS = QMV_ONE_ROUNDS * QMV_ONE_WARPS * QMV_ROWS /* of which each warp has its own */
};

/* 16 bytes each: what two products' columns of x take in shared memory, in three planes or in four. With four one place
 * is left free, so that the lanes that write a plane meet few banks twice. */
static inline u32 qmv_one_places(u32 bits) {
    return bits == 4 ? 17 : 12;
}

/* y = x W^T + bias + residual; types are packed four bits each, see QMV_TYPE. Strides in elements. The fields up to
 * `codes` say what x becomes: products for which they agree can share it. */
typedef struct qmv_part {
    const GLOBAL u8 *x, *norm;
    u32 x_stride, types;
    u32 k, rows;
    u32 row_tiles; /* of a block; its other warps share the columns of the weight */
    u32 chunk, act, normed;
    float eps, offset;
    const GLOBAL u8 *codes, *scales, *biases, *bias, *residual;
    GLOBAL u8 *y;
    u32 y_stride, residual_stride, n;
    u32 blocks, stride; /* of tiles: there are so many; a block of the launch takes each stride-th */
    u32 unused;
} qmv_part;

enum { QMV_X, QMV_Y, QMV_RESIDUAL, QMV_BIAS, QMV_NORM, QMV_SCALE }; /* places in types */
#define QMV_TYPE(types, which) ((types) >> 4 * (which)&15)

struct qmv_params {
    gpu_parts parts;
    qmv_part part[GPU_KERNEL_PARTS];
};

/* A product with experts: part has their first matrix, a row of y n_chosen times y_each columns. */
struct qmv_experts_params {
    qmv_part part;
    const GLOBAL u8 *z;
    i64 z_stride, codes_step, scales_step;
    const GLOBAL u64 *table;
    u32 z_type, n_chosen, own_x, y_each;
};

#endif
