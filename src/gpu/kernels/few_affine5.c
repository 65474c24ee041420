/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 64 tokens with affine weights of 5 bits (qmm_few.h). */
#define NB_GPU_DEVICE_CODE
#include "qmm_few.h"

FEW_KERNELS(few_affine5_f16, DQ_AFFINE, 5, false)
FEW_KERNELS(few_affine5_bf16, DQ_AFFINE, 5, true)
