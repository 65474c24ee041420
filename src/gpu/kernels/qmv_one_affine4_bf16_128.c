/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 4 bits, whose groups of 128 have scales in bf16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine4_bf16_128_4, 4, 128, 4, G_BF16)
QMV_ONE_KERNELS(qmv_one_affine4_bf16_128_2, 4, 128, 2, G_BF16)
#endif
