/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of delta.c and delta_conv.c: the gated delta net. */
#ifndef NB_GPU_KERNELS_DELTA_PARAMS_H
#define NB_GPU_KERNELS_DELTA_PARAMS_H

#include "params.h"

enum {
    CONV_TOKENS = 8,   /* that a thread of conv1d_tile4 takes */
    DELTA_LANES = 8,   /* lanes for one row of a state */
    DELTA_ROWS = 16,   /* rows of a state that a block takes */
    DELTA_TOKENS = 16, /* that are read ahead, and of a chunk */
    DELTA_CHUNK_BLOCK = 256,
    DELTA_CHUNK_PAD = 16, /* floats between vectors, which puts them into different banks */
    /* floats of shared memory beside batches and the rows of the state */
    DELTA_CHUNK_FLOATS = 3 * DELTA_TOKENS * DELTA_TOKENS + 3 * DELTA_TOKENS * DELTA_ROWS + 2 * DELTA_TOKENS
};

/* W [channels, kernel] with elements of w.type; states of `size` floats. */
struct conv1d_params {
    gpu_mat x, y;
    gpu_vec w;
    GLOBAL float *states;
    const GLOBAL i32 *slots;
    i64 size;
    u32 kernel, act;
};

struct delta_gates_params {
    gpu_mat x, z, y;
    gpu_vec a_log, dt_bias;
};

struct delta_params {
    gpu_mat x, z, y;
    GLOBAL float *states;
    const GLOBAL i32 *slots;
    i64 size;
    u32 n_heads, n_keys, key_dim, value_dim, grid_y;
    float eps;
};

#endif
