/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads take effect at once here, but their registers count as loading until the program has waited for them: s_waitcnt
 * with few enough left. Loads of one kind come back in order; loads of SGPRs in any, so that only a wait for all of
 * them says anything. */
#include "gfx/wave.h"

static void finish(gfx_wave *w, const gfx_load *l) {
    for (unsigned i = l->first; i < (unsigned)l->first + l->n; i++) {
        if (l->kind == GFX_LOAD_VGPRS) w->v_loading[i]--;
        if (l->kind == GFX_LOAD_SGPRS && i < GFX_N_SGPRS) w->s_loading[i]--;
    }
}

static void finish_oldest(gfx_wave *w, gfx_loads *q) {
    const gfx_load *l = &q->at[q->begin++ % GFX_QUEUE];
    finish(w, l);
    if (l->kind == GFX_LOAD_SGPRS) q->n_scalar--;
}

void gfx_loading(gfx_wave *w, gfx_loads *q, gfx_load_kind kind, unsigned first, unsigned n) {
    /* The hardware's counters end at 63: it waits by itself. */
    if (q->end - q->begin >= 63 && !q->n_scalar) finish_oldest(w, q);
    if (q->end - q->begin == GFX_QUEUE) gfx_wait(w, q, 0);
    q->at[q->end++ % GFX_QUEUE] = (gfx_load){(uint8_t)kind, (uint8_t)n, (uint16_t)first};
    if (kind == GFX_LOAD_SGPRS) q->n_scalar++;
    for (unsigned i = first; i < first + n; i++) {
        if (kind == GFX_LOAD_VGPRS) w->v_loading[i]++;
        if (kind == GFX_LOAD_SGPRS && i < GFX_N_SGPRS) w->s_loading[i]++;
    }
}

void gfx_wait(gfx_wave *w, gfx_loads *q, uint32_t left) {
    if (left && q->n_scalar) return;
    while (q->end - q->begin > left) finish_oldest(w, q);
}
