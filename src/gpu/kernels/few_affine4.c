/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 4 bits (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_affine4_f16, DQ_AFFINE, 4, false)
FEW_KERNEL(few_affine4_bf16, DQ_AFFINE, 4, true)
