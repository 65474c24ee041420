/* SPDX-License-Identifier: Apache-2.0
 *
 * Vector arithmetic: fetches the sources of an instruction, lets valu_*.c compute all lanes, and writes back the lanes
 * that EXEC names. A lane of the result counts as written if the lanes that it was made of were. */
#include <string.h>

#include "gfx/wave.h"

static bool is_wide(gfx_type t) {
    return t == GFX_B64 || t == GFX_F64 || t == GFX_I64 || t == GFX_U64;
}

static bool is_half(gfx_type t) {
    return t == GFX_B16 || t == GFX_F16 || t == GFX_BF16 || t == GFX_I16 || t == GFX_U16;
}

static int still_loading(gfx_wave *w, const gfx_op *o) {
    return (int)gfx_fail(w, o, "reads or writes a register that is still being loaded: no s_waitcnt came before");
}

/* ---- Sources ------------------------------------------------------------------------------------------------------
 */

/* Which lanes of the sources were written: of 32-bit sources, and of the halves of 64-bit ones. */
typedef struct marks {
    uint32_t narrow, lo, hi;
} marks;

static const marks all_written = {0xffffffff, 0xffffffff, 0xffffffff};

static uint32_t all_of(const marks *m) {
    return m->narrow & m->lo & m->hi;
}

/* Broadcasts a scalar; false: it is still being loaded. */
static inline bool fetch_scalar(gfx_wave *w, const gfx_op *o, const gfx_half *h, int s, gfx_valu_in *in, marks *m) {
    uint32_t value, known;
    const unsigned code = h->src[s].at;
    if (!gfx_scalar(w, code, o->inst.literal, &value, &known)) return false;
    gfx_broadcast(w->scratch_lanes[s], value);
    in->lo[s] = w->scratch_lanes[s];
    if (known != (uint32_t)GFX_ALL) *(h->src[s].wide ? &m->lo : &m->narrow) = 0;
    if (!h->src[s].wide) return true;
    if (code >= 235 && code <= 238)
        value = code <= 236 ? GFX_SHARED_BASE_HI : GFX_PRIVATE_BASE_HI;
    else if (!gfx_scalar(w, code == GFX_NULL ? code : code + 1, 0, &value, &known))
        return false;
    gfx_broadcast(w->scratch_lanes[3 + s], value);
    in->hi[s] = w->scratch_lanes[3 + s];
    if (known != (uint32_t)GFX_ALL) m->hi = 0;
    return true;
}

static inline bool fetch(gfx_wave *w, const gfx_op *o, const gfx_half *h, int s, gfx_valu_in *in, marks *m) {
    const gfx_operand *src = &h->src[s];
    if (src->kind != GFX_IS_VGPR) return src->kind != GFX_IS_SGPR || fetch_scalar(w, o, h, s, in, m);
    in->lo[s] = w->v[src->at];
    if (w->v_loading[src->at]) return false;
    if (!src->wide) {
        m->narrow &= w->v_written[src->at];
        return true;
    }
    in->hi[s] = w->v[src->at + 1];
    m->lo &= w->v_written[src->at];
    m->hi &= w->v_written[src->at + 1];
    return !w->v_loading[src->at + 1];
}

/* v_cndmask: of each lane only the source that is taken counts. */
static uint32_t select_written(const gfx_wave *w, const gfx_half *h, uint32_t mask, uint32_t mask_written) {
    uint32_t of[2] = {(uint32_t)GFX_ALL, (uint32_t)GFX_ALL};
    for (int s = 0; s < 2; s++) {
        if (h->src[s].kind == GFX_IS_VGPR) of[s] = w->v_written[h->src[s].at];
        if (h->src[s].kind == GFX_IS_SGPR && w->s_written[h->src[s].at % GFX_N_SGPRS] != (uint32_t)GFX_ALL) of[s] = 0;
    }
    return ((mask & of[1]) | (~mask & of[0])) & mask_written;
}

/* ---- Results ------------------------------------------------------------------------------------------------------
 */

