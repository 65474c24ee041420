/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token (qmv_one.h) with affine weights of 4 bits, whose groups of 32 have scales in f16. */
#define NB_GPU_DEVICE_CODE
#include "qmv_one.h"

#if MMA_NV
QMV_ONE_KERNELS(qmv_one_affine4_f16_32_2, 4, 32, 2, G_F16)
#endif
