/* SPDX-License-Identifier: Apache-2.0
 *
 * Scalar loads, global and flat accesses: addresses of this process, each checked against registered memory. */
#include <string.h>

#include "gfx/memory.h"

/* ---- Ranges -------------------------------------------------------------------------------------------------------
 */

static bool lies_in(const gfx_range *r, uint64_t begin, uint64_t end) {
    return begin >= r->begin && end <= r->end && begin <= end;
}

/* Whether [begin, end) may be touched; remembers where the last such access was. */
static bool find_range(gfx_wave *w, int which, uint64_t begin, uint64_t end) {
    gfx_range r;
    if (lies_in(&w->range[which], begin, end)) return true;
    for (size_t i = 0; i < 2; i++)
        if (lies_in(&w->group->extra[i], begin, end)) {
            w->range[which] = w->group->extra[i];
            return true;
        }
    if (!gfx_range_find(begin, &r) || !lies_in(&r, begin, end)) return false;
    w->range[which] = r;
    return true;
}

static int out_of_bounds(gfx_wave *w, const gfx_op *o, unsigned lane, uint64_t address, bool is_store) {
    gfx_range r;
    if (!gfx_range_find(address, &r))
        return (int)gfx_fail(w, o, "out of bounds: lane %u %s %u bytes at 0x%llx, which is no registered memory", lane,
                             is_store ? "stores" : "loads", o->bytes, (unsigned long long)address);
    return (int)gfx_fail(w, o, "out of bounds: lane %u %s %u bytes at 0x%llx, which end %llu bytes behind %llu bytes",
                         lane, is_store ? "stores" : "loads", o->bytes, (unsigned long long)address,
                         (unsigned long long)(address + o->bytes - r.end), (unsigned long long)(r.end - r.begin));
}

/* All active lanes at once if they lie in one range, else one by one. */
static int check_lanes(gfx_wave *w, const gfx_op *o, const uint64_t *at, uint32_t lanes, bool is_store,
                       bool *one_range) {
    uint64_t low = UINT64_MAX, high = 0;
    for (unsigned l = 0; l < GFX_LANES; l++) {
        if (!(lanes >> l & 1)) continue;
        low = at[l] < low ? at[l] : low;
        high = at[l] > high ? at[l] : high;
    }
    *one_range = high < UINT64_MAX - 16 && find_range(w, 0, low, high + o->bytes);
    if (*one_range) return GFX_GO_ON;
    for (unsigned l = 0; l < GFX_LANES; l++)
        if (lanes >> l & 1 && (at[l] > UINT64_MAX - 16 || !find_range(w, 0, at[l], at[l] + o->bytes)))
            return out_of_bounds(w, o, l, at[l], is_store);
    return GFX_GO_ON;
}

/* ---- What was never written ----------------------------------------------------------------------------------------
 */

/* The marks of the bytes at this address, of which some range is known to have them; NULL: all were written. */
static uint8_t *marks_at(gfx_wave *w, const gfx_op *o, uint64_t at) {
    if (!lies_in(&w->range[0], at, at + o->bytes)) find_range(w, 0, at, at + o->bytes);
    return w->range[0].written ? w->range[0].written + (at - w->range[0].begin) : NULL;
}

static inline bool all_written(const uint8_t *marks, unsigned bytes) {
    uint32_t four;
    if (bytes < 4) return marks[0] && marks[bytes - 1];
    for (unsigned b = 0; b < bytes; b += 4) {
        memcpy(&four, marks + b, 4);
        if (four != 0x01010101) return false;
    }
    return true;
}

/* The lanes all of whose bytes were written. One look at the range is enough where it has all lanes. */
static uint32_t written_lanes(gfx_wave *w, const gfx_op *o, const uint64_t *at, uint32_t lanes, bool one_range) {
    uint32_t written = (uint32_t)GFX_ALL;
    if (one_range && !w->range[0].written) return written;
    for (uint32_t left = lanes; left; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctz(left);
        const uint8_t *marks = marks_at(w, o, at[l]);
        if (marks && !all_written(marks, o->bytes)) written &= ~(1u << l);
    }
    return written;
}

static void mark_lanes(gfx_wave *w, const gfx_op *o, const uint64_t *at, uint32_t lanes, bool one_range) {
    if (one_range && !w->range[0].written) return;
    for (uint32_t left = lanes; left; left &= left - 1) {
        uint8_t *marks = marks_at(w, o, at[__builtin_ctz(left)]);
        if (marks) memset(marks, 1, o->bytes);
    }
}

