/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kinds of memory share. */
#ifndef NB_TESTS_GFX_MEMORY_H
#define NB_TESTS_GFX_MEMORY_H

#include "gfx/wave.h"

/* What a load puts into a register that held `old`: extended, or one half. */
uint32_t gfx_loaded(const gfx_op *o, uint32_t raw, uint32_t old);
/* Whether these registers are there to be stored to global memory. A gfx_step. */
int gfx_check_data(gfx_wave *w, const gfx_op *o, unsigned data, unsigned n, uint32_t lanes);
/* bytes, n_regs, is_signed, d16, high of the op, by its name; false: unknown. */
bool gfx_access_size(const char *name, gfx_op *o);
bool gfx_has_vgprs(const gfx_code *c, unsigned at, unsigned n);

/* One lane's access of up to 4 bytes, from or to this register. A gfx_step. */
typedef struct gfx_part {
    uint32_t at, bytes, lane, reg;
} gfx_part;
int gfx_lds_part(gfx_wave *w, const gfx_op *o, gfx_part p, bool is_store);
int gfx_scratch_part(gfx_wave *w, const gfx_op *o, gfx_part p, bool is_store);
bool gfx_lower_scratch(gfx_code *c, gfx_op *o, bool is_store);

#endif
