/* SPDX-License-Identifier: Apache-2.0
 *
 * Scratch: memory that each thread has for itself. Words of the same address lie side by side for all lanes, as spilled
 * registers want it. What was never written may be loaded (a register that was half written is spilled as a whole), and
 * stays marked so. */
#include <string.h>

#include "gfx/memory.h"

static int outside(gfx_wave *w, const gfx_op *o, unsigned lane, uint32_t at) {
    return (int)gfx_fail(w, o, "out of bounds: lane %u touches %u bytes at 0x%x of its scratch, which has %u bytes",
                         lane, o->bytes, at, w->group->kernel->scratch_bytes);
}

int gfx_scratch_part(gfx_wave *w, const gfx_op *o, gfx_part p, bool is_store) {
    const uint32_t size = w->group->kernel->scratch_bytes;
    uint32_t *reg = &w->v[p.reg][p.lane], raw = 0, known = 1;
    const uint32_t value = *reg >> (is_store && o->high ? 16 : 0);
    if (p.at >= size || p.bytes > size - p.at) return outside(w, o, p.lane, p.at);
    for (uint32_t b = 0; b < p.bytes; b++) {
        const uint32_t row = (p.at + b) / 4, shift = (p.at + b) % 4 * 8;
        uint32_t *word = &w->scratch[(size_t)row * GFX_LANES + p.lane],
                 *marks = &w->scratch_written[row][(p.at + b) % 4];
        if (is_store) {
            const uint32_t mark = w->v_written[p.reg] >> p.lane & 1;
            *word = (*word & ~(0xffu << shift)) | (value >> 8 * b & 0xff) << shift;
            *marks = (*marks & ~(1u << p.lane)) | mark << p.lane;
        } else {
            raw |= (*word >> shift & 0xff) << 8 * b;
            known &= *marks >> p.lane & 1;
        }
    }
    if (is_store) return GFX_GO_ON;
    *reg = p.bytes == 4 ? raw : gfx_loaded(o, raw, *reg);
    gfx_mark(w, p.reg, 1u << p.lane, known ? (uint32_t)GFX_ALL : 0);
    return GFX_GO_ON;
}

/* The part of the address that is the same for all lanes. */
static bool base_of(gfx_wave *w, const gfx_op *o, uint32_t *out) {
    uint32_t value = 0, known = (uint32_t)GFX_ALL;
    const gfx_inst *i = &o->inst;
    if (i->saddr != GFX_NULL && !gfx_scalar(w, i->saddr, 0, &value, &known)) {
        gfx_fail(w, o, "its address is still being loaded: no s_waitcnt came before");
        return false;
    }
    if (known != (uint32_t)GFX_ALL) {
        gfx_fail(w, o, "its address was never written");
        return false;
    }
    *out = value + (uint32_t)i->offset;
    return true;
}

/* The same place for all lanes, of whole words. */
static void rows(gfx_wave *w, const gfx_op *o, uint32_t at, bool is_store) {
    const uint32_t lanes = gfx_exec(w);
    for (unsigned r = 0; r < o->n_regs; r++) {
        uint32_t *row = w->scratch + (size_t)(at / 4 + r) * GFX_LANES, *marks = w->scratch_written[at / 4 + r];
        const unsigned v = (is_store ? o->inst.src[0] : o->inst.dst) + r;
        if (is_store) {
            gfx_blend(row, w->v[v], lanes);
            for (int b = 0; b < 4; b++) marks[b] = (marks[b] & ~lanes) | (w->v_written[v] & lanes);
        } else {
            gfx_blend(w->v[v], row, lanes);
            gfx_mark(w, v, lanes, marks[0] & marks[1] & marks[2] & marks[3]);
        }
    }
}

static int one_by_one(gfx_wave *w, const gfx_op *o, uint32_t base, bool is_store) {
    const gfx_inst *i = &o->inst;
    if (i->sve && w->v_loading[i->addr])
        return (int)gfx_fail(w, o, "its address is still being loaded: no s_waitcnt came before");
    if (i->sve && gfx_exec(w) & ~w->v_written[i->addr]) return (int)gfx_fail(w, o, "its address was never written");
    for (unsigned l = 0; l < GFX_LANES; l++) {
        /* The address may be overwritten by the load itself. */
        const uint32_t at = base + (i->sve ? w->v[i->addr][l] : 0);
        for (unsigned r = 0; gfx_exec(w) >> l & 1 && r < o->n_regs; r++) {
            const gfx_part p = {at + 4 * r, o->bytes < 4 ? o->bytes : 4, l, (is_store ? i->src[0] : i->dst) + r};
            const int step = gfx_scratch_part(w, o, p, is_store);
            if (step) return step;
        }
    }
    return GFX_GO_ON;
}

static int run_scratch(gfx_wave *w, const gfx_op *o, bool is_store) {
    uint32_t base;
    const uint32_t size = w->group->kernel->scratch_bytes;
    const unsigned first = is_store ? o->inst.src[0] : o->inst.dst;
    if (!base_of(w, o, &base)) return GFX_FAILED;
    for (unsigned r = first; is_store && r < first + o->n_regs; r++)
        if (w->v_loading[r]) return (int)gfx_fail(w, o, "stores v%u, which is still being loaded", r);
    if (!o->inst.sve && o->bytes >= 4 && base % 4 == 0 && base <= size && o->bytes <= size - base)
        rows(w, o, base, is_store);
    else {
        const int step = one_by_one(w, o, base, is_store);
        if (step) return step;
    }
    if (!is_store) gfx_loading(w, &w->vm, GFX_LOAD_VGPRS, first, o->n_regs);
    return GFX_GO_ON;
}

static int run_scratch_load(gfx_wave *w, const gfx_op *o) {
    return run_scratch(w, o, false);
}

static int run_scratch_store(gfx_wave *w, const gfx_op *o) {
    return run_scratch(w, o, true);
}

bool gfx_lower_scratch(gfx_code *c, gfx_op *o, bool is_store) {
    o->run = is_store ? run_scratch_store : run_scratch_load;
    return !o->inst.sve || gfx_has_vgprs(c, o->inst.addr, 1);
}
