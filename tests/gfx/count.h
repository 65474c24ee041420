/* SPDX-License-Identifier: Apache-2.0
 *
 * How often each instruction was executed. */
#ifndef NB_TESTS_GFX_COUNT_H
#define NB_TESTS_GFX_COUNT_H

#include "gfx/code.h"

void gfx_count_waves(uint64_t executed);
/* For each instruction of the code; NULL: nothing is counted. */
uint64_t *gfx_counts_new(const gfx_code *c);
/* Adds them to what is known of their mnemonics, and frees them. */
void gfx_counts_add(const gfx_code *c, uint64_t *counts);

#endif
