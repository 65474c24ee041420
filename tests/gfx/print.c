/* SPDX-License-Identifier: Apache-2.0
 *
 * An instruction as text, in the form that llvm-objdump prints, so that the two can be compared on everything that
 * ships. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gfx/inst.h"

typedef struct printer {
    const gfx_inst *i;
    char *out;
    size_t n;
    bool first; /* no operand yet */
} printer;

static void put(printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(printer *p, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(p->out + p->n, GFX_INST_TEXT - p->n, format, list);
    va_end(list);
    if (n > 0) p->n += (size_t)n;
    if (p->n >= GFX_INST_TEXT) p->n = GFX_INST_TEXT - 1;
}

static void next_operand(printer *p) {
    put(p, p->first ? " " : ", ");
    p->first = false;
}

static void put_registers(printer *p, char kind, unsigned at, unsigned n) {
    if (n <= 1)
        put(p, "%c%u", kind, at);
    else
        put(p, "%c[%u:%u]", kind, at, at + n - 1);
}

static void put_special(printer *p, unsigned code, unsigned n) {
    static const struct {
        uint16_t code;
        const char *one, *two;
    } names[] = {{GFX_VCC_LO, "vcc_lo", "vcc"},
                 {GFX_VCC_HI, "vcc_hi", NULL},
                 {GFX_NULL, "null", "null"},
                 {GFX_M0, "m0", NULL},
                 {GFX_EXEC_LO, "exec_lo", "exec"},
                 {GFX_EXEC_HI, "exec_hi", NULL},
                 {235, "src_shared_base", "src_shared_base"},
                 {236, "src_shared_limit", "src_shared_limit"},
                 {237, "src_private_base", "src_private_base"},
                 {238, "src_private_limit", "src_private_limit"},
                 {240, "0.5", "0.5"},
                 {241, "-0.5", "-0.5"},
                 {242, "1.0", "1.0"},
                 {243, "-1.0", "-1.0"},
                 {244, "2.0", "2.0"},
                 {245, "-2.0", "-2.0"},
                 {246, "4.0", "4.0"},
                 {247, "-4.0", "-4.0"},
                 {248, "0.15915494", "0.15915494309189532"},
                 {251, "src_vccz", NULL},
                 {252, "src_execz", NULL},
                 {GFX_SCC, "src_scc", NULL}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].code != code) continue;
        put(p, "%s", n > 1 && names[i].two ? names[i].two : names[i].one);
        return;
    }
    put(p, "?%u", code);
}

/* A source as it is encoded, of n registers. */
static void put_source(printer *p, unsigned code, unsigned n) {
    if (code >= GFX_VGPR)
        put_registers(p, 'v', code - GFX_VGPR, n);
    else if (code < GFX_VCC_LO)
        put_registers(p, 's', code, n);
    else if (code >= 108 && code < 124) {
        put(p, n > 1 ? "ttmp[%u:%u]" : "ttmp%u", code - 108, code - 108 + n - 1);
    } else if (code >= 128 && code <= 192)
        put(p, "%u", code - 128);
    else if (code >= 193 && code <= 208)
        put(p, "%d", 192 - (int)code);
    else if (code == GFX_LITERAL)
        put(p, "0x%x", p->i->literal);
    else
        put_special(p, code, n);
}

static void operand(printer *p, unsigned code, unsigned n) {
    next_operand(p);
    put_source(p, code, n);
}

static void vgpr_operand(printer *p, unsigned at, unsigned n) {
    operand(p, GFX_VGPR + at, n);
}

/* A source with the modifiers of VOP3. */
static void modified(printer *p, int s, bool with_abs) {
    const gfx_inst *i = p->i;
    const bool neg = i->neg >> s & 1, abs = with_abs && i->abs >> s & 1;
    const bool constant = i->src[s] >= 128 && i->src[s] < GFX_VGPR;
    next_operand(p);
    if (neg) put(p, constant && !abs ? "neg(" : "-");
    if (abs) put(p, "|");
    put_source(p, i->src[s], i->spec->src[s]);
    if (abs) put(p, "|");
    if (neg && constant && !abs) put(p, ")");
}

static int n_sources(const gfx_spec *s) {
    int n = 0;
    while (n < 3 && s->src[n]) n++;
    return n;
}

