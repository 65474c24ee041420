/* SPDX-License-Identifier: Apache-2.0
 *
 * Scalar registers, and the scalar instructions that compute: SOP1, SOP2, SOPC and SOPK. Each row of the table says
 * what an instruction computes, and how it is known which bits of the result depend on what was never written. Floats
 * (gfx11.5) are computed as the vector instruction of the same name does it. */
#include <stdlib.h>
#include <string.h>

#include "gfx/scalar.h"
#include "gfx/wave.h"

bool gfx_scalar(gfx_wave *w, unsigned code, uint32_t literal, uint32_t *value, uint32_t *written) {
    uint64_t constant;
    *written = (uint32_t)GFX_ALL;
    if (code < 128) {
        if (w->s_loading[code]) return false;
        *value = w->s[code];
        *written = w->s_written[code];
        return true;
    }
    if (code == GFX_SCC) {
        *value = w->scc;
        *written = w->scc_written ? (uint32_t)GFX_ALL : 0;
        return true;
    }
    if (code == 251 || code == 252) { /* VCCZ, EXECZ */
        *value = w->s[code == 251 ? GFX_VCC_LO : GFX_EXEC_LO] == 0;
        return true;
    }
    if (code >= 235 && code <= 238) { /* bases and limits of LDS and scratch; the low halves */
        *value = 0;
        return true;
    }
    if (!gfx_constant_of(GFX_F32, code, literal, &constant)) return false;
    *value = (uint32_t)constant;
    return true;
}

void gfx_set_scalar(gfx_wave *w, unsigned code, uint32_t value, uint32_t written) {
    if (code >= GFX_N_SGPRS || code == GFX_NULL) return;
    w->s[code] = value;
    w->s_written[code] = written;
}

static bool wide_source(gfx_wave *w, const gfx_op *o, int s, uint64_t *value, uint64_t *written) {
    const unsigned code = o->inst.src[s];
    uint32_t lo, hi = 0, lo_written, hi_written;
    if (code >= 235 && code <= 238) {
        *value = (uint64_t)(code <= 236 ? GFX_SHARED_BASE_HI : GFX_PRIVATE_BASE_HI) << 32;
        if (code == 236 || code == 238) *value |= 0xffffffff;
        *written = UINT64_MAX;
        return true;
    }
    if (code >= 128) {
        *written = UINT64_MAX;
        return gfx_constant_of(GFX_B64, code, o->inst.literal, value);
    }
    if (!gfx_scalar(w, code, 0, &lo, &lo_written) || !gfx_scalar(w, code + (code != GFX_NULL), 0, &hi, &hi_written))
        return false;
    *value = (uint64_t)hi << 32 | lo;
    *written = (uint64_t)hi_written << 32 | lo_written;
    return true;
}

/* ---- What they compute ------------------------------------------------------------------------------------------- */

typedef struct sop {
    uint64_t a, b, d; /* d: what stood in the destination, then the result */
    bool scc;         /* before, then after */
} sop;

#define OP(name, ...)                                                                                                  \
    static void name(sop *x) {                                                                                         \
        __VA_ARGS__;                                                                                                   \
    }
#define A32           ((uint32_t)x->a)
#define B32           ((uint32_t)x->b)
#define SA            ((int32_t)x->a)
#define SB            ((int32_t)x->b)
#define RESULT(v)     x->d = (v)
#define RESULT_NZ(v)  x->d = (v), x->scc = x->d != 0
#define RESULT_NZ4(v) x->d = (uint32_t)(v), x->scc = (uint32_t)x->d != 0

