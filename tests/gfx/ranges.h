/* SPDX-License-Identifier: Apache-2.0
 *
 * Registered memory as a launch looks it up: only between hold and let go. */
#ifndef NB_TESTS_GFX_RANGES_H
#define NB_TESTS_GFX_RANGES_H

#include "gfx/gfx.h"

typedef struct gfx_range {
    uint64_t begin, end;
    uint8_t *written; /* for each byte whether it was; NULL: all were */
} gfx_range;

void gfx_ranges_hold(void);
void gfx_ranges_let_go(void);
/* The range that the address lies in. */
bool gfx_range_find(uint64_t address, gfx_range *out);

#endif
