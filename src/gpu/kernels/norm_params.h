/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of norm.c. */
#ifndef NB_GPU_KERNELS_NORM_PARAMS_H
#define NB_GPU_KERNELS_NORM_PARAMS_H

#include "params.h"

enum { NORM_HELD = 4 /* fours that a thread can hold */ };

/* Parts of `size` columns, n_parts in each row. */
struct norm_params {
    gpu_mat x, y, residual;
    gpu_vec weight;
    u32 size, n_parts;
    float eps, offset, scale;
    u32 unused;
};

#endif
