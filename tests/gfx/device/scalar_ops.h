/* SPDX-License-Identifier: Apache-2.0
 *
 * Scalar instructions of two sources of 32 bits: X(mnemonic, result, SCC after) from a and b (sa, sb: signed), with SCC
 * set before. What they give is the ISA document's, written with other words than the executor's. */
#ifndef NB_TESTS_GFX_SCALAR_OPS_H
#define NB_TESTS_GFX_SCALAR_OPS_H

#define W64(x) ((uint64_t)(x))
#define SCALAR_OPS(X)                                                                                                  \
    X(s_add_u32, a + b, W64(a) + b > 0xffffffff)                                                                       \
    X(s_sub_u32, a - b, a < b)                                                                                         \
    X(s_add_i32, a + b, (int64_t)sa + sb != (int32_t)(a + b))                                                          \
    X(s_sub_i32, a - b, (int64_t)sa - sb != (int32_t)(a - b))                                                          \
    X(s_addc_u32, a + b + 1, W64(a) + b + 1 > 0xffffffff)                                                              \
    X(s_subb_u32, a - b - 1, W64(a) < W64(b) + 1)                                                                      \
    X(s_absdiff_i32, (uint32_t)llabs((long long)sa - sb), a != b)                                                      \
    X(s_lshl_b32, a << b % 32, a << b % 32 != 0)                                                                       \
    X(s_lshr_b32, a >> b % 32, a >> b % 32 != 0)                                                                       \
    X(s_ashr_i32, (uint32_t)(sa >> b % 32), sa >> b % 32 != 0)                                                         \
    X(s_lshl1_add_u32, 2 * a + b, W64(a) * 2 + b > 0xffffffff)                                                         \
    X(s_lshl4_add_u32, 16 * a + b, W64(a) * 16 + b > 0xffffffff)                                                       \
    X(s_min_i32, sa < sb ? a : b, sa < sb)                                                                             \
    X(s_max_i32, sa < sb ? b : a, sa >= sb)                                                                            \
    X(s_min_u32, a < b ? a : b, a < b)                                                                                 \
    X(s_max_u32, a < b ? b : a, a >= b)                                                                                \
    X(s_and_b32, a &b, (a & b) != 0)                                                                                   \
    X(s_or_b32, a | b, (a | b) != 0)                                                                                   \
    X(s_xor_b32, a ^ b, a != b)                                                                                        \
    X(s_nand_b32, ~a | ~b, (a & b) != 0xffffffff)                                                                      \
    X(s_nor_b32, ~a & ~b, (a | b) != 0xffffffff)                                                                       \
    X(s_xnor_b32, ~a ^ b, (a ^ b) != 0xffffffff)                                                                       \
    X(s_and_not1_b32, a & ~b, (a & ~b) != 0)                                                                           \
    X(s_or_not1_b32, a | ~b, (a | ~b) != 0)                                                                            \
    X(s_bfe_u32, scalar_field(a, b), scalar_field(a, b) != 0)                                                          \
    X(s_bfe_i32, scalar_signed_field(a, b), scalar_signed_field(a, b) != 0)                                            \
    X(s_bfm_b32, (uint32_t)(((W64(1) << a % 32) - 1) << b % 32), 1)                                                    \
    X(s_mul_i32, a *b, 1)                                                                                              \
    X(s_mul_hi_u32, (uint32_t)(W64(a) * b >> 32), 1)                                                                   \
    X(s_mul_hi_i32, (uint32_t)(W64((int64_t)sa * sb) >> 32), 1)                                                        \
    X(s_cselect_b32, a, 1)                                                                                             \
    X(s_pack_ll_b32_b16, a % 65536 + b % 65536 * 65536, 1)                                                             \
    X(s_pack_lh_b32_b16, a % 65536 + b / 65536 * 65536, 1)                                                             \
    X(s_pack_hh_b32_b16, a / 65536 + b / 65536 * 65536, 1)

/* Of one source, a; SCC stays where it is not named. */
#define SCALAR_OPS1(X)                                                                                                 \
    X(s_mov_b32, a, 1)                                                                                                 \
    X(s_not_b32, ~a, a != 0xffffffff)                                                                                  \
    X(s_brev_b32, scalar_reverse(a), 1)                                                                                \
    X(s_ctz_i32_b32, a ? (uint32_t)__builtin_ctz(a) : 0xffffffff, 1)                                                   \
    X(s_clz_i32_u32, a ? (uint32_t)__builtin_clz(a) : 0xffffffff, 1)                                                   \
    X(s_cls_i32, a == 0 || a == 0xffffffff ? 0xffffffff : (uint32_t)__builtin_clrsb(sa) + 1, 1)                        \
    X(s_sext_i32_i8, (a & 255) + (a & 128 ? 0xffffff00 : 0), 1)                                                        \
    X(s_sext_i32_i16, (a & 65535) + (a & 32768 ? 0xffff0000 : 0), 1)                                                   \
    X(s_abs_i32, sa < 0 ? -a : a, a != 0)                                                                              \
    X(s_bcnt0_i32_b32, (uint32_t)__builtin_popcount(~a), a != 0xffffffff)                                              \
    X(s_bcnt1_i32_b32, (uint32_t)__builtin_popcount(a), a != 0)

/* Comparisons: SCC only. */
#define SCALAR_COMPARISONS(X)                                                                                          \
    X(s_cmp_eq_i32, 0, a == b)                                                                                         \
    X(s_cmp_lg_i32, 0, a != b)                                                                                         \
    X(s_cmp_gt_i32, 0, sa > sb)                                                                                        \
    X(s_cmp_ge_i32, 0, sa >= sb)                                                                                       \
    X(s_cmp_lt_i32, 0, sa < sb)                                                                                        \
    X(s_cmp_le_i32, 0, sa <= sb)                                                                                       \
    X(s_cmp_eq_u32, 0, a == b)                                                                                         \
    X(s_cmp_lg_u32, 0, a != b)                                                                                         \
    X(s_cmp_gt_u32, 0, a > b)                                                                                          \
    X(s_cmp_ge_u32, 0, a >= b)                                                                                         \
    X(s_cmp_lt_u32, 0, a < b)                                                                                          \
    X(s_cmp_le_u32, 0, a <= b)                                                                                         \
    X(s_bitcmp0_b32, 0, !(a >> b % 32 & 1))                                                                            \
    X(s_bitcmp1_b32, 0, a >> b % 32 & 1)

#endif