OP(mov, RESULT(x->a))
OP(cmov, if (x->scc) x->d = x->a)
OP(cselect, RESULT(x->scc ? x->a : x->b))
OP(add_u32, RESULT(A32 + B32); x->scc = (uint32_t)x->d < A32)
OP(sub_u32, RESULT(A32 - B32); x->scc = B32 > A32)
OP(add_i32, int32_t r; x->scc = __builtin_add_overflow(SA, SB, &r); RESULT((uint32_t)r))
OP(sub_i32, int32_t r; x->scc = __builtin_sub_overflow(SA, SB, &r); RESULT((uint32_t)r))
OP(addc_u32, const uint64_t r = (uint64_t)A32 + B32 + x->scc; RESULT((uint32_t)r); x->scc = r >> 32)
OP(subb_u32, const uint64_t r = (uint64_t)A32 - B32 - x->scc; RESULT((uint32_t)r); x->scc = r >> 63)
OP(absdiff_i32, RESULT_NZ4(SA > SB ? A32 - B32 : B32 - A32))
OP(lshl_b32, RESULT_NZ4(A32 << (B32 & 31)))
OP(lshr_b32, RESULT_NZ4(A32 >> (B32 & 31)))
OP(ashr_i32, RESULT_NZ4(SA >> (B32 & 31)))
OP(lshl_b64, RESULT_NZ(x->a << (B32 & 63)))
OP(lshr_b64, RESULT_NZ(x->a >> (B32 & 63)))
OP(ashr_i64, RESULT_NZ((uint64_t)((int64_t)x->a >> (B32 & 63))))
static void lshl_add(sop *x, int n) {
    const uint64_t r = ((uint64_t)A32 << n) + B32;
    RESULT((uint32_t)r);
    x->scc = r >> 32 != 0;
}
OP(lshl1_add, lshl_add(x, 1))
OP(lshl2_add, lshl_add(x, 2))
OP(lshl3_add, lshl_add(x, 3))
OP(lshl4_add, lshl_add(x, 4))
OP(min_i32, x->scc = SA < SB; RESULT(x->scc ? A32 : B32))
OP(max_i32, x->scc = SA >= SB; RESULT(x->scc ? A32 : B32))
OP(min_u32, x->scc = A32 < B32; RESULT(x->scc ? A32 : B32))
OP(max_u32, x->scc = A32 >= B32; RESULT(x->scc ? A32 : B32))
OP(and, RESULT_NZ(x->a & x->b))
OP(or, RESULT_NZ(x->a | x->b))
OP(xor, RESULT_NZ(x->a ^ x->b))
OP(not_and_32, RESULT_NZ4(~(x->a & x->b)))
OP(not_or_32, RESULT_NZ4(~(x->a | x->b)))
OP(xnor_32, RESULT_NZ4(~(x->a ^ x->b)))
OP(not_and_64, RESULT_NZ(~(x->a & x->b)))
OP(not_or_64, RESULT_NZ(~(x->a | x->b)))
OP(xnor_64, RESULT_NZ(~(x->a ^ x->b)))
OP(not32, RESULT_NZ4(~x->a))
OP(not64, RESULT_NZ(~x->a))
static uint64_t field(uint64_t v, unsigned at, unsigned n) {
    return n == 0 ? 0 : n >= 64 ? v >> at : v >> at & ((1ull << n) - 1);
}
static uint64_t signed_field(uint64_t v, unsigned at, unsigned n) {
    const uint64_t f = field(v, at, n);
    return n == 0 || n >= 64 ? f : (uint64_t)((int64_t)(f << (64 - n)) >> (64 - n));
}
OP(bfe_u32, RESULT_NZ4(field(A32, B32 & 31, B32 >> 16 & 127)))
OP(bfe_i32, const unsigned at = B32 & 31, n = B32 >> 16 & 127;
   RESULT_NZ4(signed_field((uint64_t)(int64_t)SA, at, n > 32 ? 32 : n)))