/* ---- One lane's bytes ---------------------------------------------------------------------------------------------
 */

uint32_t gfx_loaded(const gfx_op *o, uint32_t raw, uint32_t old) {
    uint32_t v = raw;
    if (o->is_signed) v = o->bytes == 1 ? (uint32_t)(int32_t)(int8_t)raw : (uint32_t)(int32_t)(int16_t)raw;
    if (!o->d16) return v;
    return o->high ? (old & 0xffff) | v << 16 : (old & 0xffff0000) | (v & 0xffff);
}

static void load_lane(gfx_wave *w, const gfx_op *o, unsigned l, const uint8_t *from) {
    if (o->bytes >= 4) {
        for (unsigned r = 0; r < o->n_regs; r++) memcpy(&w->v[o->inst.dst + r][l], from + 4 * r, 4);
        return;
    }
    uint16_t raw = from[0];
    if (o->bytes == 2) memcpy(&raw, from, 2);
    w->v[o->inst.dst][l] = gfx_loaded(o, raw, w->v[o->inst.dst][l]);
}

static void store_lane(const gfx_wave *w, const gfx_op *o, unsigned l, uint8_t *to) {
    const unsigned data = o->inst.src[0];
    if (o->bytes >= 4) {
        for (unsigned r = 0; r < o->n_regs; r++) memcpy(to + 4 * r, &w->v[data + r][l], 4);
        return;
    }
    const uint16_t v = (uint16_t)(w->v[data][l] >> (o->high ? 16 : 0));
    memcpy(to, &v, o->bytes);
}

/* ---- Addresses ----------------------------------------------------------------------------------------------------
 */

/* False: a register of it is still being loaded or was never written (then it has failed). */
static bool addresses(gfx_wave *w, const gfx_op *o, uint32_t lanes, uint64_t at[GFX_LANES]) {
    const gfx_inst *i = &o->inst;
    const bool scalar = i->format == GFX_GLOBAL && i->saddr != GFX_NULL;
    uint64_t base = (uint64_t)(int64_t)i->offset;
    uint32_t written = w->v_written[i->addr];
    bool ready = !w->v_loading[i->addr];
    if (scalar) {
        uint32_t half[2], known[2];
        ready = ready && gfx_scalar(w, i->saddr, 0, &half[0], &known[0]) &&
                gfx_scalar(w, i->saddr + 1u, 0, &half[1], &known[1]);
        if (ready) base += (uint64_t)half[1] << 32 | half[0];
        if (ready && (known[0] & known[1]) != (uint32_t)GFX_ALL) written = 0;
    } else {
        written &= w->v_written[i->addr + 1];
        ready = ready && !w->v_loading[i->addr + 1];
    }
    if (!ready) {
        gfx_fail(w, o, "its address is still being loaded: no s_waitcnt came before");
        return false;
    }
    if (lanes & ~written) {
        gfx_fail(w, o, "its address was never written (lane %d)", __builtin_ctz(lanes & ~written));
        return false;
    }
    const uint32_t *lo = w->v[i->addr], *hi = w->v[i->addr + 1];
    for (int l = 0; l < GFX_LANES; l++) at[l] = base + lo[l] + (scalar ? 0 : (uint64_t)hi[l] << 32);
    return true;
}

/* Flat addresses of LDS and scratch are few: those lanes go one by one. */
static bool in_aperture(uint64_t at) {
    return at >> 32 == GFX_SHARED_BASE_HI || at >> 32 == GFX_PRIVATE_BASE_HI;
}

static int flat_lane(gfx_wave *w, const gfx_op *o, unsigned l, uint64_t at, bool is_store) {
    const bool lds = at >> 32 == GFX_SHARED_BASE_HI;
    const unsigned reg = is_store ? o->inst.src[0] : o->inst.dst;
    for (unsigned r = 0; r < o->n_regs; r++) {
        const gfx_part part = {(uint32_t)at + 4 * r, o->bytes < 4 ? o->bytes : 4, l, reg + r};
        const int step = lds ? gfx_lds_part(w, o, part, is_store) : gfx_scratch_part(w, o, part, is_store);
        if (step) return step;
    }
    return GFX_GO_ON;
}

