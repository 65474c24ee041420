/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes the fields of an instruction apart, by its encoding: the first bits of its first word say which. */
#include <string.h>

#include "gfx/inst.h"

static uint32_t bits(uint32_t w, int high, int low) {
    return w >> low & (uint32_t)((1ull << (high - low + 1)) - 1);
}

static int32_t sign_extend(uint32_t v, int n_bits) {
    return (int32_t)(v << (32 - n_bits)) >> (32 - n_bits);
}

/* What follows the instruction proper. */
static bool take_word(gfx_inst *i, size_t n, const uint32_t *words, uint32_t *out) {
    if (i->n_words >= n || i->n_words == 4) return false;
    *out = i->word[i->n_words] = words[i->n_words];
    i->n_words++;
    return true;
}

static bool take_literal(gfx_inst *i, size_t n, const uint32_t *words) {
    i->has_literal = true;
    return take_word(i, n, words, &i->literal);
}

static bool is_dpp(uint16_t src) {
    return src == GFX_SRC_DPP16 || src == GFX_SRC_DPP8 || src == GFX_SRC_DPP8_FI;
}

/* The word that says which lane of its row each lane reads src[0] of. */
static bool take_dpp(gfx_inst *i, size_t n, const uint32_t *words) {
    uint32_t w;
    const uint16_t kind = i->src[0];
    if (!take_word(i, n, words, &w)) return false;
    i->src[0] = (uint16_t)(GFX_VGPR + bits(w, 7, 0));
    if (kind == GFX_SRC_DPP16) {
        i->dpp = GFX_DPP_16;
        i->dpp_ctrl = (uint16_t)bits(w, 16, 8);
        i->fetch_inactive = (uint8_t)bits(w, 18, 18);
        i->bound_ctrl = (uint8_t)bits(w, 19, 19);
        i->bank_mask = (uint8_t)bits(w, 27, 24);
        i->row_mask = (uint8_t)bits(w, 31, 28);
        if (i->format != GFX_VOP3 && i->format != GFX_VOP3P) {
            i->neg = (uint8_t)(bits(w, 20, 20) | bits(w, 22, 22) << 1);
            i->abs = (uint8_t)(bits(w, 21, 21) | bits(w, 23, 23) << 1);
        }
        return true;
    }
    i->dpp = GFX_DPP_8;
    i->fetch_inactive = kind == GFX_SRC_DPP8_FI;
    i->dpp8 = bits(w, 31, 8);
    return true;
}

/* Whether src[] are operands as sources are encoded; of memory instructions they are numbers of VGPRs. */
static bool uses_sources(const gfx_inst *i) {
    return i->format <= GFX_SOPC || (i->format >= GFX_VOP1 && i->format <= GFX_VOPDX);
}

/* The words behind that sources and the opcode ask for. */
static bool take_rest(gfx_inst *i, size_t n, const uint32_t *words) {
    const bool vector = i->format >= GFX_VOP1 && i->format <= GFX_VOP3P;
    if (vector && is_dpp(i->src[0]) && !take_dpp(i, n, words)) return false;
    const char *name = i->spec->name;
    bool literal = strstr(name, "fmamk") || strstr(name, "fmaak") || strcmp(name, "s_setreg_imm32_b32") == 0;
    if (i->y) literal = literal || strstr(i->y->name, "fmamk") || strstr(i->y->name, "fmaak");
    for (int s = 0; s < 3; s++) literal = literal || (uses_sources(i) && i->src[s] == GFX_LITERAL);
    for (int s = 0; s < 2; s++) literal = literal || (i->y && i->y_src[s] == GFX_LITERAL);
    return !literal || take_literal(i, n, words);
}

