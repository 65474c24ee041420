/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 8 bits (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_affine8_f16, DQ_AFFINE, 8, false)
FEW_KERNEL(few_affine8_bf16, DQ_AFFINE, 8, true)
