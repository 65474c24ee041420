/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products of a wave: sources and results of several registers each. */
#include <string.h>

#include "gfx/wave.h"

typedef const uint32_t (*matrix)[GFX_LANES];

static bool loading(const gfx_wave *w, unsigned at, unsigned n) {
    for (unsigned i = at; i < at + n; i++)
        if (w->v_loading[i]) return true;
    return false;
}

static uint32_t written(const gfx_wave *w, const gfx_operand *s, unsigned n) {
    uint32_t all = (uint32_t)GFX_ALL;
    for (unsigned i = 0; s->kind == GFX_IS_VGPR && i < n; i++) all &= w->v_written[s->at + i];
    return all;
}

/* Element (row, column) depends on the row of A in lane `row`, the column of B in lane `column` (both stand in lanes 16
 * to 31 again) and on its own sum. */
static uint32_t written_of(uint32_t a, uint32_t b, uint32_t c, unsigned i) {
    const uint32_t rows = (a >> 2 * i & 1 ? 0xffffu : 0) | (a >> (2 * i + 1) & 1 ? 0xffff0000u : 0);
    return rows & b & c;
}

static int run_wmma(gfx_wave *w, const gfx_op *o) {
    matrix m[3];
    const gfx_spec *spec = o->inst.spec;
    for (int s = 0; s < 3; s++) {
        const gfx_operand *src = &o->x.src[s];
        m[s] = src->kind == GFX_IS_VGPR ? (matrix)w->v[src->at] : (matrix)o->x.in.lo[s];
        if (src->kind == GFX_IS_VGPR && loading(w, src->at, spec->src[s]))
            return (int)gfx_fail(w, o, "reads a register that is still being loaded: no s_waitcnt came before");
    }
    if (loading(w, o->inst.dst, spec->dst)) return (int)gfx_fail(w, o, "writes a register that is still being loaded");
    const uint32_t a = written(w, &o->x.src[0], spec->src[0]), b = written(w, &o->x.src[1], spec->src[1]);
    uint32_t marks[8];
    for (unsigned i = 0; i < spec->dst; i++)
        marks[i] = written_of(
            a & a >> 16, b, o->x.src[2].kind == GFX_IS_VGPR ? w->v_written[o->x.src[2].at + i] : (uint32_t)GFX_ALL, i);
    const uint8_t op_sel = (uint8_t)(o->inst.op_sel | o->inst.clamp << 3);
    if (!o->wmma->run(m[0], m[1], m[2], &w->v[o->inst.dst], o->inst.neg, o->inst.neg_hi, op_sel))
        return (int)gfx_fail(w, o, "lanes 16 to 31 of A or B do not hold what lanes 0 to 15 hold");
    for (unsigned i = 0; i < spec->dst; i++) w->v_written[o->inst.dst + i] = marks[i];
    return GFX_GO_ON;
}

bool gfx_lower_matrix(gfx_code *c, gfx_op *o) {
    const gfx_inst *i = &o->inst;
    if (strncmp(i->spec->name, "v_wmma", 6) != 0) return false;
    o->wmma = gfx_wmma_find(i->spec->name);
    if (!o->wmma || i->dst + 8u > c->n_vgprs) return false;
    for (int s = 0; s < 3; s++) {
        uint64_t value;
        if (i->src[s] >= GFX_VGPR) {
            o->x.src[s] = (gfx_operand){GFX_IS_VGPR, false, (uint16_t)(i->src[s] - GFX_VGPR)};
            if (o->x.src[s].at + 8u > GFX_N_VGPRS || o->x.src[s].at + i->spec->src[s] > c->n_vgprs) return false;
        } else if (gfx_constant_of(GFX_F32, i->src[s], i->literal, &value)) {
            o->x.src[s].kind = GFX_IS_CONSTANT;
            o->x.in.lo[s] = gfx_constant(c, (uint32_t)value);
            if (!o->x.in.lo[s]) return false;
        } else
            return false;
    }
    o->run = run_wmma;
    return true;
}