OP(bfe_u64, RESULT_NZ(field(x->a, B32 & 63, B32 >> 16 & 127)))
OP(bfe_i64, RESULT_NZ(signed_field(x->a, B32 & 63, B32 >> 16 & 127)))
OP(bfm_b32, RESULT((uint32_t)(((1u << (A32 & 31)) - 1) << (B32 & 31))))
OP(bfm_b64, RESULT(((1ull << (A32 & 63)) - 1) << (B32 & 63)))
OP(mul_i32, RESULT(A32 *B32))
OP(mul_hi_u32, RESULT((uint64_t)A32 *B32 >> 32))
OP(mul_hi_i32, RESULT((uint32_t)((int64_t)SA *SB >> 32)))
OP(pack_ll, RESULT((A32 & 0xffff) | B32 << 16))
OP(pack_lh, RESULT((A32 & 0xffff) | (B32 & 0xffff0000)))
OP(pack_hh, RESULT(A32 >> 16 | (B32 & 0xffff0000)))
OP(pack_hl, RESULT(A32 >> 16 | B32 << 16))
static uint32_t reverse(uint32_t v) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) r |= (v >> i & 1) << (31 - i);
    return r;
}
OP(brev_b32, RESULT(reverse(A32)))
OP(brev_b64, RESULT((uint64_t)reverse(A32) << 32 | reverse((uint32_t)(x->a >> 32))))
OP(ctz_b32, RESULT(A32 ? (uint32_t)__builtin_ctz(A32) : 0xffffffff))
OP(ctz_b64, RESULT(x->a ? (uint32_t)__builtin_ctzll(x->a) : 0xffffffff))
OP(clz_u32, RESULT(A32 ? (uint32_t)__builtin_clz(A32) : 0xffffffff))
OP(clz_u64, RESULT(x->a ? (uint32_t)__builtin_clzll(x->a) : 0xffffffff))
OP(cls_i32, const uint32_t v = SA < 0 ? ~A32 : A32; RESULT(v ? (uint32_t)__builtin_clz(v) : 0xffffffff))
OP(sext_i8, RESULT((uint32_t)(int32_t)(int8_t)x->a))
OP(sext_i16, RESULT((uint32_t)(int32_t)(int16_t)x->a))
OP(bitset0_b32, RESULT((uint32_t)x->d & ~(1u << (A32 & 31))))
OP(bitset1_b32, RESULT((uint32_t)x->d | 1u << (A32 & 31)))
OP(bitset0_b64, RESULT(x->d & ~(1ull << (A32 & 63))))
OP(bitset1_b64, RESULT(x->d | 1ull << (A32 & 63)))
OP(abs_i32, RESULT_NZ4(SA < 0 ? 0 - A32 : A32))
OP(bcnt0_b32, RESULT_NZ4(32 - __builtin_popcount(A32)))
OP(bcnt0_b64, RESULT_NZ4(64 - __builtin_popcountll(x->a)))
OP(bcnt1_b32, RESULT_NZ4(__builtin_popcount(A32)))
OP(bcnt1_b64, RESULT_NZ4(__builtin_popcountll(x->a)))
/* Of the saveexec ones b is EXEC, and the result goes there. */
OP(and_not0, RESULT_NZ(~x->a & x->b))
OP(and_not1, RESULT_NZ(x->a & ~x->b))
OP(or_not0_32, RESULT_NZ4(~x->a | x->b))
OP(or_not1_32, RESULT_NZ4(x->a | ~x->b))
OP(or_not1_64, RESULT_NZ(x->a | ~x->b))

OP(eq_i32, x->scc = SA == SB)
OP(lg_i32, x->scc = SA != SB)
OP(gt_i32, x->scc = SA > SB)
OP(ge_i32, x->scc = SA >= SB)
OP(lt_i32, x->scc = SA < SB)
OP(le_i32, x->scc = SA <= SB)
OP(gt_u32, x->scc = A32 > B32)
OP(ge_u32, x->scc = A32 >= B32)
OP(lt_u32, x->scc = A32 < B32)
OP(le_u32, x->scc = A32 <= B32)
OP(eq_u64, x->scc = x->a == x->b)
OP(lg_u64, x->scc = x->a != x->b)
OP(bitcmp0_b32, x->scc = !(A32 >> (B32 & 31) & 1))
OP(bitcmp1_b32, x->scc = A32 >> (B32 & 31) & 1)
OP(bitcmp0_b64, x->scc = !(x->a >> (B32 & 63) & 1))
OP(bitcmp1_b64, x->scc = x->a >> (B32 & 63) & 1)

/* How bits of the result depend on bits of the sources. */
typedef enum spread { ALL_OF_ALL, MOVE, AND, OR, XOR, AND_NOT0, AND_NOT1, OR_NOT0, OR_NOT1, SELECT } spread;
enum { SETS_SCC = 1, READS_SCC = 2, READS_DST = 4, SAVES_EXEC = 8, WRITES_EXEC = 16, NO_RESULT = 32 };

typedef struct row {
    const char *name;
    void (*run)(sop *x);
    uint8_t spread, flags;
} row;

