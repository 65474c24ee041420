/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units (qmv_mma.h) with affine weights of 2 bits. */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_affine2_64, DQ_AFFINE, 2, 64)
QMV_KERNELS(qmv_affine2_128, DQ_AFFINE, 2, 128)
#endif
