/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_mma16.h by the columns of a head. */
#define NB_GPU_DEVICE_CODE
#include "attention_mma16.h"

DECODE_M16(decode_mma16_64, 64)
DECODE_M16(decode_mma16_128, 128)