static inline void put_half_words(gfx_wave *w, const gfx_half *h, const uint32_t *lo, uint32_t lanes) {
    uint32_t *to = w->v[h->dst];
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(lanes >> l & 1)) continue;
        to[l] = h->high ? (to[l] & 0xffff) | lo[l] << 16 : (to[l] & 0xffff0000) | (lo[l] & 0xffff);
    }
}

static inline bool put_mask(gfx_wave *w, const gfx_op *o, const gfx_half *h, uint32_t mask, uint32_t lanes,
                            uint32_t written) {
    if (h->to_exec) {
        if ((written & lanes) != lanes) {
            gfx_fail(w, o, "EXEC would depend on what was never written");
            return false;
        }
        w->s[GFX_EXEC_LO] = mask & lanes;
        return true;
    }
    if (h->mask_out < GFX_N_SGPRS && w->s_loading[h->mask_out]) {
        still_loading(w, o);
        return false;
    }
    gfx_set_scalar(w, h->mask_out, mask & lanes, written | ~lanes);
    return true;
}

/* All of it: 16-bit and 64-bit results, masks in and out. `lanes`: those that are written. */
static bool put_out(gfx_wave *w, const gfx_op *o, const gfx_half *h, const gfx_valu_out *out, uint32_t lanes,
                    const marks *m) {
    if (h->valu->dst != GFX_NONE) {
        if (w->v_loading[h->dst] || (h->dst_wide && w->v_loading[h->dst + 1])) {
            still_loading(w, o);
            return false;
        }
        if (h->half_word)
            put_half_words(w, h, out->lo, lanes);
        else
            gfx_blend(w->v[h->dst], out->lo, lanes);
        gfx_mark(w, h->dst, lanes, h->spread == GFX_UPWARDS ? m->narrow & m->lo : all_of(m));
        if (h->dst_wide) {
            gfx_blend(w->v[h->dst + 1], out->hi, lanes);
            gfx_mark(w, h->dst + 1u, lanes, h->spread == GFX_DOWNWARDS ? m->narrow & m->hi : all_of(m));
        }
    }
    return !h->valu->writes_mask || put_mask(w, o, h, out->mask, lanes, all_of(m));
}

/* ---- Whole instructions -------------------------------------------------------------------------------------------
 */

/* 32 bits in and out, neither masks nor DPP: most of what runs. n is a constant where it is inlined. */
static inline int run_plain(gfx_wave *w, const gfx_op *o, int n) {
    gfx_valu_in in = o->x.in;
    gfx_valu_out out;
    marks m = all_written;
    const uint32_t lanes = gfx_exec(w);
    in.mode = w->mode;
    for (int s = 0; s < n; s++)
        if (!fetch(w, o, &o->x, s, &in, &m)) return still_loading(w, o);
    if (w->v_loading[o->x.dst]) return still_loading(w, o);
    if (!lanes) return GFX_GO_ON;
    o->x.valu->run(&in, &out);
    gfx_blend(w->v[o->x.dst], out.lo, lanes);
    gfx_mark(w, o->x.dst, lanes, m.narrow);
    return GFX_GO_ON;
}

static int run_plain1(gfx_wave *w, const gfx_op *o) {
    return run_plain(w, o, 1);
}

static int run_plain2(gfx_wave *w, const gfx_op *o) {
    return run_plain(w, o, 2);
}

static int run_plain3(gfx_wave *w, const gfx_op *o) {
    return run_plain(w, o, 3);
}

/* v_mov_b32 from a register or a constant, of which nothing is computed. */
static int run_mov(gfx_wave *w, const gfx_op *o) {
    gfx_valu_in in = o->x.in;
    marks m = all_written;
    if (!fetch(w, o, &o->x, 0, &in, &m) || w->v_loading[o->x.dst]) return still_loading(w, o);
    if (in.lo[0] != w->v[o->x.dst]) gfx_blend(w->v[o->x.dst], in.lo[0], gfx_exec(w));
    gfx_mark(w, o->x.dst, gfx_exec(w), m.narrow);
    return GFX_GO_ON;
}

