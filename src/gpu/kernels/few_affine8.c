/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 64 tokens with affine weights of 8 bits (qmm_few.h). */
#define NB_GPU_DEVICE_CODE
#include "qmm_few.h"

FEW_KERNELS(few_affine8_f16, DQ_AFFINE, 8, false)
FEW_KERNELS(few_affine8_bf16, DQ_AFFINE, 8, true)
