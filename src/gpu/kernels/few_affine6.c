/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 6 bits (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_affine6_f16, DQ_AFFINE, 6, false)
FEW_KERNEL(few_affine6_bf16, DQ_AFFINE, 6, true)
