/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with weights of small floats (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_mxfp4_bf16, DQ_MXFP4, 4, true)
FEW_KERNEL(few_mxfp8_bf16, DQ_MXFP8, 8, true)
FEW_KERNEL(few_nvfp4_bf16, DQ_NVFP4, 4, true)