static bool fetch_all(gfx_wave *w, const gfx_op *o, const gfx_half *h, gfx_valu_in *in, marks *m) {
    *in = h->in;
    *m = all_written;
    in->mode = w->mode;
    for (int s = 0; s < 3; s++)
        if (!fetch(w, o, h, s, in, m)) return false;
    if (!h->valu->reads_mask) return true;
    uint32_t mask_written;
    if (!gfx_scalar(w, h->mask_in, 0, &in->mask, &mask_written)) return false;
    m->narrow = h->select ? select_written(w, h, in->mask, mask_written) : m->narrow & mask_written;
    return true;
}

static int run_any(gfx_wave *w, const gfx_op *o) {
    gfx_valu_in in;
    gfx_valu_out out = {.mask = 0};
    marks m;
    const uint32_t lanes = gfx_exec(w);
    if (!fetch_all(w, o, &o->x, &in, &m)) return still_loading(w, o);
    if (lanes) o->x.valu->run(&in, &out);
    return put_out(w, o, &o->x, &out, lanes, &m) ? GFX_GO_ON : GFX_FAILED;
}

/* Both halves read before either writes. */
static int run_dual(gfx_wave *w, const gfx_op *o) {
    gfx_valu_in in;
    gfx_valu_out x, y;
    marks x_marks, y_marks;
    const uint32_t lanes = gfx_exec(w);
    if (!fetch_all(w, o, &o->x, &in, &x_marks)) return still_loading(w, o);
    o->x.valu->run(&in, &x);
    if (!fetch_all(w, o, &o->y, &in, &y_marks)) return still_loading(w, o);
    o->y.valu->run(&in, &y);
    if (w->v_loading[o->x.dst] || w->v_loading[o->y.dst]) return still_loading(w, o);
    gfx_blend(w->v[o->x.dst], x.lo, lanes);
    gfx_mark(w, o->x.dst, lanes, x_marks.narrow);
    gfx_blend(w->v[o->y.dst], y.lo, lanes);
    gfx_mark(w, o->y.dst, lanes, y_marks.narrow);
    return GFX_GO_ON;
}

/* ---- DPP: source 0 comes from other lanes -------------------------------------------------------------------------
 */

static void permute(uint32_t *to, const uint32_t *from, const uint8_t *lane_of, uint32_t valid) {
    for (int l = 0; l < GFX_LANES; l++) to[l] = valid >> l & 1 ? from[lane_of[l]] : 0;
}

static uint32_t permute_bits(uint32_t from, const uint8_t *lane_of, uint32_t valid) {
    uint32_t to = 0;
    for (int l = 0; l < GFX_LANES; l++) to |= (from >> lane_of[l] & valid >> l & 1) << l;
    return to;
}

static int run_dpp(gfx_wave *w, const gfx_op *o) {
    gfx_valu_in in;
    gfx_valu_out out = {.mask = 0};
    marks m, moved = all_written;
    if (!fetch_all(w, o, &o->x, &in, &m)) return still_loading(w, o);
    uint32_t valid = o->lanes_valid;
    if (!o->inst.fetch_inactive) valid &= permute_bits(gfx_exec(w), o->lane_of, valid);
    /* The first source's marks travel with it; those of the others stay. */
    for (int s = 1; s < 3; s++) fetch(w, o, &o->x, s, &in, &moved);
    if (o->x.src[0].kind == GFX_IS_VGPR)
        moved.narrow &= permute_bits(w->v_written[o->x.src[0].at], o->lane_of, valid) | ~valid;
    uint32_t mask, mask_written = (uint32_t)GFX_ALL;
    if (o->x.valu->reads_mask) gfx_scalar(w, o->x.mask_in, 0, &mask, &mask_written);
    moved.narrow &= mask_written;
    permute(w->scratch_lanes[0], in.lo[0], o->lane_of, valid);
    in.lo[0] = w->scratch_lanes[0];
    uint32_t lanes = gfx_exec(w) & o->lanes_enabled;
    if (o->inst.dpp == GFX_DPP_16 && !o->inst.bound_ctrl) lanes &= valid;
    o->x.valu->run(&in, &out);
    return put_out(w, o, &o->x, &out, lanes, &moved) ? GFX_GO_ON : GFX_FAILED;
}

