/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_decode.h for keys and values of f16. A module of its own, so that only what a model needs is loaded. */
#define NB_GPU_DEVICE_CODE
#include "attention_decode.h"

DECODE_HEADS(decode_f16, 1, G_F16)
DECODE_HEADS(decode_f16, 2, G_F16)
DECODE_HEADS(decode_f16, 4, G_F16)
DECODE_WIDE(decode_f16, 1, G_F16)
DECODE_WIDE(decode_f16, 2, G_F16)
DECODE_WIDE(decode_f16, 4, G_F16)