static void put_list(printer *p, const char *name, unsigned mask, int n) {
    put(p, " %s:[", name);
    for (int b = 0; b < n; b++) put(p, b ? ",%u" : "%u", mask >> b & 1);
    put(p, "]");
}

/* ---- Scalar instructions ----------------------------------------------------------------------------------------- */

static void print_waitcnt(printer *p) {
    const unsigned imm = p->i->imm, vm = imm >> 10 & 63, lgkm = imm >> 4 & 63, exp = imm & 7;
    const bool all = vm == 63 && lgkm == 63 && exp == 7;
    if (vm != 63 || all) put(p, " vmcnt(%u)", vm);
    if (exp != 7 || all) put(p, " expcnt(%u)", exp);
    if (lgkm != 63 || all) put(p, " lgkmcnt(%u)", lgkm);
}

static void put_delay(printer *p, unsigned v) {
    static const char *const names[12] = {
        "NO_DEP",        "VALU_DEP_1",    "VALU_DEP_2",        "VALU_DEP_3",   "VALU_DEP_4",   "TRANS32_DEP_1",
        "TRANS32_DEP_2", "TRANS32_DEP_3", "FMA_ACCUM_CYCLE_1", "SALU_CYCLE_1", "SALU_CYCLE_2", "SALU_CYCLE_3"};
    put(p, "(%s)", v < 12 ? names[v] : "?");
}

static void print_delay_alu(printer *p) {
    static const char *const skips[8] = {"SAME", "NEXT", "SKIP_1", "SKIP_2", "SKIP_3", "SKIP_4", "?", "?"};
    const unsigned first = p->i->imm & 15, skip = p->i->imm >> 4 & 7, second = p->i->imm >> 7 & 15;
    const char *between = " ";
    if (first) {
        put(p, " instid0");
        put_delay(p, first);
        between = " | ";
    }
    if (skip) {
        put(p, "%sinstskip(%s)", between, skips[skip]);
        between = " | ";
    }
    if (second) {
        put(p, "%sinstid1", between);
        put_delay(p, second);
    }
}

static void put_hwreg(printer *p) {
    static const struct {
        unsigned id;
        const char *name;
    } names[] = {{1, "HW_REG_MODE"},          {2, "HW_REG_STATUS"},       {3, "HW_REG_TRAPSTS"},
                 {15, "HW_REG_SH_MEM_BASES"}, {20, "HW_REG_FLAT_SCR_LO"}, {21, "HW_REG_FLAT_SCR_HI"},
                 {23, "HW_REG_HW_ID1"},       {24, "HW_REG_HW_ID2"},      {29, "HW_REG_SHADER_CYCLES"}};
    const unsigned id = p->i->imm & 63, at = p->i->imm >> 6 & 31, n = (p->i->imm >> 11 & 31) + 1;
    const char *name = NULL;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (names[k].id == id) name = names[k].name;
    if (name)
        put(p, "hwreg(%s", name);
    else
        put(p, "hwreg(%u", id);
    if (at != 0 || n != 32) put(p, ", %u, %u", at, n);
    put(p, ")");
}

static bool named(const printer *p, const char *name) {
    return strcmp(p->i->spec->name, name) == 0;
}

static void print_sopp(printer *p) {
    const gfx_inst *i = p->i;
    if (named(p, "s_waitcnt"))
        print_waitcnt(p);
    else if (named(p, "s_delay_alu"))
        print_delay_alu(p);
    else if (named(p, "s_sendmsg") && i->imm == 3)
        put(p, " sendmsg(MSG_DEALLOC_VGPRS)");
    else if (named(p, "s_nop") || named(p, "s_sleep") || named(p, "s_setprio") || named(p, "s_denorm_mode") ||
             strncmp(i->spec->name, "s_cbranch", 9) == 0 || named(p, "s_branch"))
        put(p, i->imm < 10 || named(p, "s_branch") || i->spec->name[2] == 'c' ? " %u" : " 0x%x", i->imm);
    else if (named(p, "s_barrier") || named(p, "s_code_end") || named(p, "s_icache_inv") || named(p, "s_wait_idle") ||
             (named(p, "s_endpgm") && !i->imm))
        return;
    else
        put(p, " 0x%x", i->imm);
}

