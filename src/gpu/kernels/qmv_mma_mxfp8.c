/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units (qmv_mma.h) with mxfp8 weights. */
#define NB_GPU_DEVICE_CODE
#include "qmv_mma.h"

#if MMA_NV
QMV_KERNELS(qmv_mxfp8_32, DQ_MXFP8, 8, 32)
#endif