static void decode_scalar(gfx_inst *i, uint32_t w) {
    if (bits(w, 31, 23) == 0x17d) {
        i->format = GFX_SOP1;
        i->op = (uint16_t)bits(w, 15, 8);
        i->dst = (uint16_t)bits(w, 22, 16);
        i->src[0] = (uint16_t)bits(w, 7, 0);
    } else if (bits(w, 31, 23) == 0x17e) {
        i->format = GFX_SOPC;
        i->op = (uint16_t)bits(w, 22, 16);
        i->src[0] = (uint16_t)bits(w, 7, 0);
        i->src[1] = (uint16_t)bits(w, 15, 8);
    } else if (bits(w, 31, 23) == 0x17f) {
        i->format = GFX_SOPP;
        i->op = (uint16_t)bits(w, 22, 16);
        i->imm = (uint16_t)w;
    } else if (bits(w, 31, 28) == 0xb) {
        i->format = GFX_SOPK;
        i->op = (uint16_t)bits(w, 27, 23);
        i->dst = (uint16_t)bits(w, 22, 16);
        i->imm = (uint16_t)w;
    } else {
        i->format = GFX_SOP2;
        i->op = (uint16_t)bits(w, 29, 23);
        i->dst = (uint16_t)bits(w, 22, 16);
        i->src[0] = (uint16_t)bits(w, 7, 0);
        i->src[1] = (uint16_t)bits(w, 15, 8);
    }
}

static void decode_vop12c(gfx_inst *i, uint32_t w) {
    i->src[0] = (uint16_t)bits(w, 8, 0);
    i->dst = (uint16_t)bits(w, 24, 17);
    if (bits(w, 31, 25) == 0x3f) {
        i->format = GFX_VOP1;
        i->op = (uint16_t)bits(w, 16, 9);
        return;
    }
    i->src[1] = (uint16_t)(GFX_VGPR + bits(w, 16, 9));
    i->format = GFX_VOP2;
    i->op = (uint16_t)bits(w, 30, 25);
    if (i->op != 0x3e) return;
    i->format = GFX_VOPC;
    i->op = (uint16_t)bits(w, 24, 17);
    i->dst = GFX_VCC_LO;
}

static void decode_vop3(gfx_inst *i, uint32_t w, uint32_t w1) {
    i->format = GFX_VOP3;
    i->op = (uint16_t)bits(w, 25, 16);
    i->dst = (uint16_t)bits(w, 7, 0);
    i->spec = gfx_spec_of(i->format, i->op);
    if (i->spec && i->spec->sdst)
        i->sdst = (uint16_t)bits(w, 14, 8);
    else {
        i->abs = (uint8_t)bits(w, 10, 8);
        i->op_sel = (uint8_t)bits(w, 14, 11);
    }
    i->clamp = (uint8_t)bits(w, 15, 15);
    for (int s = 0; s < 3; s++) i->src[s] = (uint16_t)bits(w1, 9 * s + 8, 9 * s);
    i->omod = (uint8_t)bits(w1, 28, 27);
    i->neg = (uint8_t)bits(w1, 31, 29);
}

static void decode_vop3p(gfx_inst *i, uint32_t w, uint32_t w1) {
    i->format = GFX_VOP3P;
    i->op = (uint16_t)bits(w, 22, 16);
    i->dst = (uint16_t)bits(w, 7, 0);
    i->neg_hi = (uint8_t)bits(w, 10, 8);
    i->op_sel = (uint8_t)bits(w, 13, 11);
    i->clamp = (uint8_t)bits(w, 15, 15);
    for (int s = 0; s < 3; s++) i->src[s] = (uint16_t)bits(w1, 9 * s + 8, 9 * s);
    i->op_sel_hi = (uint8_t)(bits(w1, 28, 27) | bits(w, 14, 14) << 2);
    i->neg = (uint8_t)bits(w1, 31, 29);
}

