/* SPDX-License-Identifier: Apache-2.0
 *
 * What the vector arithmetic instructions of gfx11 compute, 32 lanes at a time: no registers, no encodings, no EXEC.
 * The executor decodes an instruction, hands in its operands and modifiers and writes what comes back where they
 * belong.
 *
 * Sources are the RDNA3 and RDNA3.5 ISA documents. Where they leave a choice, or say what real divisions show to be
 * wrong, the function that chose says so.
 *
 * Operands of 16 bits. A source of type B16, F16, BF16, I16 or U16 is a whole register; the half is taken here, by
 * op_sel. (VOP1, VOP2 and VOPC name the half in the register's number: the caller turns that into op_sel.) A result of
 * such a type stands in the low 16 bits of lo with zeros above; the caller writes it to the half that op_sel[3] names,
 * or to the high half where dst_high is set, and keeps the register's other half. Packed floats are GFX_PK16: an inline
 * constant is an f16 in the low half; packed and dotted integers are GFX_B32: their constants are those of 32-bit
 * instructions. Sources of v_fma_mix* are GFX_F32, also where op_sel_hi makes halves of them.
 *
 * Modifiers. neg and abs apply to floats (and v_cndmask), neg, neg_hi, op_sel and op_sel_hi of VOP3P as that encoding
 * has them (v_fma_mix*: neg_hi is abs; v_dot4_i32_iu8 and v_dot8_i32_iu4: neg says which source is signed).
 * Instructions that were encoded as VOP1, VOP2 or VOPC have none set; v_pk_fmac_f16 needs none.
 *
 * NaNs. A result that is not a number is the first source that is one, made quiet, or else 0x7fc00000 (0x7e00,
 * 0x7ff8000000000000). The documents name neither the order nor that pattern.
 * A denormal is flushed to a zero of its sign; a result counts as one by what it is after rounding. */
#ifndef NB_TESTS_GFX_VALU_H
#define NB_TESTS_GFX_VALU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GFX_LANES = 32 };

typedef enum gfx_type {
    GFX_NONE,
    GFX_B16,
    GFX_F16,
    GFX_BF16,
    GFX_I16,
    GFX_U16,
    GFX_B32,
    GFX_F32,
    GFX_I32,
    GFX_U32,
    GFX_B64,
    GFX_F64,
    GFX_I64,
    GFX_U64,
    GFX_PK16, /* packed pair of f16 */
    GFX_WMMA, /* 8 registers */
} gfx_type;

/* Fields of MODE as the hardware has them. */
typedef struct gfx_mode {
    uint8_t round32, round16_64;   /* 0 nearest even, 1 up, 2 down, 3 towards zero */
    uint8_t denorm32, denorm16_64; /* bit 0: sources keep denormals, bit 1: results do */
    uint8_t ieee, dx10_clamp;
} gfx_mode;

typedef struct gfx_valu_in {
    const uint32_t *lo[3], *hi[3]; /* each source's lanes (broadcast if scalar or constant); hi for 64-bit operands */
    uint32_t mask;                 /* carry in or condition, one bit a lane */
    uint8_t neg, abs, neg_hi, op_sel, op_sel_hi, omod, clamp; /* as encoded */
    gfx_mode mode;
} gfx_valu_in;

typedef struct gfx_valu_out {
    uint32_t lo[GFX_LANES], hi[GFX_LANES]; /* hi only of 64-bit results */
    uint32_t mask;                         /* compare's result, carry out, v_div_scale's flag */
} gfx_valu_out;

typedef struct gfx_valu {
    const char *name;     /* mnemonic without suffix of the encoding: "v_add_f32"; v_cmpx_* is v_cmp_* to this table */
    gfx_type dst, src[3]; /* GFX_NONE: there is none */
    bool reads_mask, writes_mask; /* carry or condition in; mask out */
    bool reads_dst;               /* the old destination is the last source (v_fmac and the like) */
    void (*run)(const gfx_valu_in *in, gfx_valu_out *out); /* out may overlap no source */
    bool dst_high;                                         /* v_fma_mixhi_f16: the result goes to the high half */
} gfx_valu;

/* NULL: not implemented. */
const gfx_valu *gfx_valu_find(const char *name);
/* The i-th of all, in the order of their names; NULL after the last. */
const gfx_valu *gfx_valu_at(size_t i);

/* Matrix products of wave32. a, b: 8 registers (4 of iu8, 2 of iu4 are used), lane 0 to 15 a row of A, a column of B,
 * and lanes 16 to 31 the same again: if they are not, run returns false. c, d: 8 registers; register i of lane l is row
 * 2 i + l / 16, column l % 16. d may be c; the f16 and bf16 ones write one half of d (the high one with op_sel bit 2,
 * where C is then read too) and keep the other. clamp (of the integer ones) is bit 3 of op_sel. */
typedef struct gfx_wmma {
    const char *name;
    bool (*run)(const uint32_t (*a)[GFX_LANES], const uint32_t (*b)[GFX_LANES], const uint32_t (*c)[GFX_LANES],
                uint32_t (*d)[GFX_LANES], uint8_t neg, uint8_t neg_hi, uint8_t op_sel);
} gfx_wmma;

const gfx_wmma *gfx_wmma_find(const char *name);

/* How the sixteen products of a float are added, which no document says: fused onto C from k = 0 up (as it is at
 * first), from k = 15 down, or two products in a sum of their own and then onto C. For the whole process, before
 * kernels run. */
typedef enum gfx_sums { GFX_SUMS_FORWARD, GFX_SUMS_BACKWARD, GFX_SUMS_PAIRS } gfx_sums;
void gfx_wmma_sums(gfx_sums s);

#endif
