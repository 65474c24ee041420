/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 16 tokens (few_ints.h) with affine weights of 8 bits in groups of 128. */
#define NB_GPU_DEVICE_CODE
#include "few_ints.h"

INTS_KERNELS(few_ints_affine8_128, 8, 128)
