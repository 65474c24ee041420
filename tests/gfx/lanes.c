/* SPDX-License-Identifier: Apache-2.0
 *
 * Vector instructions that move values between lanes, or between lanes and scalar registers. */
#include <string.h>

#include "gfx/wave.h"

static int still_loading(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "reads or writes a register that is still being loaded: no s_waitcnt came before");
}

static bool loading(const gfx_wave *w, unsigned code) {
    return code >= GFX_VGPR && w->v_loading[code - GFX_VGPR];
}

/* Lane l of a source that may be a scalar. */
static bool lane_of(gfx_wave *w, const gfx_op *o, unsigned code, unsigned l, uint32_t *value, bool *written) {
    uint32_t known;
    if (code >= GFX_VGPR) {
        *value = w->v[code - GFX_VGPR][l];
        *written = w->v_written[code - GFX_VGPR] >> l & 1;
        return !w->v_loading[code - GFX_VGPR];
    }
    if (!gfx_scalar(w, code, o->inst.literal, value, &known)) return false;
    *written = known == (uint32_t)GFX_ALL;
    return true;
}

static int put_scalar(gfx_wave *w, const gfx_op *o, uint32_t value, bool written) {
    if (o->inst.dst < GFX_N_SGPRS && w->s_loading[o->inst.dst]) return still_loading(w, o);
    gfx_set_scalar(w, o->inst.dst, value, written ? (uint32_t)GFX_ALL : 0);
    return GFX_GO_ON;
}

static int run_readfirstlane(gfx_wave *w, const gfx_op *o) {
    const unsigned l = gfx_exec(w) ? (unsigned)__builtin_ctz(gfx_exec(w)) : 0;
    uint32_t value;
    bool written;
    if (!lane_of(w, o, o->inst.src[0], l, &value, &written)) return still_loading(w, o);
    return put_scalar(w, o, value, written);
}

/* The lane's number of readlane and writelane. */
static int lane_number(gfx_wave *w, const gfx_op *o, unsigned *l) {
    uint32_t value, known;
    if (!gfx_scalar(w, o->inst.src[1], o->inst.literal, &value, &known)) return still_loading(w, o);
    if (known != (uint32_t)GFX_ALL) return (int)gfx_fail(w, o, "the lane's number was never written");
    *l = value & 31;
    return GFX_GO_ON;
}

static int run_readlane(gfx_wave *w, const gfx_op *o) {
    unsigned l = 0;
    uint32_t value;
    bool written;
    const int step = lane_number(w, o, &l);
    if (step) return step;
    if (!lane_of(w, o, o->inst.src[0], l, &value, &written)) return still_loading(w, o);
    return put_scalar(w, o, value, written);
}

static int run_writelane(gfx_wave *w, const gfx_op *o) {
    unsigned l = 0;
    uint32_t value;
    bool written;
    const int step = lane_number(w, o, &l);
    if (step) return step;
    if (!lane_of(w, o, o->inst.src[0], 0, &value, &written) || w->v_loading[o->inst.dst]) return still_loading(w, o);
    w->v[o->inst.dst][l] = value;
    gfx_mark(w, o->inst.dst, 1u << l, written ? (uint32_t)GFX_ALL : 0);
    return GFX_GO_ON;
}

/* Of lanes below this one those whose bit is set in the first source, plus the second. In wave32 mbcnt_hi counts none.
 */
static int run_mbcnt(gfx_wave *w, const gfx_op *o) {
    const bool high = strcmp(o->inst.spec->name, "v_mbcnt_hi_u32_b32") == 0;
    if (w->v_loading[o->inst.dst]) return still_loading(w, o);
    for (unsigned l = 0; l < GFX_LANES; l++) {
        uint32_t mask, more;
        bool mask_written, more_written;
        if (!(gfx_exec(w) >> l & 1)) continue;
        if (!lane_of(w, o, o->inst.src[0], l, &mask, &mask_written) ||
            !lane_of(w, o, o->inst.src[1], l, &more, &more_written))
            return still_loading(w, o);
        w->v[o->inst.dst][l] = more + (high ? 0 : (uint32_t)__builtin_popcount(mask & ((1u << l) - 1)));
        gfx_mark(w, o->inst.dst, 1u << l, mask_written && more_written ? (uint32_t)GFX_ALL : 0);
    }
    return GFX_GO_ON;
}

/* Each lane of a row of 16 reads the lane that 4 bits of two scalars name, of its own row or (x) of the other. op_sel
 * bit 0: of inactive lanes too; bit 1: inactive ones count as zero. */