/* The lane that each reads, by the control of DPP16; -1: none. */
static int lane_by_control(unsigned c, int lane) {
    const int row = lane & ~15, in_row = lane & 15, n = (int)(c & 15);
    if (c < 0x100) return (lane & ~3) | (int)(c >> 2 * (lane & 3) & 3);
    if (c < 0x110) return in_row + n < 16 ? row + in_row + n : -1; /* row_shl */
    if (c < 0x120) return in_row >= n ? row + in_row - n : -1;     /* row_shr */
    if (c < 0x130) return row + ((in_row - n) & 15);               /* row_ror */
    if (c == 0x140) return row + 15 - in_row;                      /* row_mirror */
    if (c == 0x141) return (lane & ~7) + 7 - (lane & 7);           /* row_half_mirror */
    if (c >= 0x150 && c < 0x160) return row + n;                   /* row_share */
    return row + (in_row ^ n);                                     /* row_xmask */
}

static void lower_dpp(gfx_op *o) {
    const gfx_inst *i = &o->inst;
    o->run = run_dpp;
    for (int l = 0; l < GFX_LANES; l++) {
        const int from =
            i->dpp == GFX_DPP_8 ? (l & ~7) + (int)(i->dpp8 >> 3 * (l & 7) & 7) : lane_by_control(i->dpp_ctrl, l);
        o->lane_of[l] = from < 0 ? 0 : (uint8_t)from;
        o->lanes_valid |= (uint32_t)(from >= 0) << l;
        const bool on = i->dpp == GFX_DPP_8 || (i->row_mask >> l / 16 & 1 && i->bank_mask >> l % 16 / 4 & 1);
        o->lanes_enabled |= (uint32_t)on << l;
    }
}

/* ---- Making ready -------------------------------------------------------------------------------------------------
 */

/* False: a constant that is none, a register that the kernel does not have, or no memory. */
static bool set_source(gfx_code *c, const gfx_op *o, gfx_half *h, int s, unsigned code) {
    const gfx_type type = h->valu->src[s];
    gfx_operand *to = &h->src[s];
    uint64_t value;
    *to = (gfx_operand){GFX_IS_SGPR, is_wide(type), (uint16_t)code};
    if (code >= GFX_VGPR) {
        to->kind = GFX_IS_VGPR;
        to->at = (uint16_t)(code - GFX_VGPR);
        const bool shorts = o->inst.format == GFX_VOP1 || o->inst.format == GFX_VOP2 || o->inst.format == GFX_VOPC;
        if (shorts && is_half(type) && to->at >= 128) { /* the upper half of a register */
            to->at -= 128;
            h->in.op_sel |= (uint8_t)(1 << s);
        }
        return to->at + (to->wide ? 1u : 0u) < c->n_vgprs;
    }
    if (!gfx_constant_of(type, code, o->inst.literal, &value)) return true;
    to->kind = GFX_IS_CONSTANT;
    h->in.lo[s] = gfx_constant(c, (uint32_t)value);
    h->in.hi[s] = gfx_constant(c, (uint32_t)(value >> 32));
    return h->in.lo[s] && h->in.hi[s];
}

/* Sources of fmamk and fmaak: the literal stands where it is named. */
static void order_of(const char *name, const uint16_t src[2], uint16_t out[3]) {
    const bool k = strstr(name, "fmamk") != NULL;
    out[0] = src[0];
    out[1] = k ? GFX_LITERAL : src[1];
    out[2] = k ? src[1] : GFX_LITERAL;
}

/* Sums carry upwards, shifts go one way: what the other half holds does not matter. */
static gfx_spread spread_of(const char *name) {
    if (strcmp(name, "v_mad_u64_u32") == 0 || strcmp(name, "v_mad_i64_i32") == 0 || strcmp(name, "v_lshlrev_b64") == 0)
        return GFX_UPWARDS;
    return strcmp(name, "v_lshrrev_b64") == 0 || strcmp(name, "v_ashrrev_i64") == 0 ? GFX_DOWNWARDS : GFX_EVERYWHERE;
}

