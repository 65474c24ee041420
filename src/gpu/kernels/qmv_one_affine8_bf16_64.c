/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 8 bits, whose groups of 64 have scales in bf16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine8_bf16_64_4, 8, 64, 4, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine8_bf16_64_2, 8, 64, 2, G_BF16)
#endif
