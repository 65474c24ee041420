/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units (qmv_mma.h) with mxfp4 weights. */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_mxfp4_32, DQ_MXFP4, 4, 32)
#endif