static bool lower_half(gfx_code *c, gfx_op *o, gfx_half *h, const gfx_spec *spec, unsigned dst, const uint16_t *src) {
    const gfx_inst *i = &o->inst;
    char name[48];
    uint16_t codes[3] = {src[0], src[1], i->format == GFX_VOPDX ? 0 : src[2]};
    strncpy(name, spec->name, sizeof name - 1);
    name[sizeof name - 1] = 0;
    h->to_exec = strncmp(name, "v_cmpx_", 7) == 0;
    if (h->to_exec) memmove(name + 5, name + 6, strlen(name + 6) + 1);
    if (strstr(name, "fmamk") || strstr(name, "fmaak")) {
        order_of(name, src, codes);
        strcpy(name, strstr(name, "f16") ? "v_fma_f16" : "v_fma_f32");
    }
    h->valu = gfx_valu_find(name);
    if (!h->valu) return false;
    int n = 0;
    while (n < 3 && h->valu->src[n] != GFX_NONE) n++;
    if (h->valu->reads_dst) codes[n - 1] = (uint16_t)(GFX_VGPR + dst);
    for (int s = 0; s < n; s++)
        if (!set_source(c, o, h, s, codes[s])) return false;
    h->dst = (uint16_t)dst;
    h->dst_wide = is_wide(h->valu->dst);
    h->half_word = is_half(h->valu->dst);
    if (h->half_word && (i->format == GFX_VOP1 || i->format == GFX_VOP2) && dst >= 128) {
        h->dst -= 128;
        h->in.op_sel |= 8;
        if (h->valu->reads_dst) h->src[n - 1].at = h->dst, h->in.op_sel |= (uint8_t)(1 << (n - 1));
    }
    h->high = h->half_word && (h->in.op_sel >> 3 & 1 || h->valu->dst_high);
    h->select = strncmp(name, "v_cndmask", 9) == 0;
    h->mask_in = h->mask_out = GFX_VCC_LO;
    h->spread = spread_of(name);
    return h->valu->dst == GFX_NONE || h->dst + (h->dst_wide ? 1u : 0u) < c->n_vgprs;
}

static bool is_plain(const gfx_half *h) {
    if (h->valu->reads_mask || h->valu->writes_mask || h->dst_wide || h->half_word || h->valu->dst == GFX_NONE)
        return false;
    for (int s = 0; s < 3; s++)
        if (is_wide(h->valu->src[s])) return false;
    return true;
}

static void choose_run(gfx_op *o) {
    static int (*const plain[])(gfx_wave * w, const gfx_op *o) = {run_any, run_plain1, run_plain2, run_plain3};
    int n = 0;
    while (n < 3 && o->x.valu->src[n] != GFX_NONE) n++;
    o->run = is_plain(&o->x) ? plain[n] : run_any;
    if (strcmp(o->x.valu->name, "v_mov_b32") == 0) o->run = run_mov;
    if (o->inst.dpp) lower_dpp(o);
}

bool gfx_lower_vector(gfx_code *c, gfx_op *o) {
    const gfx_inst *i = &o->inst;
    const gfx_valu_in modifiers = {.neg = i->neg,
                                   .abs = i->abs,
                                   .neg_hi = i->neg_hi,
                                   .op_sel = i->op_sel,
                                   .op_sel_hi = i->op_sel_hi,
                                   .omod = i->omod,
                                   .clamp = i->clamp};
    o->x.in = o->y.in = modifiers;
    if (!lower_half(c, o, &o->x, i->spec, i->dst, i->src)) return false;
    if (i->format == GFX_VOPDX) {
        o->run = run_dual;
        return lower_half(c, o, &o->y, i->y, i->y_dst, i->y_src);
    }
    if (i->format == GFX_VOP3) {
        const bool div_fmas = strncmp(i->spec->name, "v_div_fmas", 10) == 0;
        if (o->x.valu->reads_mask && !div_fmas) o->x.mask_in = i->src[2];
        o->x.mask_out = i->spec->sdst ? i->sdst : i->dst;
    }
    choose_run(o);
    return true;
}
