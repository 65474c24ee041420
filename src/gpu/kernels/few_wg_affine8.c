/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with affine weights of 8 bits on sm_90a (few_wg.h). */
#define NB_GPU_DEVICE_CODE
#include "few_wg.h"

FEW_WG_KERNELS(few_wg_affine8, 8, 32)
FEW_WG_KERNELS(few_wg_affine8, 8, 64)
FEW_WG_KERNELS(few_wg_affine8, 8, 128)
