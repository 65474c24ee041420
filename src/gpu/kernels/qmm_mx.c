/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens with weights of small floats (qmm.h). They become bf16, which holds them exactly. */
#define NB_GPU_DEVICE_CODE
#include "qmm.h"

QMM_KERNELS(qmm_mxfp4_bf16, DQ_MXFP4, 4, true)
QMM_KERNELS(qmm_mxfp8_bf16, DQ_MXFP8, 8, true)
QMM_KERNELS(qmm_nvfp4_bf16, DQ_NVFP4, 4, true)
