/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units (qmv_mma.h) with affine weights of 8 bits. */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_affine8_32, DQ_AFFINE, 8, 32)
QMV_KERNELS(qmv_affine8_64, DQ_AFFINE, 8, 64)
QMV_KERNELS(qmv_affine8_128, DQ_AFFINE, 8, 128)
#endif
