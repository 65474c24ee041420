/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 4 bits, whose groups of 64 have scales in f16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine4_f16_64_4, 4, 64, 4, G_F16)
QMV_ONE_KERNELS(qmv_one_affine4_f16_64_2, 4, 64, 2, G_F16)
#endif
