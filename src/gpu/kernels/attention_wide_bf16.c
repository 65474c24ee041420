/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tiles.h for keys and values of bf16, heads of more than 128 columns. A module of its own, so that only what
 * a model needs is loaded. */
#define NB_GPU_DEVICE_CODE
#include "attention_tiles.h"

TILES_WIDE(tiles_bf16, true)
