/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of ops.c: what works element by element. */
#ifndef NB_GPU_KERNELS_OPS_PARAMS_H
#define NB_GPU_KERNELS_OPS_PARAMS_H

#include "params.h"

struct each_params {
    gpu_mat x, z, y;
    u32 act;
    float scale;
};

struct select_params {
    gpu_mat x, y;
    const GLOBAL i32 *which; /* rows or columns of x */
};

/* scale W[tokens[t]]; mode as kernels/kernel.h numbers it. */
struct embed_params {
    gpu_mat y;
    gpu_weight w;
    const GLOBAL i32 *tokens;
    u32 mode, bits;
    float scale;
};

#endif
