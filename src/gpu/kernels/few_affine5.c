/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 5 bits (few_halves.h). */
#define NB_GPU_DEVICE_CODE
#include "few_halves.h"

FEW_KERNEL(few_affine5_f16, DQ_AFFINE, 5, false)
FEW_KERNEL(few_affine5_bf16, DQ_AFFINE, 5, true)