static int run_permlane16(gfx_wave *w, const gfx_op *o) {
    const bool other = strcmp(o->inst.spec->name, "v_permlanex16_b32") == 0, inactive = o->inst.op_sel & 1;
    uint32_t select[2], known[2], out[GFX_LANES], written = 0, lanes = gfx_exec(w);
    const unsigned from = o->inst.src[0] - GFX_VGPR;
    if (o->inst.src[0] < GFX_VGPR) return (int)gfx_fail(w, o, "reads no vector register");
    for (int s = 0; s < 2; s++)
        if (!gfx_scalar(w, o->inst.src[1 + s], o->inst.literal, &select[s], &known[s])) return still_loading(w, o);
    if (w->v_loading[from] || w->v_loading[o->inst.dst]) return still_loading(w, o);
    if ((known[0] & known[1]) != (uint32_t)GFX_ALL) return (int)gfx_fail(w, o, "the lanes' numbers were never written");
    for (unsigned l = 0; l < GFX_LANES; l++) {
        const unsigned row = (l & 16) ^ (other ? 16u : 0u), at = row | (select[l >> 3 & 1] >> 4 * (l & 7) & 15);
        const bool valid = inactive || gfx_exec(w) >> at & 1;
        out[l] = valid ? w->v[from][at] : 0;
        written |= (valid ? w->v_written[from] >> at & 1 : 1u) << l;
        if (!valid && !(o->inst.op_sel & 2)) lanes &= ~(1u << l);
    }
    gfx_blend(w->v[o->inst.dst], out, lanes);
    gfx_mark(w, o->inst.dst, lanes, written);
    return GFX_GO_ON;
}

static int run_swap(gfx_wave *w, const gfx_op *o) {
    const unsigned a = o->inst.dst, b = o->inst.src[0] - GFX_VGPR;
    uint32_t old[GFX_LANES];
    if (o->inst.src[0] < GFX_VGPR) return (int)gfx_fail(w, o, "reads no vector register");
    if (w->v_loading[a] || loading(w, o->inst.src[0])) return still_loading(w, o);
    const uint32_t lanes = gfx_exec(w), a_written = w->v_written[a], b_written = w->v_written[b];
    memcpy(old, w->v[a], sizeof old);
    if (a != b) gfx_blend(w->v[a], w->v[b], lanes);
    gfx_blend(w->v[b], old, lanes);
    gfx_mark(w, a, lanes, b_written);
    gfx_mark(w, b, lanes, a_written);
    return GFX_GO_ON;
}

/* A register by its number plus M0: the source's (movrels) or the destination's (movreld). */
static int run_movrel(gfx_wave *w, const gfx_op *o) {
    const bool to = strcmp(o->inst.spec->name, "v_movreld_b32") == 0;
    uint32_t m0, known, value = 0, source_written = (uint32_t)GFX_ALL;
    if (!gfx_scalar(w, GFX_M0, 0, &m0, &known)) return still_loading(w, o);
    if (known != (uint32_t)GFX_ALL) return (int)gfx_fail(w, o, "M0 was never written");
    if (!to && o->inst.src[0] < GFX_VGPR) return (int)gfx_fail(w, o, "reads no vector register");
    const uint64_t dst = o->inst.dst + (to ? (uint64_t)m0 : 0);
    const uint64_t src = o->inst.src[0] < GFX_VGPR ? 0 : o->inst.src[0] - GFX_VGPR + (to ? 0 : (uint64_t)m0);
    const uint32_t n = w->group->code->n_vgprs;
    if (dst >= n || src >= n)
        return (int)gfx_fail(w, o, "M0 (%u) leads to a register that the kernel does not have", m0);
    if (w->v_loading[dst]) return still_loading(w, o);
    if (o->inst.src[0] < GFX_VGPR) {
        if (!gfx_scalar(w, o->inst.src[0], o->inst.literal, &value, &source_written)) return still_loading(w, o);
        gfx_broadcast(w->scratch_lanes[0], value);
        gfx_blend(w->v[dst], w->scratch_lanes[0], gfx_exec(w));
        gfx_mark(w, (unsigned)dst, gfx_exec(w), source_written == (uint32_t)GFX_ALL ? source_written : 0);
        return GFX_GO_ON;
    }
    if (w->v_loading[src]) return still_loading(w, o);
    if (dst != src) gfx_blend(w->v[dst], w->v[src], gfx_exec(w));
    gfx_mark(w, (unsigned)dst, gfx_exec(w), w->v_written[src]);
    return GFX_GO_ON;
}

static int run_nothing(gfx_wave *w, const gfx_op *o) {
    (void)w, (void)o;
    return GFX_GO_ON;
}

bool gfx_lower_lanes(gfx_code *c, gfx_op *o) {
    static const struct {
        const char *name;
        int (*run)(gfx_wave *w, const gfx_op *o);
        bool to_scalar;
    } rows[] = {{"v_readfirstlane_b32", run_readfirstlane, true},
                {"v_readlane_b32", run_readlane, true},
                {"v_writelane_b32", run_writelane, false},
                {"v_mbcnt_lo_u32_b32", run_mbcnt, false},
                {"v_mbcnt_hi_u32_b32", run_mbcnt, false},
                {"v_permlane16_b32", run_permlane16, false},
                {"v_permlanex16_b32", run_permlane16, false},
                {"v_swap_b32", run_swap, false},
                {"v_movrels_b32", run_movrel, false},
                {"v_movreld_b32", run_movrel, false},
                {"v_nop", run_nothing, true}};
    if (o->inst.dpp || o->inst.format == GFX_VOPDX) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, o->inst.spec->name) != 0) continue;
        for (int s = 0; s < 3; s++)
            if (o->inst.src[s] >= GFX_VGPR + c->n_vgprs) return false;
        if (!rows[i].to_scalar && o->inst.dst >= c->n_vgprs) return false;
        o->run = rows[i].run;
        return true;
    }
    return false;
}
