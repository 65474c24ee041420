/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 3 bits (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_affine3_f16, DQ_AFFINE, 3, false)
FEW_KERNEL(few_affine3_bf16, DQ_AFFINE, 3, true)