static void decode_vopd(gfx_inst *i, uint32_t w, uint32_t w1) {
    i->format = GFX_VOPDX;
    i->op = (uint16_t)bits(w, 25, 22);
    i->y = gfx_spec_of(GFX_VOPDY, bits(w, 21, 17));
    i->src[0] = (uint16_t)bits(w, 8, 0);
    i->src[1] = (uint16_t)(GFX_VGPR + bits(w, 16, 9));
    i->y_src[0] = (uint16_t)bits(w1, 8, 0);
    i->y_src[1] = (uint16_t)(GFX_VGPR + bits(w1, 16, 9));
    i->dst = (uint16_t)bits(w1, 31, 24);
    i->y_dst = (uint16_t)(bits(w1, 23, 17) << 1 | (~i->dst & 1)); /* one is even, the other odd */
}

static void decode_ds(gfx_inst *i, uint32_t w, uint32_t w1) {
    i->format = GFX_DS;
    i->op = (uint16_t)bits(w, 25, 18);
    i->offset = (int32_t)bits(w, 15, 0);
    i->gds = bits(w, 17, 17);
    i->addr = (uint16_t)bits(w1, 7, 0);
    i->src[0] = (uint16_t)bits(w1, 15, 8);
    i->src[1] = (uint16_t)bits(w1, 23, 16);
    i->dst = (uint16_t)bits(w1, 31, 24);
}

static void decode_flat(gfx_inst *i, uint32_t w, uint32_t w1) {
    static const gfx_format segments[4] = {GFX_FLAT, GFX_SCRATCH, GFX_GLOBAL, GFX_N_FORMATS};
    i->format = segments[bits(w, 17, 16)];
    i->op = (uint16_t)bits(w, 24, 18);
    i->offset = sign_extend(bits(w, 12, 0), 13);
    i->dlc = bits(w, 13, 13);
    i->glc = bits(w, 14, 14);
    i->slc = bits(w, 15, 15);
    i->addr = (uint16_t)bits(w1, 7, 0);
    i->src[0] = (uint16_t)bits(w1, 15, 8);
    i->saddr = (uint16_t)bits(w1, 22, 16);
    i->sve = bits(w1, 23, 23);
    i->dst = (uint16_t)bits(w1, 31, 24);
}

static void decode_smem(gfx_inst *i, uint32_t w, uint32_t w1) {
    i->format = GFX_SMEM;
    i->op = (uint16_t)bits(w, 25, 18);
    i->addr = (uint16_t)(bits(w, 5, 0) << 1);
    i->dst = (uint16_t)bits(w, 12, 6);
    i->dlc = bits(w, 13, 13);
    i->glc = bits(w, 14, 14);
    i->offset = sign_extend(bits(w1, 20, 0), 21);
    i->saddr = (uint16_t)bits(w1, 31, 25);
}

/* Instructions of two words; false: none of them. */
static bool decode_long(gfx_inst *i, uint32_t w, uint32_t w1) {
    switch (bits(w, 31, 26)) {
    case 0x35:
        decode_vop3(i, w, w1);
        return true;
    case 0x33:
        if (bits(w, 25, 23)) return false;
        decode_vop3p(i, w, w1);
        return true;
    case 0x32:
        decode_vopd(i, w, w1);
        return i->y != NULL;
    case 0x36:
        decode_ds(i, w, w1);
        return true;
    case 0x37:
        decode_flat(i, w, w1);
        return i->format != GFX_N_FORMATS;
    case 0x3d:
        decode_smem(i, w, w1);
        return true;
    case 0x38:
        i->format = GFX_MUBUF;
        i->op = (uint16_t)bits(w, 25, 18);
        return true;
    }
    return false;
}

bool gfx_decode(const uint32_t *words, size_t n, uint64_t pc, gfx_inst *out) {
    uint32_t w1;
    *out = (gfx_inst){.pc = pc};
    if (n == 0) return false;
    out->word[0] = words[0];
    out->n_words = 1;
    const uint32_t w = words[0];
    if (bits(w, 31, 30) == 2)
        decode_scalar(out, w);
    else if (bits(w, 31, 31) == 0)
        decode_vop12c(out, w);
    else if (!take_word(out, n, words, &w1) || !decode_long(out, w, w1))
        return false;
    out->spec = gfx_spec_of(out->format, out->op);
    return out->spec && take_rest(out, n, words);
}
