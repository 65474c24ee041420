/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of planted.c. */
#ifndef NB_TESTS_GPU_PLANTED_PARAMS_H
#define NB_TESTS_GPU_PLANTED_PARAMS_H

#include "gpu/kernels/params.h"

struct planted_params {
    const GLOBAL float *x;
    GLOBAL float *y;
    u32 n, unused;
};

#endif
