/* SPDX-License-Identifier: Apache-2.0
 *
 * LDS: the memory that the waves of a workgroup share, with as many bytes as the launch has. Between two barriers a
 * word that one wave writes and another touches is a race. Also ds_bpermute and ds_permute, which use LDS's wires only.
 */
#include <string.h>

#include "gfx/memory.h"

/* ---- Races --------------------------------------------------------------------------------------------------------
 */

enum { WAVE_AT = 4, MANY = 1 << 9, EPOCH_AT = 10 };

static uint32_t wave_of(uint32_t use) {
    return use >> WAVE_AT & 31;
}

/* Whether bytes (a bit each) of a word may be used so; marks that they are. *other: the wave that they belong to. */
static inline bool use_word(gfx_group *g, const gfx_wave *w, uint32_t word, uint32_t bytes, bool is_store,
                            uint32_t *other) {
    gfx_lds_use *u = &g->lds_use[word];
    const uint32_t mine = g->epoch << EPOCH_AT | w->number << WAVE_AT;
    const bool written = u->write >> EPOCH_AT == g->epoch, read = u->read >> EPOCH_AT == g->epoch;
    if (written && wave_of(u->write) != w->number && u->write & bytes) {
        *other = wave_of(u->write);
        return false;
    }
    if (is_store && read && u->read & bytes && (u->read & MANY || wave_of(u->read) != w->number)) {
        *other = wave_of(u->read);
        return false;
    }
    if (is_store)
        u->write = mine | bytes | (written && wave_of(u->write) == w->number ? u->write & 15 : 0);
    else if (!read)
        u->read = mine | bytes;
    else if (wave_of(u->read) == w->number)
        u->read |= bytes;
    else
        u->read |= bytes | MANY;
    return true;
}

static int race(gfx_wave *w, const gfx_op *o, uint32_t at, unsigned lane, uint32_t other, bool is_store) {
    return (int)gfx_fail(w, o, "race: lane %u %s LDS at 0x%x, which wave %u used since the last barrier", lane,
                         is_store ? "stores to" : "loads from", at, other);
}

/* ---- One lane's part ----------------------------------------------------------------------------------------------
 */

static int outside(gfx_wave *w, const gfx_op *o, unsigned lane, uint32_t at, uint32_t bytes) {
    return (int)gfx_fail(w, o,
                         "out of bounds: lane %u touches %u bytes at 0x%x of LDS, of which the launch has %u bytes",
                         lane, bytes, at, w->group->lds_bytes);
}

/* Any address; a part may lie across two words. */
int gfx_lds_part(gfx_wave *w, const gfx_op *o, gfx_part p, bool is_store) {
    gfx_group *g = w->group;
    uint32_t *reg = &w->v[p.reg][p.lane], raw = 0, known = 1, other = 0;
    const uint32_t value = *reg >> (is_store && o->high ? 16 : 0);
    if (p.at >= g->lds_bytes || p.bytes > g->lds_bytes - p.at) return outside(w, o, p.lane, p.at, p.bytes);
    for (uint32_t b = 0; b < p.bytes; b++) {
        const uint32_t at = p.at + b, bit = 1u << at % 4;
        if (!use_word(g, w, at / 4, bit, is_store, &other)) return race(w, o, at, p.lane, other, is_store);
        if (is_store) {
            const bool mark = w->v_written[p.reg] >> p.lane & 1;
            g->lds[at] = (uint8_t)(value >> 8 * b);
            g->lds_written[at / 4] = (uint8_t)(mark ? g->lds_written[at / 4] | bit : g->lds_written[at / 4] & ~bit);
        } else {
            raw |= (uint32_t)g->lds[at] << 8 * b;
            known &= g->lds_written[at / 4] >> at % 4 & 1;
        }
    }
    if (is_store) return GFX_GO_ON;
    *reg = p.bytes == 4 ? raw : gfx_loaded(o, raw, *reg);
    gfx_mark(w, p.reg, 1u << p.lane, known ? (uint32_t)GFX_ALL : 0);
    return GFX_GO_ON;
}

/* ---- Loads and stores ---------------------------------------------------------------------------------------------
 */

static int ready(gfx_wave *w, const gfx_op *o, unsigned data, unsigned n) {
    const uint32_t never = gfx_exec(w) & ~w->v_written[o->inst.addr];
    bool loading = w->v_loading[o->inst.addr] != 0;
    for (unsigned r = data; r < data + n; r++) loading = loading || w->v_loading[r];
    if (loading) return (int)gfx_fail(w, o, "reads a register that is still being loaded: no s_waitcnt came before");
    if (never) return (int)gfx_fail(w, o, "its address was never written (lane %d)", __builtin_ctz(never));
    return GFX_GO_ON;
}

