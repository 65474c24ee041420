/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with quantized weights on NVIDIA's matrix units (qmv_mma.h). */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_affine2_64, DQ_AFFINE, 2, 64)
QMV_KERNELS(qmv_affine2_128, DQ_AFFINE, 2, 128)
QMV_KERNELS(qmv_affine4_32, DQ_AFFINE, 4, 32)
QMV_KERNELS(qmv_affine4_64, DQ_AFFINE, 4, 64)
QMV_KERNELS(qmv_affine4_128, DQ_AFFINE, 4, 128)
QMV_KERNELS(qmv_affine8_32, DQ_AFFINE, 8, 32)
QMV_KERNELS(qmv_affine8_64, DQ_AFFINE, 8, 64)
QMV_KERNELS(qmv_affine8_128, DQ_AFFINE, 8, 128)
QMV_KERNELS(qmv_mxfp4_32, DQ_MXFP4, 4, 32)
QMV_KERNELS(qmv_mxfp8_32, DQ_MXFP8, 8, 32)
#endif
