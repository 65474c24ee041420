/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel's decoded instructions. */
#ifndef NB_TESTS_GFX_CODE_H
#define NB_TESTS_GFX_CODE_H

#include "gfx/gfx.h"

typedef struct gfx_code gfx_code;

void gfx_code_free(gfx_code *c);

#endif