static void print_sopk(printer *p) {
    const gfx_inst *i = p->i;
    if (named(p, "s_setreg_b32") || named(p, "s_setreg_imm32_b32")) {
        put(p, " ");
        put_hwreg(p);
        if (named(p, "s_setreg_b32"))
            put(p, ", ");
        else {
            put(p, (int32_t)i->literal >= -16 && (int32_t)i->literal <= 64 ? ", %d" : ", 0x%x", (int32_t)i->literal);
            return;
        }
        put_source(p, i->dst, 1);
        return;
    }
    operand(p, i->dst, named(p, "s_call_b64") ? 2 : 1);
    put(p, ", ");
    if (named(p, "s_getreg_b32"))
        put_hwreg(p);
    else if (named(p, "s_call_b64"))
        put(p, "%u", i->imm);
    else
        put(p, "0x%x", i->imm);
}

static void print_sop(printer *p) {
    const gfx_inst *i = p->i;
    if (i->spec->dst) operand(p, i->dst, i->spec->dst);
    if (named(p, "s_fmamk_f32")) {
        operand(p, i->src[0], 1);
        put(p, ", 0x%x", i->literal);
        operand(p, i->src[1], 1);
        return;
    }
    for (int s = 0; s < n_sources(i->spec); s++) operand(p, i->src[s], i->spec->src[s]);
    if (named(p, "s_fmaak_f32")) put(p, ", 0x%x", i->literal);
}

static void print_smem(printer *p) {
    const gfx_inst *i = p->i;
    if (!i->spec->dst) return;
    operand(p, i->dst, i->spec->dst);
    operand(p, i->addr, strstr(i->spec->name, "buffer") ? 4 : 2);
    next_operand(p);
    if (i->saddr != GFX_NULL) {
        put_source(p, i->saddr, 1);
        if (i->offset) put(p, " offset:0x%x", i->offset);
    } else if (!i->offset)
        put(p, "null");
    else
        put(p, i->offset < 0 ? "-0x%x" : "0x%x", i->offset < 0 ? -i->offset : i->offset);
    if (i->glc) put(p, " glc");
    if (i->dlc) put(p, " dlc");
}

/* ---- Vector instructions ----------------------------------------------------------------------------------------- */

static void print_dpp(printer *p) {
    const gfx_inst *i = p->i;
    if (i->dpp == GFX_DPP_NONE) return;
    if (i->dpp == GFX_DPP_8) {
        put(p, " dpp8:[");
        for (int l = 0; l < 8; l++) put(p, l ? ",%u" : "%u", i->dpp8 >> 3 * l & 7);
        put(p, i->fetch_inactive ? "] fi:1" : "]");
        return;
    }
    const unsigned c = i->dpp_ctrl, n = c & 15;
    if (c < 0x100)
        put(p, " quad_perm:[%u,%u,%u,%u]", c & 3, c >> 2 & 3, c >> 4 & 3, c >> 6 & 3);
    else if (c < 0x110)
        put(p, " row_shl:%u", n);
    else if (c < 0x120)
        put(p, " row_shr:%u", n);
    else if (c < 0x130)
        put(p, " row_ror:%u", n);
    else if (c == 0x140)
        put(p, " row_mirror");
    else if (c == 0x141)
        put(p, " row_half_mirror");
    else if (c >= 0x150 && c < 0x160)
        put(p, " row_share:%u", n);
    else
        put(p, " row_xmask:%u", n);
    put(p, " row_mask:0x%x bank_mask:0x%x", i->row_mask, i->bank_mask);
    if (i->bound_ctrl) put(p, " bound_ctrl:1");
    if (i->fetch_inactive) put(p, " fi:1");
}

/* The long form's suffixes. */
static void print_out_modifiers(printer *p) {
    const gfx_inst *i = p->i;
    static const char *const omods[4] = {"", " mul:2", " mul:4", " div:2"};
    if (i->clamp) put(p, " clamp");
    put(p, "%s", omods[i->omod]);
}

