/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 64 tokens with weights of small floats (qmm_few.h). */
#define NB_GPU_DEVICE_CODE
#include "qmm_few.h"

FEW_KERNELS(few_mxfp4_bf16, DQ_MXFP4, 4, true)
FEW_KERNELS(few_mxfp8_bf16, DQ_MXFP8, 8, true)
FEW_KERNELS(few_nvfp4_bf16, DQ_NVFP4, 4, true)
