/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of ops.c: what works element by element. */
#ifndef NB_GPU_KERNELS_OPS_PARAMS_H
#define NB_GPU_KERNELS_OPS_PARAMS_H

#include "params.h"

struct add_params {
    gpu_mat x, z, y;
};

#endif