/* Whether all lanes' accesses are aligned words that lie in LDS. */
static bool all_words(const gfx_wave *w, const gfx_op *o, const uint32_t *address, uint32_t offset, unsigned n_regs) {
    const uint32_t size = w->group->lds_bytes, bytes = 4 * n_regs;
    if (o->bytes < 4 || bytes > size) return false;
    for (uint32_t left = gfx_exec(w); left; left &= left - 1) {
        const uint32_t at = address[__builtin_ctz(left)] + offset;
        if (at % 4 || at > size - bytes) return false;
    }
    return true;
}

/* Register by register, with one look at what was written for each. */
static int access_words(gfx_wave *w, const gfx_op *o, const uint32_t *address, uint32_t offset, unsigned reg,
                        bool is_store) {
    gfx_group *g = w->group;
    uint32_t written = is_store ? w->v_written[reg] : 0, other = 0, *v = w->v[reg];
    for (uint32_t left = gfx_exec(w); left; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctz(left);
        const uint32_t at = address[l] + offset;
        if (!use_word(g, w, at / 4, 15, is_store, &other)) return race(w, o, at, l, other, is_store);
        if (is_store) {
            memcpy(g->lds + at, &v[l], 4);
            g->lds_written[at / 4] = written >> l & 1 ? 15 : 0;
        } else {
            memcpy(&v[l], g->lds + at, 4);
            written |= (uint32_t)(g->lds_written[at / 4] == 15) << l;
        }
    }
    if (!is_store) gfx_mark(w, reg, gfx_exec(w), written);
    return GFX_GO_ON;
}

/* Each lane's access at its address plus offset, with `reg` and those behind it. */
static int access_lanes(gfx_wave *w, const gfx_op *o, const uint32_t *address, uint32_t offset, unsigned reg,
                        unsigned n_regs, bool is_store) {
    if (all_words(w, o, address, offset, n_regs)) {
        for (unsigned r = 0; r < n_regs; r++) {
            const int step = access_words(w, o, address, offset + 4 * r, reg + r, is_store);
            if (step) return step;
        }
        return GFX_GO_ON;
    }
    for (uint32_t left = gfx_exec(w); left; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctz(left);
        const uint32_t at = address[l] + offset;
        for (unsigned r = 0; r < n_regs; r++) {
            const gfx_part p = {at + 4 * r, o->bytes < 4 ? o->bytes : 4, l, reg + r};
            const int step = gfx_lds_part(w, o, p, is_store);
            if (step) return step;
        }
    }
    return GFX_GO_ON;
}

static int run_lds_load(gfx_wave *w, const gfx_op *o) {
    uint32_t address[GFX_LANES]; /* the load may overwrite it */
    int step = ready(w, o, 0, 0);
    if (step) return step;
    memcpy(address, w->v[o->inst.addr], sizeof address);
    step = access_lanes(w, o, address, (uint32_t)o->inst.offset, o->inst.dst, o->n_regs, false);
    if (!step) gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, o->n_regs);
    return step;
}

static int run_lds_store(gfx_wave *w, const gfx_op *o) {
    int step = ready(w, o, o->inst.src[0], o->n_regs);
    if (!step) step = access_lanes(w, o, w->v[o->inst.addr], (uint32_t)o->inst.offset, o->inst.src[0], o->n_regs, true);
    if (!step) gfx_loading(w, &w->lgkm, GFX_LOAD_NOTHING, 0, 0);
    return step;
}

/* Two addresses: offsets count elements, or 64 of them. */
static uint32_t offset_of(const gfx_op *o, int which) {
    const uint32_t n = (uint32_t)o->inst.offset >> 8 * which & 255;
    return n * o->bytes * (strstr(o->inst.spec->name, "stride64") ? 64 : 1);
}

static int run_lds_load2(gfx_wave *w, const gfx_op *o) {
    uint32_t address[GFX_LANES];
    int step = ready(w, o, 0, 0);
    if (step) return step;
    memcpy(address, w->v[o->inst.addr], sizeof address);
    for (int k = 0; !step && k < 2; k++)
        step = access_lanes(w, o, address, offset_of(o, k), o->inst.dst + (unsigned)k * o->n_regs, o->n_regs, false);
    if (!step) gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, 2u * o->n_regs);
    return step;
}

static int run_lds_store2(gfx_wave *w, const gfx_op *o) {
    int step = ready(w, o, o->inst.src[0], o->n_regs);
    if (!step) step = ready(w, o, o->inst.src[1], o->n_regs);
    for (int k = 0; !step && k < 2; k++)
        step = access_lanes(w, o, w->v[o->inst.addr], offset_of(o, k), o->inst.src[k], o->n_regs, true);
    if (!step) gfx_loading(w, &w->lgkm, GFX_LOAD_NOTHING, 0, 0);
    return step;
}