static const row rows[] = {
    {"s_mov_b32", mov, MOVE, 0},
    {"s_mov_b64", mov, MOVE, 0},
    {"s_cmov_b32", cmov, ALL_OF_ALL, READS_SCC | READS_DST},
    {"s_cmov_b64", cmov, ALL_OF_ALL, READS_SCC | READS_DST},
    {"s_cselect_b32", cselect, SELECT, READS_SCC},
    {"s_cselect_b64", cselect, SELECT, READS_SCC},
    {"s_add_u32", add_u32, ALL_OF_ALL, SETS_SCC},
    {"s_sub_u32", sub_u32, ALL_OF_ALL, SETS_SCC},
    {"s_add_i32", add_i32, ALL_OF_ALL, SETS_SCC},
    {"s_sub_i32", sub_i32, ALL_OF_ALL, SETS_SCC},
    {"s_addc_u32", addc_u32, ALL_OF_ALL, SETS_SCC | READS_SCC},
    {"s_subb_u32", subb_u32, ALL_OF_ALL, SETS_SCC | READS_SCC},
    {"s_absdiff_i32", absdiff_i32, ALL_OF_ALL, SETS_SCC},
    {"s_lshl_b32", lshl_b32, ALL_OF_ALL, SETS_SCC},
    {"s_lshr_b32", lshr_b32, ALL_OF_ALL, SETS_SCC},
    {"s_ashr_i32", ashr_i32, ALL_OF_ALL, SETS_SCC},
    {"s_lshl_b64", lshl_b64, ALL_OF_ALL, SETS_SCC},
    {"s_lshr_b64", lshr_b64, ALL_OF_ALL, SETS_SCC},
    {"s_ashr_i64", ashr_i64, ALL_OF_ALL, SETS_SCC},
    {"s_lshl1_add_u32", lshl1_add, ALL_OF_ALL, SETS_SCC},
    {"s_lshl2_add_u32", lshl2_add, ALL_OF_ALL, SETS_SCC},
    {"s_lshl3_add_u32", lshl3_add, ALL_OF_ALL, SETS_SCC},
    {"s_lshl4_add_u32", lshl4_add, ALL_OF_ALL, SETS_SCC},
    {"s_min_i32", min_i32, ALL_OF_ALL, SETS_SCC},
    {"s_max_i32", max_i32, ALL_OF_ALL, SETS_SCC},
    {"s_min_u32", min_u32, ALL_OF_ALL, SETS_SCC},
    {"s_max_u32", max_u32, ALL_OF_ALL, SETS_SCC},
    {"s_and_b32", and, AND, SETS_SCC},
    {"s_and_b64", and, AND, SETS_SCC},
    {"s_or_b32", or, OR, SETS_SCC},
    {"s_or_b64", or, OR, SETS_SCC},
    {"s_xor_b32", xor, XOR, SETS_SCC},
    {"s_xor_b64", xor, XOR, SETS_SCC},
    {"s_nand_b32", not_and_32, AND, SETS_SCC},
    {"s_nand_b64", not_and_64, AND, SETS_SCC},
    {"s_nor_b32", not_or_32, OR, SETS_SCC},
    {"s_nor_b64", not_or_64, OR, SETS_SCC},
    {"s_xnor_b32", xnor_32, XOR, SETS_SCC},
    {"s_xnor_b64", xnor_64, XOR, SETS_SCC},
    {"s_not_b32", not32, MOVE, SETS_SCC},
    {"s_not_b64", not64, MOVE, SETS_SCC},
    {"s_and_not1_b32", and_not1, AND_NOT1, SETS_SCC},
    {"s_and_not1_b64", and_not1, AND_NOT1, SETS_SCC},
    {"s_or_not1_b32", or_not1_32, OR_NOT1, SETS_SCC},
    {"s_or_not1_b64", or_not1_64, OR_NOT1, SETS_SCC},
    {"s_bfe_u32", bfe_u32, ALL_OF_ALL, SETS_SCC},
    {"s_bfe_i32", bfe_i32, ALL_OF_ALL, SETS_SCC},
    {"s_bfe_u64", bfe_u64, ALL_OF_ALL, SETS_SCC},
    {"s_bfe_i64", bfe_i64, ALL_OF_ALL, SETS_SCC},
    {"s_bfm_b32", bfm_b32, ALL_OF_ALL, 0},
    {"s_bfm_b64", bfm_b64, ALL_OF_ALL, 0},
    {"s_mul_i32", mul_i32, ALL_OF_ALL, 0},
    {"s_mul_hi_u32", mul_hi_u32, ALL_OF_ALL, 0},
    {"s_mul_hi_i32", mul_hi_i32, ALL_OF_ALL, 0},
    {"s_pack_ll_b32_b16", pack_ll, ALL_OF_ALL, 0},
    {"s_pack_lh_b32_b16", pack_lh, ALL_OF_ALL, 0},
    {"s_pack_hh_b32_b16", pack_hh, ALL_OF_ALL, 0},
    {"s_pack_hl_b32_b16", pack_hl, ALL_OF_ALL, 0},
    {"s_brev_b32", brev_b32, ALL_OF_ALL, 0},
    {"s_brev_b64", brev_b64, ALL_OF_ALL, 0},
    {"s_ctz_i32_b32", ctz_b32, ALL_OF_ALL, 0},
    {"s_ctz_i32_b64", ctz_b64, ALL_OF_ALL, 0},
    {"s_clz_i32_u32", clz_u32, ALL_OF_ALL, 0},
    {"s_clz_i32_u64", clz_u64, ALL_OF_ALL, 0},
    {"s_cls_i32", cls_i32, ALL_OF_ALL, 0},
    {"s_sext_i32_i8", sext_i8, ALL_OF_ALL, 0},
    {"s_sext_i32_i16", sext_i16, ALL_OF_ALL, 0},
    {"s_bitset0_b32", bitset0_b32, ALL_OF_ALL, READS_DST},
    {"s_bitset1_b32", bitset1_b32, ALL_OF_ALL, READS_DST},
    {"s_bitset0_b64", bitset0_b64, ALL_OF_ALL, READS_DST},
    {"s_bitset1_b64", bitset1_b64, ALL_OF_ALL, READS_DST},
    {"s_abs_i32", abs_i32, ALL_OF_ALL, SETS_SCC},
    {"s_bcnt0_i32_b32", bcnt0_b32, ALL_OF_ALL, SETS_SCC},
    {"s_bcnt0_i32_b64", bcnt0_b64, ALL_OF_ALL, SETS_SCC},
    {"s_bcnt1_i32_b32", bcnt1_b32, ALL_OF_ALL, SETS_SCC},
    {"s_bcnt1_i32_b64", bcnt1_b64, ALL_OF_ALL, SETS_SCC},
    {"s_and_saveexec_b32", and, AND, SETS_SCC | SAVES_EXEC},
    {"s_or_saveexec_b32", or, OR, SETS_SCC | SAVES_EXEC},
    {"s_xor_saveexec_b32", xor, XOR, SETS_SCC | SAVES_EXEC},
    {"s_nand_saveexec_b32", not_and_32, AND, SETS_SCC | SAVES_EXEC},
    {"s_nor_saveexec_b32", not_or_32, OR, SETS_SCC | SAVES_EXEC},
    {"s_xnor_saveexec_b32", xnor_32, XOR, SETS_SCC | SAVES_EXEC},
    {"s_and_not0_saveexec_b32", and_not0, AND_NOT0, SETS_SCC | SAVES_EXEC},
    {"s_and_not1_saveexec_b32", and_not1, AND_NOT1, SETS_SCC | SAVES_EXEC},
    {"s_or_not0_saveexec_b32", or_not0_32, OR_NOT0, SETS_SCC | SAVES_EXEC},
    {"s_or_not1_saveexec_b32", or_not1_32, OR_NOT1, SETS_SCC | SAVES_EXEC},
    {"s_and_not0_wrexec_b32", and_not0, AND_NOT0, SETS_SCC | WRITES_EXEC},
    {"s_and_not1_wrexec_b32", and_not1, AND_NOT1, SETS_SCC | WRITES_EXEC},
    {"s_cmp_eq_i32", eq_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_lg_i32", lg_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_gt_i32", gt_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_ge_i32", ge_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_lt_i32", lt_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_le_i32", le_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_eq_u32", eq_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_lg_u32", lg_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_gt_u32", gt_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_ge_u32", ge_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_lt_u32", lt_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_le_u32", le_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_eq_u64", eq_u64, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmp_lg_u64", lg_u64, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_bitcmp0_b32", bitcmp0_b32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_bitcmp1_b32", bitcmp1_b32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_bitcmp0_b64", bitcmp0_b64, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_bitcmp1_b64", bitcmp1_b64, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    /* SOPK: the immediate is the second source. */
    {"s_movk_i32", mov, MOVE, 0},
    {"s_cmovk_i32", cmov, ALL_OF_ALL, READS_SCC | READS_DST},
    {"s_cmpk_eq_i32", eq_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_lg_i32", lg_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_gt_i32", gt_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_ge_i32", ge_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_lt_i32", lt_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_le_i32", le_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_eq_u32", eq_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_lg_u32", lg_i32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_gt_u32", gt_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_ge_u32", ge_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_lt_u32", lt_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_cmpk_le_u32", le_u32, ALL_OF_ALL, SETS_SCC | NO_RESULT},
    {"s_addk_i32", add_i32, ALL_OF_ALL, SETS_SCC},
    {"s_mulk_i32", mul_i32, ALL_OF_ALL, 0},
};

/* ---- Running them -------------------------------------------------------------------------------------------------
 */

/* Which bits of the result are known, from those of the sources. */
static uint64_t known_bits(const row *r, const sop *x, uint64_t a_known, uint64_t b_known, bool scc_known) {
    const uint64_t a0 = a_known & ~x->a, a1 = a_known & x->a, b0 = b_known & ~x->b, b1 = b_known & x->b;
    const uint64_t both = a_known & b_known;
    switch ((spread)r->spread) {
    case MOVE:
        return a_known;
    case XOR:
        return both;
    case AND:
        return both | a0 | b0;
    case OR:
        return both | a1 | b1;
    case AND_NOT0:
        return both | a1 | b0;
    case AND_NOT1:
        return both | a0 | b1;
    case OR_NOT0:
        return both | a0 | b1;
    case OR_NOT1:
        return both | a1 | b0;
    case SELECT:
        return !scc_known ? 0 : x->scc ? a_known : b_known;
    case ALL_OF_ALL:
        break;
    }
    const bool all = a_known == UINT64_MAX && b_known == UINT64_MAX && (scc_known || !(r->flags & READS_SCC));
    return all ? UINT64_MAX : 0;
}

static bool sources(gfx_wave *w, const gfx_op *o, sop *x, uint64_t known[2]) {
    const gfx_inst *i = &o->inst;
    for (int s = 0; s < 2; s++) {
        uint64_t *to = s ? &x->b : &x->a;
        uint32_t value = 0, written = 0;
        known[s] = UINT64_MAX;
        if (i->spec->src[s] == 2) {
            if (!wide_source(w, o, s, to, &known[s])) return false;
        } else if (i->spec->src[s] == 1) {
            if (!gfx_scalar(w, i->src[s], i->literal, &value, &written)) return false;
            *to = value;
            known[s] = written | 0xffffffff00000000;
        }
    }
    return true;
}

/* The destination as a source. */
static bool old_destination(gfx_wave *w, const gfx_op *o, uint64_t *value, uint64_t *known) {
    uint32_t v, written;
    const unsigned n = o->inst.format == GFX_SOPK ? 1 : o->inst.spec->dst;
    *value = 0;
    *known = UINT64_MAX;
    for (unsigned k = 0; k < n; k++) {
        if (!gfx_scalar(w, o->inst.dst + k, 0, &v, &written)) return false;
        *value |= (uint64_t)v << 32 * k;
        if (written != (uint32_t)GFX_ALL) *known = 0;
    }
    return true;
}

static gfx_step set_exec(gfx_wave *w, const gfx_op *o, uint32_t value, uint32_t written) {
    if (written != (uint32_t)GFX_ALL) return gfx_fail(w, o, "EXEC would depend on what was never written");
    w->s[GFX_EXEC_LO] = value;
    return GFX_GO_ON;
}

static gfx_step put_result(gfx_wave *w, const gfx_op *o, const row *r, const sop *x, uint64_t known) {
    if (r->flags & (SAVES_EXEC | WRITES_EXEC)) {
        const uint32_t old = w->s[GFX_EXEC_LO];
        const gfx_step step = set_exec(w, o, (uint32_t)x->d, (uint32_t)known);
        gfx_set_scalar(w, o->inst.dst, r->flags & SAVES_EXEC ? old : (uint32_t)x->d, (uint32_t)GFX_ALL);
        return step;
    }
    if (o->inst.dst == GFX_EXEC_LO) return set_exec(w, o, (uint32_t)x->d, (uint32_t)known);
    if (o->inst.dst < GFX_N_SGPRS && w->s_loading[o->inst.dst])
        return gfx_fail(w, o, "writes a register that is being loaded");
    gfx_set_scalar(w, o->inst.dst, (uint32_t)x->d, (uint32_t)known);
    if (o->inst.format != GFX_SOPK && o->inst.spec->dst == 2 && o->inst.dst != GFX_NULL)
        gfx_set_scalar(w, o->inst.dst + 1u, (uint32_t)(x->d >> 32), (uint32_t)(known >> 32));
    return GFX_GO_ON;
}

static int run_sop(gfx_wave *w, const gfx_op *o) {
    const row *r = &rows[o->scalar_op];
    sop x = {.scc = w->scc};
    uint64_t known[2] = {UINT64_MAX, UINT64_MAX}, d_known = UINT64_MAX;
    bool ready = true;
    if (o->inst.format == GFX_SOPK) {
        const bool is_unsigned = strncmp(r->name, "s_cmpk_", 7) == 0 && strstr(r->name, "_u32");
        const uint32_t k = is_unsigned ? o->inst.imm : (uint32_t)(int32_t)(int16_t)o->inst.imm;
        if (r->run == mov || r->run == cmov)
            x.a = k;
        else {
            ready = old_destination(w, o, &x.a, &known[0]);
            x.b = k;
        }
    } else
        ready = sources(w, o, &x, known);
    if (ready && r->flags & READS_DST) ready = old_destination(w, o, &x.d, &d_known);
    if (!ready) return (int)gfx_fail(w, o, "reads a register that is still being loaded");
    if (r->flags & (SAVES_EXEC | WRITES_EXEC)) x.b = w->s[GFX_EXEC_LO];
    uint64_t result = known_bits(r, &x, known[0], known[1], w->scc_written);
    if (d_known != UINT64_MAX) result = 0;
    r->run(&x);
    if (r->flags & SETS_SCC) {
        const bool one_is_set = r->spread != ALL_OF_ALL && x.d & result;
        w->scc = x.scc;
        w->scc_written = one_is_set || result == UINT64_MAX;
    }
    return r->flags & NO_RESULT ? GFX_GO_ON : (int)put_result(w, o, r, &x, result);
}

/* ---- Most of what runs: 32 bits, registers and constants, nothing special -------------------------------------------
 */

static inline bool quick_source(const gfx_wave *w, const gfx_op *o, int s, uint64_t *value, uint64_t *known) {
    const gfx_operand *src = &o->x.src[s];
    *known = UINT64_MAX;
    *value = o->scalar_constant[s];
    if (src->kind != GFX_IS_SGPR) return true;
    *value = w->s[src->at];
    *known = w->s_written[src->at] | 0xffffffff00000000;
    return !w->s_loading[src->at];
}

static int run_quick(gfx_wave *w, const gfx_op *o) {
    const row *r = &rows[o->scalar_op];
    sop x = {.scc = w->scc};
    uint64_t a_known, b_known, result = UINT64_MAX;
    if (!quick_source(w, o, 0, &x.a, &a_known) || !quick_source(w, o, 1, &x.b, &b_known))
        return (int)gfx_fail(w, o, "reads a register that is still being loaded");
    if ((a_known & b_known) != UINT64_MAX || !w->scc_written)
        result = known_bits(r, &x, a_known, b_known, w->scc_written);
    r->run(&x);
    if (r->flags & SETS_SCC) {
        w->scc = x.scc;
        w->scc_written = result == UINT64_MAX || (r->spread != ALL_OF_ALL && x.d & result);
    }
    if (r->flags & NO_RESULT) return GFX_GO_ON;
    if (w->s_loading[o->inst.dst]) return (int)gfx_fail(w, o, "writes a register that is being loaded");
    w->s[o->inst.dst] = (uint32_t)x.d;
    w->s_written[o->inst.dst] = (uint32_t)result;
    return GFX_GO_ON;
}

static bool lower_quick(gfx_op *o, const row *r) {
    const gfx_inst *i = &o->inst;
    if (i->format == GFX_SOPK || r->flags & (READS_DST | SAVES_EXEC | WRITES_EXEC) || i->spec->dst > 1) return false;
    if (i->dst == GFX_NULL || i->dst == GFX_EXEC_LO || i->dst >= GFX_N_SGPRS) return false;
    for (int s = 0; s < 2; s++) {
        uint64_t value = 0;
        if (i->spec->src[s] > 1) return false;
        if (!i->spec->src[s]) continue;
        if (i->src[s] < GFX_N_SGPRS)
            o->x.src[s] = (gfx_operand){GFX_IS_SGPR, false, i->src[s]};
        else if (!gfx_constant_of(GFX_F32, i->src[s], i->literal, &value))
            return false;
        o->scalar_constant[s] = (uint32_t)value;
    }
    o->run = run_quick;
    return true;
}

/* ---- Floats (gfx11.5) ---------------------------------------------------------------------------------------------
 */

static int run_float(gfx_wave *w, const gfx_op *o) {
    gfx_valu_in in = o->x.in;
    gfx_valu_out out;
    bool known = true;
    in.mode = w->mode;
    for (int s = 0; s < 3; s++) {
        uint32_t value, written;
        if (o->x.src[s].kind != GFX_IS_SGPR) continue;
        if (!gfx_scalar(w, o->x.src[s].at, o->inst.literal, &value, &written))
            return (int)gfx_fail(w, o, "reads a register that is still being loaded");
        known = known && written == (uint32_t)GFX_ALL;
        gfx_broadcast(w->scratch_lanes[s], value);
        in.lo[s] = w->scratch_lanes[s];
    }
    o->x.valu->run(&in, &out);
    if (o->inst.format == GFX_SOPC) {
        w->scc = out.mask & 1;
        w->scc_written = known;
    } else if (o->x.half_word)
        gfx_set_scalar(w, o->inst.dst, out.lo[0] & 0xffff, known ? (uint32_t)GFX_ALL : 0);
    else
        gfx_set_scalar(w, o->inst.dst, out.lo[0], known ? (uint32_t)GFX_ALL : 0);
    return GFX_GO_ON;
}

/* The vector instruction that computes the same; its sources are this one's, in order. */
static bool lower_float(gfx_op *o) {
    const gfx_inst *i = &o->inst;
    const char *name = i->spec->name;
    char vector[48] = "v_";
    uint8_t n = 0;
    const bool k = strcmp(name, "s_fmaak_f32") == 0, m = strcmp(name, "s_fmamk_f32") == 0;
    strncat(vector, k || m ? "fma_f32" : name + 2, sizeof vector - 3);
    o->x.valu = gfx_valu_find(vector);
    if (!o->x.valu || !strstr(name, "f32") || strstr(name, "hi_f32")) return false;
    for (int s = 0; s < 2; s++)
        if (i->spec->src[s]) o->x.src[n++] = (gfx_operand){GFX_IS_SGPR, false, i->src[s]};
    if (k) o->x.src[n++] = (gfx_operand){GFX_IS_SGPR, false, GFX_LITERAL};
    if (m) {
        o->x.src[2] = o->x.src[1];
        o->x.src[1] = (gfx_operand){GFX_IS_SGPR, false, GFX_LITERAL};
    }
    if (o->x.valu->reads_dst) o->x.src[n++] = (gfx_operand){GFX_IS_SGPR, false, i->dst};
    o->x.half_word = o->x.valu->dst == GFX_F16;
    o->run = run_float;
    return true;
}

bool gfx_lower_scalar(gfx_code *c, gfx_op *o) {
    if (gfx_lower_control(c, o)) return true;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (strcmp(rows[r].name, o->inst.spec->name) != 0) continue;
        o->scalar_op = (uint16_t)r;
        o->run = run_sop;
        lower_quick(o, &rows[r]);
        return true;
    }
    return lower_float(o);
}
