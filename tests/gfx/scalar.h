/* SPDX-License-Identifier: Apache-2.0
 *
 * The two halves of the scalar instructions: those that compute (scalar.c) and those that steer (control.c). */
#ifndef NB_TESTS_GFX_SCALAR_H
#define NB_TESTS_GFX_SCALAR_H

#include "gfx/code.h"

/* Branches, ends, barriers, waits, modes, the program counter. False: it is none of them. */
bool gfx_lower_control(gfx_code *c, gfx_op *o);

#endif