static void print_vop12(printer *p) {
    const gfx_inst *i = p->i;
    if (named(p, "v_nop") || named(p, "v_pipeflush")) return;
    const bool carry = i->spec->name[2] != 'f' && strstr(i->spec->name, "_co_ci_u32");
    if (named(p, "v_readfirstlane_b32"))
        operand(p, i->dst, 1);
    else
        vgpr_operand(p, i->dst, i->spec->dst);
    if (carry) operand(p, GFX_VCC_LO, 1);
    modified(p, 0, true);
    if (strstr(i->spec->name, "fmamk")) put(p, ", 0x%x", i->literal);
    if (i->format == GFX_VOP2) modified(p, 1, true);
    if (strstr(i->spec->name, "fmaak")) put(p, ", 0x%x", i->literal);
    if (carry || named(p, "v_cndmask_b32")) operand(p, GFX_VCC_LO, 1);
}

static void print_vopc(printer *p) {
    if (strncmp(p->i->spec->name, "v_cmpx", 6) != 0) operand(p, GFX_VCC_LO, 1);
    modified(p, 0, true);
    modified(p, 1, true);
}

static void print_vop3(printer *p) {
    const gfx_inst *i = p->i;
    const bool compare = i->spec->base == GFX_VOPC, x = strncmp(i->spec->name, "v_cmpx", 6) == 0;
    if (named(p, "v_nop")) return;
    if (compare || named(p, "v_readlane_b32") || named(p, "v_readfirstlane_b32")) {
        if (!x) operand(p, i->dst, 1);
    } else
        vgpr_operand(p, i->dst, i->spec->dst);
    if (i->spec->sdst) operand(p, i->sdst, 1);
    const int n = n_sources(i->spec);
    for (int s = 0; s < n; s++) modified(p, s, !i->spec->sdst);
    if (i->op_sel && strstr(i->spec->name, "permlane"))
        put_list(p, "op_sel", i->op_sel, 2);
    else if (i->op_sel) {
        put(p, " op_sel:[");
        for (int s = 0; s < n; s++) put(p, "%u,", i->op_sel >> s & 1);
        put(p, "%u]", i->op_sel >> 3 & 1);
    }
    print_out_modifiers(p);
}

static void print_vop3p(printer *p) {
    const gfx_inst *i = p->i;
    const bool mix = strncmp(i->spec->name, "v_fma_mix", 9) == 0, wmma = strncmp(i->spec->name, "v_wmma", 6) == 0;
    const bool dot = strncmp(i->spec->name, "v_dot", 5) == 0;
    const int n = n_sources(i->spec);
    const unsigned all = (1u << n) - 1;
    vgpr_operand(p, i->dst, i->spec->dst);
    for (int s = 0; s < n; s++) {
        if (!mix) {
            operand(p, i->src[s], i->spec->src[s]);
            continue;
        }
        /* What is neg_hi elsewhere is the absolute value here. */
        gfx_inst copy = *i;
        copy.abs = i->neg_hi;
        printer q = {&copy, p->out, p->n, p->first};
        modified(&q, s, true);
        p->n = q.n;
        p->first = q.first;
    }
    if (i->op_sel) put_list(p, "op_sel", i->op_sel, n);
    if (mix ? i->op_sel_hi != 0 : (i->op_sel_hi & all) != all) put_list(p, "op_sel_hi", i->op_sel_hi, n);
    if (!mix && i->neg) put_list(p, "neg_lo", i->neg, n);
    if (!mix && i->neg_hi) put_list(p, "neg_hi", i->neg_hi, n);
    (void)wmma, (void)dot;
    if (i->clamp) put(p, " clamp");
}

