/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 8 bits whose scales are bf16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine8_bf16_32, 8, 32, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine8_bf16_64, 8, 64, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine8_bf16_128, 8, 128, G_BF16)
#endif
