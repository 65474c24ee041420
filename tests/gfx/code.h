/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel's instructions, decoded once and made ready to run: each has a function, and operands that need no more
 * looking at the encoding. */
#ifndef NB_TESTS_GFX_CODE_H
#define NB_TESTS_GFX_CODE_H

#include "gfx/gfx.h"
#include "gfx/inst.h"
#include "gfx/valu.h"

typedef struct gfx_code gfx_code;
typedef struct gfx_op gfx_op;
struct gfx_wave;

typedef int (*gfx_op_run)(struct gfx_wave *w, const gfx_op *o); /* returns a gfx_step */

typedef enum gfx_operand_kind { GFX_IS_NONE, GFX_IS_VGPR, GFX_IS_SGPR, GFX_IS_CONSTANT } gfx_operand_kind;
typedef struct gfx_operand {
    uint8_t kind;
    bool wide;   /* 64 bits */
    uint16_t at; /* VGPR, or a scalar source as it is encoded */
} gfx_operand;

/* How undefined halves of 64-bit sources reach the halves of the result. */
typedef enum gfx_spread { GFX_EVERYWHERE, GFX_UPWARDS, GFX_DOWNWARDS } gfx_spread;

/* One half of VOPD, or a whole vector instruction. */
typedef struct gfx_half {
    const gfx_valu *valu;
    gfx_valu_in in; /* modifiers, and lanes of constants */
    gfx_operand src[3];
    uint16_t dst;
    bool dst_wide, half_word /* 16 bits are written */, high /* the upper ones */;
    bool select;  /* v_cndmask: which source counts is by the mask */
    bool to_exec; /* v_cmpx */
    gfx_spread spread;
    uint16_t mask_in, mask_out; /* scalar registers */
} gfx_half;

struct gfx_op {
    gfx_op_run run;
    gfx_half x, y;
    const gfx_wmma *wmma;
    uint8_t lane_of[GFX_LANES]; /* DPP: where each lane reads */
    uint32_t lanes_valid;       /* which have a lane to read from */
    uint32_t lanes_enabled;     /* by row and bank masks */
    uint32_t target;            /* branches: the instruction's index */
    uint8_t bytes, n_regs;      /* memory: of each lane's access; registers of the destination or the data */
    bool is_signed, d16, high;  /* memory: how parts of registers are filled */
    uint16_t scalar_op;         /* scalar.c's own numbering */
    uint32_t scalar_constant[2];
    gfx_inst inst;
};

struct gfx_code {
    gfx_op *ops;
    uint32_t n;
    uint64_t begin;  /* address of the first */
    uint32_t *index; /* of the instruction at each word; UINT32_MAX: none begins there */
    uint32_t n_words;
    struct gfx_lanes *constants; /* a list */
    uint32_t n_vgprs;
};

/* Decodes the kernel's code. NULL: err says which instruction is none; unknown ones that are never reached do no harm.
 */
gfx_code *gfx_code_new(const gfx_object *o, const gfx_kernel *k, char *err, size_t err_size);
void gfx_code_free(gfx_code *c);
/* The object's own of this kernel, decoded when it is first asked for. */
const gfx_code *gfx_code_of(const gfx_object *o, const gfx_kernel *k, char *err, size_t err_size);

/* 8 rows of 32 lanes of this constant, as long as the code lives; NULL: no memory. */
const uint32_t *gfx_constant(gfx_code *c, uint32_t value);

/* Each makes an instruction of its formats ready; false: not implemented. */
bool gfx_lower_scalar(gfx_code *c, gfx_op *o);
bool gfx_lower_vector(gfx_code *c, gfx_op *o);
bool gfx_lower_lanes(gfx_code *c, gfx_op *o);  /* vector instructions that move between lanes */
bool gfx_lower_memory(gfx_code *c, gfx_op *o); /* SMEM, FLAT, GLOBAL, SCRATCH, MUBUF */
bool gfx_lower_lds(gfx_code *c, gfx_op *o);
bool gfx_lower_matrix(gfx_code *c, gfx_op *o);
/* A constant of an operand of this type, as encoded; false: it is none. */
bool gfx_constant_of(gfx_type type, unsigned code, uint32_t literal, uint64_t *out);

#endif
