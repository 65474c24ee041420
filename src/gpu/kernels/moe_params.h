/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of moe.c. */
#ifndef NB_GPU_KERNELS_MOE_PARAMS_H
#define NB_GPU_KERNELS_MOE_PARAMS_H

#include "params.h"

enum { ROUTE_STEP = 32 /* logits are padded to so many */ };

struct route_params {
    gpu_mat x, y;
    gpu_vec weight;
    u32 n_chosen, normalize;
};

struct sum_experts_params {
    gpu_mat x, z, y, residual;
    u32 n_chosen, unused;
};

#endif
