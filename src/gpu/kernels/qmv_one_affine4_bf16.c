/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 4 bits whose scales are bf16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine4_bf16_32, 4, 32, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine4_bf16_64, 4, 64, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine4_bf16_128, 4, 128, G_BF16)
#endif