/* The lanes that are left: those of global memory. */
static int flat_apertures(gfx_wave *w, const gfx_op *o, const uint64_t *at, uint32_t *lanes, bool is_store) {
    for (unsigned l = 0; l < GFX_LANES; l++) {
        if (!(*lanes >> l & 1) || !in_aperture(at[l])) continue;
        *lanes &= ~(1u << l);
        const int step = flat_lane(w, o, l, at[l], is_store);
        if (step) return step;
    }
    return GFX_GO_ON;
}

/* ---- Loads and stores ---------------------------------------------------------------------------------------------
 */

static void load_lanes(gfx_wave *w, const gfx_op *o, const uint64_t *at, uint32_t lanes) {
    uint32_t *to = w->v[o->inst.dst];
    for (uint32_t left = lanes; left; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctz(left);
        if (o->bytes == 4)
            memcpy(&to[l], (const void *)(uintptr_t)at[l], 4);
        else
            load_lane(w, o, l, (const uint8_t *)(uintptr_t)at[l]);
    }
}

static int run_load(gfx_wave *w, const gfx_op *o) {
    uint64_t at[GFX_LANES];
    uint32_t lanes = gfx_exec(w);
    bool one_range = false;
    int step = GFX_GO_ON;
    if (lanes && !addresses(w, o, lanes, at)) return GFX_FAILED;
    if (lanes && o->inst.format == GFX_FLAT) step = flat_apertures(w, o, at, &lanes, false);
    if (!step && lanes) step = check_lanes(w, o, at, lanes, false, &one_range);
    if (step) return step;
    if (lanes) {
        const uint32_t written = written_lanes(w, o, at, lanes, one_range);
        load_lanes(w, o, at, lanes);
        for (unsigned r = 0; r < o->n_regs; r++) gfx_mark(w, o->inst.dst + r, lanes, written);
    }
    gfx_loading(w, &w->vm, GFX_LOAD_VGPRS, o->inst.dst, o->n_regs);
    if (o->inst.format == GFX_FLAT) gfx_loading(w, &w->lgkm, GFX_LOAD_VGPRS, o->inst.dst, o->n_regs);
    return GFX_GO_ON;
}

int gfx_check_data(gfx_wave *w, const gfx_op *o, unsigned data, unsigned n, uint32_t lanes) {
    for (unsigned r = data; r < data + n; r++) {
        if (w->v_loading[r])
            return (int)gfx_fail(w, o, "stores v%u, which is still being loaded: no s_waitcnt came before", r);
        const uint32_t never = lanes & ~w->v_written[r];
        if (never)
            return (int)gfx_fail(w, o, "uninitialized: stores v%u, which depends on what was never written (lane %d)",
                                 r, __builtin_ctz(never));
    }
    return GFX_GO_ON;
}

static int run_store(gfx_wave *w, const gfx_op *o) {
    uint64_t at[GFX_LANES];
    uint32_t lanes = gfx_exec(w);
    bool one_range = false;
    int step = GFX_GO_ON;
    if (!lanes) return GFX_GO_ON;
    if (!addresses(w, o, lanes, at)) return GFX_FAILED;
    if (o->inst.format == GFX_FLAT) step = flat_apertures(w, o, at, &lanes, true);
    if (!step && lanes) step = gfx_check_data(w, o, o->inst.src[0], o->n_regs, lanes);
    if (!step && lanes) step = check_lanes(w, o, at, lanes, true, &one_range);
    if (!step && lanes) mark_lanes(w, o, at, lanes, one_range);
    for (unsigned l = 0; !step && l < GFX_LANES; l++)
        if (lanes >> l & 1) store_lane(w, o, l, (uint8_t *)(uintptr_t)at[l]);
    if (!step && o->inst.format == GFX_FLAT) gfx_loading(w, &w->lgkm, GFX_LOAD_NOTHING, 0, 0);
    return step;
}

/* ---- Scalar loads -------------------------------------------------------------------------------------------------
 */

