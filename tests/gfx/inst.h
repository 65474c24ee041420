/* SPDX-License-Identifier: Apache-2.0
 *
 * An instruction of gfx11 / gfx11.5 as it is encoded, with its fields taken apart. Encodings are those of AMD's RDNA 3
 * and RDNA 3.5 ISA documents; mnemonics are LLVM's. */
#ifndef NB_TESTS_GFX_INST_H
#define NB_TESTS_GFX_INST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gfx_format {
    GFX_SOP1,
    GFX_SOP2,
    GFX_SOPC,
    GFX_SOPK,
    GFX_SOPP,
    GFX_SMEM,
    GFX_VOP1,
    GFX_VOP2,
    GFX_VOPC,
    GFX_VOP3,
    GFX_VOP3P,
    GFX_VOPDX, /* both halves stand in one instruction, of format GFX_VOPDX */
    GFX_VOPDY,
    GFX_DS,
    GFX_FLAT,
    GFX_GLOBAL,
    GFX_SCRATCH,
    GFX_MUBUF,
    GFX_N_FORMATS
} gfx_format;

/* One row of the table: operands are counted in registers of 32 bits, 0: there is none. Of memory instructions dst is
 * what is loaded, src[0] and src[1] the data. */
typedef struct gfx_spec {
    char name[40]; /* without _e32, _e64; of both halves of VOPD without "dual_"; "": no such opcode */
    uint8_t dst, src[3];
    bool sdst;       /* VOP3: the encoding with a scalar destination in the modifiers' place */
    gfx_format base; /* GFX_VOP3: of which format the opcode is the long form (GFX_VOP3: of none) */
} gfx_spec;

/* NULL: there is no such opcode. */
const gfx_spec *gfx_spec_of(gfx_format format, unsigned op);

/* Operands as sources are encoded. */
enum {
    GFX_VCC_LO = 106,
    GFX_VCC_HI = 107,
    GFX_NULL = 124,
    GFX_M0 = 125,
    GFX_EXEC_LO = 126,
    GFX_EXEC_HI = 127,
    GFX_SRC_DPP8 = 233,
    GFX_SRC_DPP8_FI = 234,
    GFX_SRC_DPP16 = 250,
    GFX_SCC = 253,
    GFX_LITERAL = 255,
    GFX_VGPR = 256 /* and what follows */
};

typedef enum gfx_dpp { GFX_DPP_NONE, GFX_DPP_16, GFX_DPP_8 } gfx_dpp;

typedef struct gfx_inst {
    uint64_t pc; /* address in the object */
    uint32_t word[4];
    uint8_t n_words;
    gfx_format format;
    uint16_t op;
    const gfx_spec *spec, *y; /* y: the second half of VOPD */
    uint16_t dst;             /* VGPR or SGPR, by the format */
    uint16_t sdst;            /* second, scalar destination (VOP3 with spec->sdst) */
    uint16_t src[3];
    uint16_t y_dst, y_src[2];
    bool has_literal;
    uint32_t literal;
    uint8_t neg, abs, neg_hi, op_sel, op_sel_hi, omod, clamp;
    gfx_dpp dpp;
    uint16_t dpp_ctrl;
    uint8_t row_mask, bank_mask, bound_ctrl, fetch_inactive;
    uint32_t dpp8;
    /* Memory. */
    uint16_t addr, saddr; /* VGPR; SGPR or GFX_NULL; SMEM: base, offset register */
    int32_t offset;       /* DS: 16 bits; of two addresses offset1 << 8 | offset0 */
    bool glc, slc, dlc, sve, gds;
    uint16_t imm; /* SOPP, SOPK */
} gfx_inst;

/* Decodes what stands at `words`, of which there are n. False: it is no instruction that is known (its first word is
 * in out->word[0]). */
bool gfx_decode(const uint32_t *words, size_t n, uint64_t pc, gfx_inst *out);

/* As llvm-objdump writes it, with single spaces. */
enum { GFX_INST_TEXT = 200 };
void gfx_print(const gfx_inst *i, char out[GFX_INST_TEXT]);

#endif