static void print_vopd_half(printer *p, const gfx_spec *s, unsigned dst, const uint16_t *src) {
    put(p, "v_dual_%s", s->name + 2);
    p->first = true;
    vgpr_operand(p, dst, 1);
    operand(p, src[0], 1);
    if (strstr(s->name, "fmamk")) put(p, ", 0x%x", p->i->literal);
    if (strcmp(s->name, "v_mov_b32") != 0) operand(p, src[1], 1);
    if (strstr(s->name, "fmaak")) put(p, ", 0x%x", p->i->literal);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void print_ds(printer *p) {
    const gfx_inst *i = p->i;
    const bool two = strstr(i->spec->name, "2addr") != NULL;
    if (i->spec->dst) vgpr_operand(p, i->dst, i->spec->dst);
    vgpr_operand(p, i->addr, 1);
    for (int s = 0; s < n_sources(i->spec); s++) vgpr_operand(p, i->src[s], i->spec->src[s]);
    if (!two && i->offset) put(p, " offset:%d", i->offset);
    if (two && i->offset & 255) put(p, " offset0:%d", i->offset & 255);
    if (two && i->offset >> 8) put(p, " offset1:%d", i->offset >> 8);
    if (i->gds) put(p, " gds");
}

static void print_flat(printer *p) {
    const gfx_inst *i = p->i;
    const bool atomic = strstr(i->spec->name, "atomic") != NULL, off = i->saddr == GFX_NULL;
    if (i->spec->dst && (!atomic || i->glc)) vgpr_operand(p, i->dst, i->spec->dst);
    if (i->format == GFX_SCRATCH) {
        if (i->sve)
            vgpr_operand(p, i->addr, 1);
        else {
            next_operand(p);
            put(p, "off");
        }
    } else
        vgpr_operand(p, i->addr, i->format == GFX_FLAT || off ? 2 : 1);
    if (i->spec->src[0]) vgpr_operand(p, i->src[0], i->spec->src[0]);
    if (i->format != GFX_FLAT) {
        next_operand(p);
        if (off)
            put(p, "off");
        else
            put_source(p, i->saddr, i->format == GFX_GLOBAL ? 2 : 1);
    }
    if (i->offset) put(p, " offset:%d", i->offset);
    if (i->glc) put(p, " glc");
    if (i->slc) put(p, " slc");
    if (i->dlc) put(p, " dlc");
}

static const char *suffix_of(const gfx_inst *i) {
    const char *name = i->spec->name;
    if (strstr(name, "fmamk") || strstr(name, "fmaak") || strcmp(name, "v_nop") == 0 || strstr(name, "pk_fmac") ||
        strstr(name, "dot2acc"))
        return i->dpp ? "_dpp" : "";
    const bool shorts = i->format == GFX_VOP1 || i->format == GFX_VOP2 || i->format == GFX_VOPC;
    const bool only =
        strcmp(name, "v_readfirstlane_b32") == 0 || strstr(name, "swap_b32") || strstr(name, "permlane64");
    if (only) return "";
    if (i->format == GFX_VOPC && i->dpp) return ""; /* so it is printed */
    if (shorts) return i->dpp ? "_dpp" : "_e32";
    if (i->dpp) return "_e64_dpp";
    return i->format == GFX_VOP3 && i->spec->base != GFX_VOP3 ? "_e64" : "";
}

static void print_operands(printer *p) {
    const gfx_inst *i = p->i;
    switch (i->format) {
    case GFX_SOP1:
    case GFX_SOP2:
    case GFX_SOPC:
        print_sop(p);
        break;
    case GFX_SOPK:
        print_sopk(p);
        break;
    case GFX_SOPP:
        print_sopp(p);
        break;
    case GFX_SMEM:
        print_smem(p);
        break;
    case GFX_VOP1:
    case GFX_VOP2:
        print_vop12(p);
        break;
    case GFX_VOPC:
        print_vopc(p);
        break;
    case GFX_VOP3:
        print_vop3(p);
        break;
    case GFX_VOP3P:
        print_vop3p(p);
        break;
    case GFX_DS:
        print_ds(p);
        break;
    case GFX_FLAT:
    case GFX_GLOBAL:
    case GFX_SCRATCH:
        print_flat(p);
        break;
    case GFX_VOPDX:
    case GFX_VOPDY:
    case GFX_MUBUF:
    case GFX_N_FORMATS:
        break;
    }
    print_dpp(p);
}

void gfx_print(const gfx_inst *i, char out[GFX_INST_TEXT]) {
    printer p = {i, out, 0, true};
    out[0] = 0;
    if (i->format == GFX_VOPDX) {
        print_vopd_half(&p, i->spec, i->dst, i->src);
        put(&p, " :: ");
        print_vopd_half(&p, i->y, i->y_dst, i->y_src);
        return;
    }
    put(&p, "%s%s", i->spec->name, suffix_of(i));
    print_operands(&p);
}