static int run_smem(gfx_wave *w, const gfx_op *o) {
    const gfx_inst *i = &o->inst;
    uint32_t half[2], known[3] = {0, 0, (uint32_t)GFX_ALL}, more = 0;
    if (!gfx_scalar(w, i->addr, 0, &half[0], &known[0]) || !gfx_scalar(w, i->addr + 1u, 0, &half[1], &known[1]) ||
        (i->saddr != GFX_NULL && !gfx_scalar(w, i->saddr, 0, &more, &known[2])))
        return (int)gfx_fail(w, o, "its address is still being loaded: no s_waitcnt came before");
    if ((known[0] & known[1] & known[2]) != (uint32_t)GFX_ALL)
        return (int)gfx_fail(w, o, "its address was never written");
    const uint64_t at = (((uint64_t)half[1] << 32 | half[0]) + (uint64_t)(int64_t)i->offset + more) & ~3ull;
    if (at > UINT64_MAX - 64 || !find_range(w, 1, at, at + 4ull * o->n_regs)) return out_of_bounds(w, o, 0, at, false);
    for (unsigned r = 0; r < o->n_regs; r++) {
        uint32_t v;
        memcpy(&v, (const uint8_t *)(uintptr_t)at + 4 * r, 4);
        const gfx_range *in = &w->range[1];
        const bool written = !in->written || !memchr(in->written + (at - in->begin) + 4 * r, 0, 4);
        gfx_set_scalar(w, i->dst + r, v, written ? (uint32_t)GFX_ALL : 0);
    }
    gfx_loading(w, &w->lgkm, GFX_LOAD_SGPRS, i->dst, o->n_regs);
    return GFX_GO_ON;
}

static int run_cache(gfx_wave *w, const gfx_op *o) {
    (void)w, (void)o;
    return GFX_GO_ON;
}

/* ---- Making ready -------------------------------------------------------------------------------------------------
 */

/* The bytes of "..._u8", "..._b96" or "..._d16_hi_b16"; 0: unknown. */
static bool size_of(const char *name, gfx_op *o) {
    static const struct {
        const char *text;
        uint8_t bytes;
        bool is_signed;
    } sizes[] = {{"_u8", 1, false},  {"_i8", 1, true},   {"_b8", 1, false},  {"_u16", 2, false},  {"_i16", 2, true},
                 {"_b16", 2, false}, {"_b32", 4, false}, {"_b64", 8, false}, {"_b96", 12, false}, {"_b128", 16, false}};
    const char *last = strrchr(name, '_');
    o->d16 = strstr(name, "_d16") != NULL;
    o->high = strstr(name, "_hi") != NULL;
    char size[48];
    strncpy(size, name, sizeof size - 1);
    size[sizeof size - 1] = 0;
    if (strncmp(name, "ds_", 3) == 0 && o->d16) { /* of LDS the size stands before */
        *strstr(size, "_d16") = 0;
        last = strrchr(size, '_');
    }
    for (size_t i = 0; last && i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(sizes[i].text, last) != 0) continue;
        o->bytes = sizes[i].bytes;
        o->is_signed = sizes[i].is_signed;
        o->n_regs = (uint8_t)((o->bytes + 3) / 4);
        return true;
    }
    return false;
}

bool gfx_access_size(const char *name, gfx_op *o) {
    return size_of(name, o);
}

bool gfx_has_vgprs(const gfx_code *c, unsigned at, unsigned n) {
    return at + n <= c->n_vgprs && at + n <= GFX_N_VGPRS;
}

static bool lower_smem(gfx_op *o) {
    const char *name = o->inst.spec->name;
    if (strcmp(name, "s_gl1_inv") == 0 || strcmp(name, "s_dcache_inv") == 0) {
        o->run = run_cache;
        return true;
    }
    if (strncmp(name, "s_load_b", 8) != 0) return false;
    o->n_regs = o->inst.spec->dst;
    o->bytes = (uint8_t)(4 * o->n_regs);
    o->run = run_smem;
    return o->inst.dst + o->n_regs <= GFX_VCC_HI + 1u;
}

bool gfx_lower_memory(gfx_code *c, gfx_op *o) {
    const gfx_inst *i = &o->inst;
    const char *name = i->spec->name;
    if (i->format == GFX_SMEM) return lower_smem(o);
    if (i->format == GFX_MUBUF) {
        o->run = run_cache;
        return true;
    }
    const char *what = strchr(name, '_');
    const bool load = strncmp(what, "_load_", 6) == 0, store = strncmp(what, "_store_", 7) == 0;
    if ((!load && !store) || strstr(name, "addtid") || !size_of(name, o)) return false;
    if (!gfx_has_vgprs(c, load ? i->dst : i->src[0], o->n_regs)) return false;
    if (i->format == GFX_SCRATCH) return gfx_lower_scratch(c, o, store);
    const unsigned n_address = i->format == GFX_GLOBAL && i->saddr != GFX_NULL ? 1 : 2;
    if (!gfx_has_vgprs(c, i->addr, n_address)) return false;
    o->run = load ? run_load : run_store;
    return true;
}
