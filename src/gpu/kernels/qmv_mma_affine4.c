/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units (qmv_mma.h) with affine weights of 4 bits. */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_affine4_32, DQ_AFFINE, 4, 32)
QMV_KERNELS(qmv_affine4_64, DQ_AFFINE, 4, 64)
QMV_KERNELS(qmv_affine4_128, DQ_AFFINE, 4, 128)
#endif