/* ---- Permutations: a lane's address / 4 is a lane. Inactive lanes give zero, and get nothing -----------------------
 */

static int run_bpermute(gfx_wave *w, const gfx_op *o) {
    uint32_t out[GFX_LANES], written = 0;
    const int step = ready(w, o, o->inst.src[0], 1);
    if (step) return step;
    const uint32_t *address = w->v[o->inst.addr], *data = w->v[o->inst.src[0]], lanes = gfx_exec(w);
    const uint32_t marks = w->v_written[o->inst.src[0]] | ~lanes, offset = (uint32_t)o->inst.offset;
    for (int l = 0; l < GFX_LANES; l++) {
        const uint32_t from = (address[l] + offset) / 4 % GFX_LANES;
        out[l] = lanes >> from & 1 ? data[from] : 0;
        written |= (marks >> from & 1) << l;
    }
    gfx_blend(w->v[o->inst.dst], out, lanes);
    gfx_mark(w, o->inst.dst, lanes, written);
    gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, 1);
    return GFX_GO_ON;
}

static int run_permute(gfx_wave *w, const gfx_op *o) {
    uint32_t out[GFX_LANES] = {0}, written = (uint32_t)GFX_ALL;
    const int step = ready(w, o, o->inst.src[0], 1);
    if (step) return step;
    for (unsigned l = 0; l < GFX_LANES; l++) {
        const uint32_t to = (w->v[o->inst.addr][l] + (uint32_t)o->inst.offset) / 4 % GFX_LANES;
        if (!(gfx_exec(w) >> l & 1)) continue;
        out[to] = w->v[o->inst.src[0]][l];
        written = (written & ~(1u << to)) | (w->v_written[o->inst.src[0]] >> l & 1) << to;
    }
    gfx_blend(w->v[o->inst.dst], out, gfx_exec(w));
    gfx_mark(w, o->inst.dst, gfx_exec(w), written);
    gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, 1);
    return GFX_GO_ON;
}

/* ds_swizzle: groups of 4 by a pattern (bit 15), else and, or, xor masks within 32. */
static unsigned swizzled(unsigned l, uint32_t pattern) {
    if (pattern >> 15) return (l & ~3u) | (pattern >> 2 * (l & 3) & 3);
    return (((l & (pattern & 31)) | (pattern >> 5 & 31)) ^ (pattern >> 10 & 31)) & 31;
}

static int run_swizzle(gfx_wave *w, const gfx_op *o) {
    uint32_t out[GFX_LANES], written = 0;
    const unsigned from = o->inst.addr;
    if (w->v_loading[from]) return (int)gfx_fail(w, o, "reads a register that is still being loaded");
    for (unsigned l = 0; l < GFX_LANES; l++) {
        const unsigned at = swizzled(l, (uint32_t)o->inst.offset);
        const bool on = gfx_exec(w) >> at & 1;
        out[l] = on ? w->v[from][at] : 0;
        written |= (on ? w->v_written[from] >> at & 1 : 1u) << l;
    }
    gfx_blend(w->v[o->inst.dst], out, gfx_exec(w));
    gfx_mark(w, o->inst.dst, gfx_exec(w), written);
    gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, 1);
    return GFX_GO_ON;
}

bool gfx_lower_lds(gfx_code *c, gfx_op *o) {
    const gfx_inst *i = &o->inst;
    const char *name = i->spec->name;
    const bool two = strstr(name, "_2addr_") != NULL;
    if (i->gds || !gfx_has_vgprs(c, i->addr, 1) || !gfx_has_vgprs(c, i->dst, i->spec->dst) ||
        !gfx_has_vgprs(c, i->src[0], i->spec->src[0]) || !gfx_has_vgprs(c, i->src[1], i->spec->src[1]))
        return false;
    if (strcmp(name, "ds_bpermute_b32") == 0) return o->run = run_bpermute, true;
    if (strcmp(name, "ds_permute_b32") == 0) return o->run = run_permute, true;
    if (strcmp(name, "ds_swizzle_b32") == 0) return o->run = run_swizzle, i->offset < 0xe000;
    const bool load = strncmp(name, "ds_load_", 8) == 0, store = strncmp(name, "ds_store_", 9) == 0;
    if ((!load && !store) || strstr(name, "addtid") || !gfx_access_size(name, o)) return false;
    o->run = two ? (load ? run_lds_load2 : run_lds_store2) : load ? run_lds_load : run_lds_store;
    return true;
}
