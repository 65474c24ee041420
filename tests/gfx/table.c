/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of opcodes: for each encoding, opcode (hexadecimal), mnemonic, and how many registers of 32 bits each
 * operand has: the destination, then the sources (of memory instructions what is loaded, then the data); "+": with a
 * scalar destination beside it; "-": operands that the format fixes. Long forms (VOP3) of VOP1, VOP2 and VOPC are not
 * listed: their opcodes follow from the short ones. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gfx/inst.h"

static const char *const rows[GFX_N_FORMATS] = {
    [GFX_SOP1] =
        "0 s_mov_b32 11, 1 s_mov_b64 22, 2 s_cmov_b32 11, 3 s_cmov_b64 22, 4 s_brev_b32 11, 5 s_brev_b64 22, "
        "8 s_ctz_i32_b32 11, 9 s_ctz_i32_b64 12, a s_clz_i32_u32 11, b s_clz_i32_u64 12, c s_cls_i32 11, "
        "d s_cls_i32_i64 12, e s_sext_i32_i8 11, f s_sext_i32_i16 11, 10 s_bitset0_b32 11, 11 s_bitset0_b64 21, "
        "12 s_bitset1_b32 11, 13 s_bitset1_b64 21, 14 s_bitreplicate_b64_b32 21, 15 s_abs_i32 11, "
        "16 s_bcnt0_i32_b32 11, 17 s_bcnt0_i32_b64 12, 18 s_bcnt1_i32_b32 11, 19 s_bcnt1_i32_b64 12, "
        "1a s_quadmask_b32 11, 1b s_quadmask_b64 22, 1c s_wqm_b32 11, 1d s_wqm_b64 22, 1e s_not_b32 11, "
        "1f s_not_b64 22, 20 s_and_saveexec_b32 11, 21 s_and_saveexec_b64 22, 22 s_or_saveexec_b32 11, "
        "23 s_or_saveexec_b64 22, 24 s_xor_saveexec_b32 11, 25 s_xor_saveexec_b64 22, 26 s_nand_saveexec_b32 11, "
        "27 s_nand_saveexec_b64 22, 28 s_nor_saveexec_b32 11, 29 s_nor_saveexec_b64 22, "
        "2a s_xnor_saveexec_b32 11, 2b s_xnor_saveexec_b64 22, 2c s_and_not0_saveexec_b32 11, "
        "2d s_and_not0_saveexec_b64 22, 2e s_or_not0_saveexec_b32 11, 2f s_or_not0_saveexec_b64 22, "
        "30 s_and_not1_saveexec_b32 11, 31 s_and_not1_saveexec_b64 22, 32 s_or_not1_saveexec_b32 11, "
        "33 s_or_not1_saveexec_b64 22, 34 s_and_not0_wrexec_b32 11, 35 s_and_not0_wrexec_b64 22, "
        "36 s_and_not1_wrexec_b32 11, 37 s_and_not1_wrexec_b64 22, 40 s_movrels_b32 11, 41 s_movrels_b64 22, "
        "42 s_movreld_b32 11, 43 s_movreld_b64 22, 44 s_movrelsd_2_b32 11, 47 s_getpc_b64 2, 48 s_setpc_b64 02, "
        "49 s_swappc_b64 22, 4a s_rfe_b64 02, 4c s_sendmsg_rtn_b32 10, 4d s_sendmsg_rtn_b64 20, 60 s_ceil_f32 11, "
        "61 s_floor_f32 11, 62 s_trunc_f32 11, 63 s_rndne_f32 11, 64 s_cvt_f32_i32 11, 65 s_cvt_f32_u32 11, "
        "66 s_cvt_i32_f32 11, 67 s_cvt_u32_f32 11, 68 s_cvt_f16_f32 11, 69 s_cvt_f32_f16 11, "
        "6a s_cvt_hi_f32_f16 11, 6b s_ceil_f16 11, 6c s_floor_f16 11, 6d s_trunc_f16 11, 6e s_rndne_f16 11",
    [GFX_SOP2] =
        "0 s_add_u32 111, 1 s_sub_u32 111, 2 s_add_i32 111, 3 s_sub_i32 111, 4 s_addc_u32 111, 5 s_subb_u32 111, "
        "6 s_absdiff_i32 111, 8 s_lshl_b32 111, 9 s_lshl_b64 221, a s_lshr_b32 111, b s_lshr_b64 221, "
        "c s_ashr_i32 111, d s_ashr_i64 221, e s_lshl1_add_u32 111, f s_lshl2_add_u32 111, "
        "10 s_lshl3_add_u32 111, 11 s_lshl4_add_u32 111, 12 s_min_i32 111, 13 s_min_u32 111, 14 s_max_i32 111, "
        "15 s_max_u32 111, 16 s_and_b32 111, 17 s_and_b64 222, 18 s_or_b32 111, 19 s_or_b64 222, "
        "1a s_xor_b32 111, 1b s_xor_b64 222, 1c s_nand_b32 111, 1d s_nand_b64 222, 1e s_nor_b32 111, "
        "1f s_nor_b64 222, 20 s_xnor_b32 111, 21 s_xnor_b64 222, 22 s_and_not1_b32 111, 23 s_and_not1_b64 222, "
        "24 s_or_not1_b32 111, 25 s_or_not1_b64 222, 26 s_bfe_u32 111, 27 s_bfe_i32 111, 28 s_bfe_u64 221, "
        "29 s_bfe_i64 221, 2a s_bfm_b32 111, 2b s_bfm_b64 211, 2c s_mul_i32 111, 2d s_mul_hi_u32 111, "
        "2e s_mul_hi_i32 111, 30 s_cselect_b32 111, 31 s_cselect_b64 222, 32 s_pack_ll_b32_b16 111, "
        "33 s_pack_lh_b32_b16 111, 34 s_pack_hh_b32_b16 111, 35 s_pack_hl_b32_b16 111, 40 s_add_f32 111, "
        "41 s_sub_f32 111, 42 s_min_f32 111, 43 s_max_f32 111, 44 s_mul_f32 111, 45 s_fmaak_f32 111, "
        "46 s_fmamk_f32 111, 47 s_fmac_f32 111, 48 s_cvt_pk_rtz_f16_f32 111, 49 s_add_f16 111, 4a s_sub_f16 111, "
        "4b s_min_f16 111, 4c s_max_f16 111, 4d s_mul_f16 111, 4e s_fmac_f16 111",
    [GFX_SOPC] =
        "0 s_cmp_eq_i32 011, 1 s_cmp_lg_i32 011, 2 s_cmp_gt_i32 011, 3 s_cmp_ge_i32 011, 4 s_cmp_lt_i32 011, "
        "5 s_cmp_le_i32 011, 6 s_cmp_eq_u32 011, 7 s_cmp_lg_u32 011, 8 s_cmp_gt_u32 011, 9 s_cmp_ge_u32 011, "
        "a s_cmp_lt_u32 011, b s_cmp_le_u32 011, c s_bitcmp0_b32 011, d s_bitcmp1_b32 011, e s_bitcmp0_b64 021, "
        "f s_bitcmp1_b64 021, 10 s_cmp_eq_u64 022, 11 s_cmp_lg_u64 022, 41 s_cmp_lt_f32 011, 42 s_cmp_eq_f32 011, "
        "43 s_cmp_le_f32 011, 44 s_cmp_gt_f32 011, 45 s_cmp_lg_f32 011, 46 s_cmp_ge_f32 011, 47 s_cmp_o_f32 011, "
        "48 s_cmp_u_f32 011, 49 s_cmp_nge_f32 011, 4a s_cmp_nlg_f32 011, 4b s_cmp_ngt_f32 011, "
        "4c s_cmp_nle_f32 011, 4d s_cmp_neq_f32 011, 4e s_cmp_nlt_f32 011, 51 s_cmp_lt_f16 011, "
        "52 s_cmp_eq_f16 011, 53 s_cmp_le_f16 011, 54 s_cmp_gt_f16 011, 55 s_cmp_lg_f16 011, 56 s_cmp_ge_f16 011, "
        "57 s_cmp_o_f16 011, 58 s_cmp_u_f16 011, 59 s_cmp_nge_f16 011, 5a s_cmp_nlg_f16 011, "
        "5b s_cmp_ngt_f16 011, 5c s_cmp_nle_f16 011, 5d s_cmp_neq_f16 011, 5e s_cmp_nlt_f16 011",
    [GFX_SOPK] =
        "0 s_movk_i32 -, 1 s_version -, 2 s_cmovk_i32 -, 3 s_cmpk_eq_i32 -, 4 s_cmpk_lg_i32 -, 5 s_cmpk_gt_i32 -, "
        "6 s_cmpk_ge_i32 -, 7 s_cmpk_lt_i32 -, 8 s_cmpk_le_i32 -, 9 s_cmpk_eq_u32 -, a s_cmpk_lg_u32 -, "
        "b s_cmpk_gt_u32 -, c s_cmpk_ge_u32 -, d s_cmpk_lt_u32 -, e s_cmpk_le_u32 -, f s_addk_i32 -, "
        "10 s_mulk_i32 -, 11 s_getreg_b32 -, 12 s_setreg_b32 -, 13 s_setreg_imm32_b32 -, 14 s_call_b64 -, "
        "16 s_subvector_loop_begin -, 17 s_subvector_loop_end -, 18 s_waitcnt_vscnt -, 19 s_waitcnt_vmcnt -, "
        "1a s_waitcnt_expcnt -, 1b s_waitcnt_lgkmcnt -",
    [GFX_SOPP] =
        "0 s_nop -, 1 s_setkill -, 2 s_sethalt -, 3 s_sleep -, 4 s_set_inst_prefetch_distance -, 5 s_clause -, "
        "7 s_delay_alu -, 8 s_waitcnt_depctr -, 9 s_waitcnt -, b s_wait_event -, 10 s_trap -, 11 s_round_mode -, "
        "12 s_denorm_mode -, 13 s_singleuse_vdst -, 20 s_branch -, 21 s_cbranch_scc0 -, 22 s_cbranch_scc1 -, "
        "23 s_cbranch_vccz -, 24 s_cbranch_vccnz -, 25 s_cbranch_execz -, 26 s_cbranch_execnz -, "
        "27 s_cbranch_cdbgsys -, 28 s_cbranch_cdbguser -, 29 s_cbranch_cdbgsys_or_user -, "
        "2a s_cbranch_cdbgsys_and_user -, 30 s_endpgm -, 35 s_setprio -, 36 s_sendmsg -, 37 s_sendmsghalt -, "
        "38 s_incperflevel -, 39 s_decperflevel -, 3b s_ttracedata_imm -, a s_wait_idle -, 1f s_code_end -, 31 s_endpgm_saved -, "
        "3c s_icache_inv -, 3d s_barrier -",
    [GFX_SMEM] = "0 s_load_b32 1, 1 s_load_b64 2, 2 s_load_b128 4, 3 s_load_b256 8, 4 s_load_b512 g, "
                 "8 s_buffer_load_b32 1, 9 s_buffer_load_b64 2, a s_buffer_load_b128 4, b s_buffer_load_b256 8, "
                 "c s_buffer_load_b512 g, 20 s_gl1_inv 0, 21 s_dcache_inv 0, 22 s_atc_probe 0, 23 s_atc_probe_buffer 0",
    [GFX_VOP1] =
        "0 v_nop -, 1 v_mov_b32 11, 2 v_readfirstlane_b32 11, 3 v_cvt_i32_f64 12, 4 v_cvt_f64_i32 21, "
        "5 v_cvt_f32_i32 11, 6 v_cvt_f32_u32 11, 7 v_cvt_u32_f32 11, 8 v_cvt_i32_f32 11, a v_cvt_f16_f32 11, "
        "b v_cvt_f32_f16 11, c v_cvt_nearest_i32_f32 11, d v_cvt_floor_i32_f32 11, e v_cvt_off_f32_i4 11, "
        "f v_cvt_f32_f64 12, 10 v_cvt_f64_f32 21, 11 v_cvt_f32_ubyte0 11, 12 v_cvt_f32_ubyte1 11, "
        "13 v_cvt_f32_ubyte2 11, 14 v_cvt_f32_ubyte3 11, 15 v_cvt_u32_f64 12, 16 v_cvt_f64_u32 21, "
        "17 v_trunc_f64 22, 18 v_ceil_f64 22, 19 v_rndne_f64 22, 1a v_floor_f64 22, 1b v_pipeflush -, "
        "1c v_mov_b16 11, 20 v_fract_f32 11, 21 v_trunc_f32 11, 22 v_ceil_f32 11, 23 v_rndne_f32 11, "
        "24 v_floor_f32 11, 25 v_exp_f32 11, 27 v_log_f32 11, 2a v_rcp_f32 11, 2b v_rcp_iflag_f32 11, "
        "2e v_rsq_f32 11, 2f v_rcp_f64 22, 31 v_rsq_f64 22, 33 v_sqrt_f32 11, 34 v_sqrt_f64 22, 35 v_sin_f32 11, "
        "36 v_cos_f32 11, 37 v_not_b32 11, 38 v_bfrev_b32 11, 39 v_clz_i32_u32 11, 3a v_ctz_i32_b32 11, "
        "3b v_cls_i32 11, 3c v_frexp_exp_i32_f64 12, 3d v_frexp_mant_f64 22, 3e v_fract_f64 22, "
        "3f v_frexp_exp_i32_f32 11, 40 v_frexp_mant_f32 11, 42 v_movreld_b32 11, 43 v_movrels_b32 11, "
        "44 v_movrelsd_b32 11, 48 v_movrelsd_2_b32 11, 50 v_cvt_f16_u16 11, 51 v_cvt_f16_i16 11, "
        "52 v_cvt_u16_f16 11, 53 v_cvt_i16_f16 11, 54 v_rcp_f16 11, 55 v_sqrt_f16 11, 56 v_rsq_f16 11, "
        "57 v_log_f16 11, 58 v_exp_f16 11, 59 v_frexp_mant_f16 11, 5a v_frexp_exp_i16_f16 11, 5b v_floor_f16 11, "
        "5c v_ceil_f16 11, 5d v_trunc_f16 11, 5e v_rndne_f16 11, 5f v_fract_f16 11, 60 v_sin_f16 11, "
        "61 v_cos_f16 11, 62 v_sat_pk_u8_i16 11, 63 v_cvt_norm_i16_f16 11, 64 v_cvt_norm_u16_f16 11, "
        "65 v_swap_b32 11, 67 v_permlane64_b32 11, 68 v_swaprel_b32 11, 69 v_not_b16 11, 6a v_cvt_i32_i16 11, "
        "6b v_cvt_u32_u16 11",
    [GFX_VOP2] =
        "1 v_cndmask_b32 111, 2 v_dot2acc_f32_f16 111, 3 v_add_f32 111, 4 v_sub_f32 111, 5 v_subrev_f32 111, "
        "6 v_fmac_dx9_zero_f32 111, 7 v_mul_dx9_zero_f32 111, 8 v_mul_f32 111, 9 v_mul_i32_i24 111, "
        "a v_mul_hi_i32_i24 111, b v_mul_u32_u24 111, c v_mul_hi_u32_u24 111, f v_min_f32 111, 10 v_max_f32 111, "
        "11 v_min_i32 111, 12 v_max_i32 111, 13 v_min_u32 111, 14 v_max_u32 111, 18 v_lshlrev_b32 111, "
        "19 v_lshrrev_b32 111, 1a v_ashrrev_i32 111, 1b v_and_b32 111, 1c v_or_b32 111, 1d v_xor_b32 111, "
        "1e v_xnor_b32 111, 20 v_add_co_ci_u32 111, 21 v_sub_co_ci_u32 111, 22 v_subrev_co_ci_u32 111, "
        "25 v_add_nc_u32 111, 26 v_sub_nc_u32 111, 27 v_subrev_nc_u32 111, 2b v_fmac_f32 111, 2c v_fmamk_f32 111, "
        "2d v_fmaak_f32 111, 2f v_cvt_pk_rtz_f16_f32 111, 32 v_add_f16 111, 33 v_sub_f16 111, "
        "34 v_subrev_f16 111, 35 v_mul_f16 111, 36 v_fmac_f16 111, 37 v_fmamk_f16 111, 38 v_fmaak_f16 111, "
        "39 v_max_f16 111, 3a v_min_f16 111, 3b v_ldexp_f16 111, 3c v_pk_fmac_f16 111",
    [GFX_VOPC] =
        "0 v_cmp_f_f16 011, 1 v_cmp_lt_f16 011, 2 v_cmp_eq_f16 011, 3 v_cmp_le_f16 011, 4 v_cmp_gt_f16 011, "
        "5 v_cmp_lg_f16 011, 6 v_cmp_ge_f16 011, 7 v_cmp_o_f16 011, 8 v_cmp_u_f16 011, 9 v_cmp_nge_f16 011, "
        "a v_cmp_nlg_f16 011, b v_cmp_ngt_f16 011, c v_cmp_nle_f16 011, d v_cmp_neq_f16 011, e v_cmp_nlt_f16 011, "
        "f v_cmp_t_f16 011, 10 v_cmp_f_f32 011, 11 v_cmp_lt_f32 011, 12 v_cmp_eq_f32 011, 13 v_cmp_le_f32 011, "
        "14 v_cmp_gt_f32 011, 15 v_cmp_lg_f32 011, 16 v_cmp_ge_f32 011, 17 v_cmp_o_f32 011, 18 v_cmp_u_f32 011, "
        "19 v_cmp_nge_f32 011, 1a v_cmp_nlg_f32 011, 1b v_cmp_ngt_f32 011, 1c v_cmp_nle_f32 011, "
        "1d v_cmp_neq_f32 011, 1e v_cmp_nlt_f32 011, 1f v_cmp_t_f32 011, 20 v_cmp_f_f64 022, 21 v_cmp_lt_f64 022, "
        "22 v_cmp_eq_f64 022, 23 v_cmp_le_f64 022, 24 v_cmp_gt_f64 022, 25 v_cmp_lg_f64 022, 26 v_cmp_ge_f64 022, "
        "27 v_cmp_o_f64 022, 28 v_cmp_u_f64 022, 29 v_cmp_nge_f64 022, 2a v_cmp_nlg_f64 022, "
        "2b v_cmp_ngt_f64 022, 2c v_cmp_nle_f64 022, 2d v_cmp_neq_f64 022, 2e v_cmp_nlt_f64 022, "
        "2f v_cmp_t_f64 022, 31 v_cmp_lt_i16 011, 32 v_cmp_eq_i16 011, 33 v_cmp_le_i16 011, 34 v_cmp_gt_i16 011, "
        "35 v_cmp_ne_i16 011, 36 v_cmp_ge_i16 011, 39 v_cmp_lt_u16 011, 3a v_cmp_eq_u16 011, 3b v_cmp_le_u16 011, "
        "3c v_cmp_gt_u16 011, 3d v_cmp_ne_u16 011, 3e v_cmp_ge_u16 011, 40 v_cmp_f_i32 011, 41 v_cmp_lt_i32 011, "
        "42 v_cmp_eq_i32 011, 43 v_cmp_le_i32 011, 44 v_cmp_gt_i32 011, 45 v_cmp_ne_i32 011, 46 v_cmp_ge_i32 011, "
        "47 v_cmp_t_i32 011, 48 v_cmp_f_u32 011, 49 v_cmp_lt_u32 011, 4a v_cmp_eq_u32 011, 4b v_cmp_le_u32 011, "
        "4c v_cmp_gt_u32 011, 4d v_cmp_ne_u32 011, 4e v_cmp_ge_u32 011, 4f v_cmp_t_u32 011, 50 v_cmp_f_i64 022, "
        "51 v_cmp_lt_i64 022, 52 v_cmp_eq_i64 022, 53 v_cmp_le_i64 022, 54 v_cmp_gt_i64 022, 55 v_cmp_ne_i64 022, "
        "56 v_cmp_ge_i64 022, 57 v_cmp_t_i64 022, 58 v_cmp_f_u64 022, 59 v_cmp_lt_u64 022, 5a v_cmp_eq_u64 022, "
        "5b v_cmp_le_u64 022, 5c v_cmp_gt_u64 022, 5d v_cmp_ne_u64 022, 5e v_cmp_ge_u64 022, 5f v_cmp_t_u64 022, "
        "7d v_cmp_class_f16 011, 7e v_cmp_class_f32 011, 7f v_cmp_class_f64 021, 80 v_cmpx_f_f16 011, "
        "81 v_cmpx_lt_f16 011, 82 v_cmpx_eq_f16 011, 83 v_cmpx_le_f16 011, 84 v_cmpx_gt_f16 011, "
        "85 v_cmpx_lg_f16 011, 86 v_cmpx_ge_f16 011, 87 v_cmpx_o_f16 011, 88 v_cmpx_u_f16 011, "
        "89 v_cmpx_nge_f16 011, 8a v_cmpx_nlg_f16 011, 8b v_cmpx_ngt_f16 011, 8c v_cmpx_nle_f16 011, "
        "8d v_cmpx_neq_f16 011, 8e v_cmpx_nlt_f16 011, 8f v_cmpx_t_f16 011, 90 v_cmpx_f_f32 011, "
        "91 v_cmpx_lt_f32 011, 92 v_cmpx_eq_f32 011, 93 v_cmpx_le_f32 011, 94 v_cmpx_gt_f32 011, "
        "95 v_cmpx_lg_f32 011, 96 v_cmpx_ge_f32 011, 97 v_cmpx_o_f32 011, 98 v_cmpx_u_f32 011, "
        "99 v_cmpx_nge_f32 011, 9a v_cmpx_nlg_f32 011, 9b v_cmpx_ngt_f32 011, 9c v_cmpx_nle_f32 011, "
        "9d v_cmpx_neq_f32 011, 9e v_cmpx_nlt_f32 011, 9f v_cmpx_t_f32 011, a0 v_cmpx_f_f64 022, "
        "a1 v_cmpx_lt_f64 022, a2 v_cmpx_eq_f64 022, a3 v_cmpx_le_f64 022, a4 v_cmpx_gt_f64 022, "
        "a5 v_cmpx_lg_f64 022, a6 v_cmpx_ge_f64 022, a7 v_cmpx_o_f64 022, a8 v_cmpx_u_f64 022, "
        "a9 v_cmpx_nge_f64 022, aa v_cmpx_nlg_f64 022, ab v_cmpx_ngt_f64 022, ac v_cmpx_nle_f64 022, "
        "ad v_cmpx_neq_f64 022, ae v_cmpx_nlt_f64 022, af v_cmpx_t_f64 022, b1 v_cmpx_lt_i16 011, "
        "b2 v_cmpx_eq_i16 011, b3 v_cmpx_le_i16 011, b4 v_cmpx_gt_i16 011, b5 v_cmpx_ne_i16 011, "
        "b6 v_cmpx_ge_i16 011, b9 v_cmpx_lt_u16 011, ba v_cmpx_eq_u16 011, bb v_cmpx_le_u16 011, "
        "bc v_cmpx_gt_u16 011, bd v_cmpx_ne_u16 011, be v_cmpx_ge_u16 011, c0 v_cmpx_f_i32 011, "
        "c1 v_cmpx_lt_i32 011, c2 v_cmpx_eq_i32 011, c3 v_cmpx_le_i32 011, c4 v_cmpx_gt_i32 011, "
        "c5 v_cmpx_ne_i32 011, c6 v_cmpx_ge_i32 011, c7 v_cmpx_t_i32 011, c8 v_cmpx_f_u32 011, "
        "c9 v_cmpx_lt_u32 011, ca v_cmpx_eq_u32 011, cb v_cmpx_le_u32 011, cc v_cmpx_gt_u32 011, "
        "cd v_cmpx_ne_u32 011, ce v_cmpx_ge_u32 011, cf v_cmpx_t_u32 011, d0 v_cmpx_f_i64 022, "
        "d1 v_cmpx_lt_i64 022, d2 v_cmpx_eq_i64 022, d3 v_cmpx_le_i64 022, d4 v_cmpx_gt_i64 022, "
        "d5 v_cmpx_ne_i64 022, d6 v_cmpx_ge_i64 022, d7 v_cmpx_t_i64 022, d8 v_cmpx_f_u64 022, "
        "d9 v_cmpx_lt_u64 022, da v_cmpx_eq_u64 022, db v_cmpx_le_u64 022, dc v_cmpx_gt_u64 022, "
        "dd v_cmpx_ne_u64 022, de v_cmpx_ge_u64 022, df v_cmpx_t_u64 022, fd v_cmpx_class_f16 011, "
        "fe v_cmpx_class_f32 011, ff v_cmpx_class_f64 021",
    [GFX_VOP3] =
        "209 v_fma_dx9_zero_f32 1111, 20a v_mad_i32_i24 1111, 20b v_mad_u32_u24 1111, 20c v_cubeid_f32 1111, "
        "20d v_cubesc_f32 1111, 20e v_cubetc_f32 1111, 20f v_cubema_f32 1111, 210 v_bfe_u32 1111, "
        "211 v_bfe_i32 1111, 212 v_bfi_b32 1111, 213 v_fma_f32 1111, 214 v_fma_f64 2222, 215 v_lerp_u8 1111, "
        "216 v_alignbit_b32 1111, 217 v_alignbyte_b32 1111, 218 v_mullit_f32 1111, 219 v_min3_f32 1111, "
        "21a v_min3_i32 1111, 21b v_min3_u32 1111, 21c v_max3_f32 1111, 21d v_max3_i32 1111, 21e v_max3_u32 1111, "
        "21f v_med3_f32 1111, 220 v_med3_i32 1111, 221 v_med3_u32 1111, 222 v_sad_u8 1111, 223 v_sad_hi_u8 1111, "
        "224 v_sad_u16 1111, 225 v_sad_u32 1111, 226 v_cvt_pk_u8_f32 1111, 227 v_div_fixup_f32 1111, "
        "228 v_div_fixup_f64 2222, 237 v_div_fmas_f32 1111, 238 v_div_fmas_f64 2222, 239 v_msad_u8 1111, "
        "23a v_qsad_pk_u16_u8 2212, 23b v_mqsad_pk_u16_u8 2212, 23d v_mqsad_u32_u8 4214, 240 v_xor3_b32 1111, "
        "241 v_mad_u16 1111, 244 v_perm_b32 1111, 245 v_xad_u32 1111, 246 v_lshl_add_u32 1111, "
        "247 v_add_lshl_u32 1111, 248 v_fma_f16 1111, 249 v_min3_f16 1111, 24a v_min3_i16 1111, "
        "24b v_min3_u16 1111, 24c v_max3_f16 1111, 24d v_max3_i16 1111, 24e v_max3_u16 1111, 24f v_med3_f16 1111, "
        "250 v_med3_i16 1111, 251 v_med3_u16 1111, 253 v_mad_i16 1111, 254 v_div_fixup_f16 1111, "
        "255 v_add3_u32 1111, 256 v_lshl_or_b32 1111, 257 v_and_or_b32 1111, 258 v_or3_b32 1111, "
        "259 v_mad_u32_u16 1111, 25a v_mad_i32_i16 1111, 25b v_permlane16_b32 1111, 25c v_permlanex16_b32 1111, "
        "25d v_cndmask_b16 1111, 25e v_maxmin_f32 1111, 25f v_minmax_f32 1111, 260 v_maxmin_f16 1111, "
        "261 v_minmax_f16 1111, 262 v_maxmin_u32 1111, 263 v_minmax_u32 1111, 264 v_maxmin_i32 1111, "
        "265 v_minmax_i32 1111, 266 v_dot2_f16_f16 1111, 267 v_dot2_bf16_bf16 1111, 2fc v_div_scale_f32 +1111, "
        "2fd v_div_scale_f64 +2222, 2fe v_mad_u64_u32 +2112, 2ff v_mad_i64_i32 +2112, 300 v_add_co_u32 +111, "
        "301 v_sub_co_u32 +111, 302 v_subrev_co_u32 +111, 303 v_add_nc_u16 111, 304 v_sub_nc_u16 111, "
        "305 v_mul_lo_u16 111, 306 v_cvt_pk_i16_f32 111, 307 v_cvt_pk_u16_f32 111, 309 v_max_u16 111, "
        "30a v_max_i16 111, 30b v_min_u16 111, 30c v_min_i16 111, 30d v_add_nc_i16 111, 30e v_sub_nc_i16 111, "
        "311 v_pack_b32_f16 111, 312 v_cvt_pk_norm_i16_f16 111, 313 v_cvt_pk_norm_u16_f16 111, "
        "31c v_ldexp_f32 111, 31d v_bfm_b32 111, 31e v_bcnt_u32_b32 111, 31f v_mbcnt_lo_u32_b32 111, "
        "320 v_mbcnt_hi_u32_b32 111, 321 v_cvt_pk_norm_i16_f32 111, 322 v_cvt_pk_norm_u16_f32 111, "
        "323 v_cvt_pk_u16_u32 111, 324 v_cvt_pk_i16_i32 111, 325 v_sub_nc_i32 111, 326 v_add_nc_i32 111, "
        "327 v_add_f64 222, 328 v_mul_f64 222, 329 v_min_f64 222, 32a v_max_f64 222, 32b v_ldexp_f64 221, "
        "32c v_mul_lo_u32 111, 32d v_mul_hi_u32 111, 32e v_mul_hi_i32 111, 32f v_trig_preop_f64 221, "
        "338 v_lshlrev_b16 111, 339 v_lshrrev_b16 111, 33a v_ashrrev_i16 111, 33c v_lshlrev_b64 212, "
        "33d v_lshrrev_b64 212, 33e v_ashrrev_i64 212, 360 v_readlane_b32 111, 361 v_writelane_b32 111, "
        "362 v_and_b16 111, 363 v_or_b16 111, 364 v_xor_b16 111",
    [GFX_VOP3P] =
        "0 v_pk_mad_i16 1111, 1 v_pk_mul_lo_u16 111, 2 v_pk_add_i16 111, 3 v_pk_sub_i16 111, "
        "4 v_pk_lshlrev_b16 111, 5 v_pk_lshrrev_b16 111, 6 v_pk_ashrrev_i16 111, 7 v_pk_max_i16 111, "
        "8 v_pk_min_i16 111, 9 v_pk_mad_u16 1111, a v_pk_add_u16 111, b v_pk_sub_u16 111, c v_pk_max_u16 111, "
        "d v_pk_min_u16 111, e v_pk_fma_f16 1111, f v_pk_add_f16 111, 10 v_pk_mul_f16 111, 11 v_pk_min_f16 111, "
        "12 v_pk_max_f16 111, 13 v_dot2_f32_f16 1111, 16 v_dot4_i32_iu8 1111, 17 v_dot4_u32_u8 1111, "
        "18 v_dot8_i32_iu4 1111, 19 v_dot8_u32_u4 1111, 1a v_dot2_f32_bf16 1111, 20 v_fma_mix_f32 1111, "
        "21 v_fma_mixlo_f16 1111, 22 v_fma_mixhi_f16 1111, 40 v_wmma_f32_16x16x16_f16 8888, "
        "41 v_wmma_f32_16x16x16_bf16 8888, 42 v_wmma_f16_16x16x16_f16 8888, 43 v_wmma_bf16_16x16x16_bf16 8888, "
        "44 v_wmma_i32_16x16x16_iu8 8448, 45 v_wmma_i32_16x16x16_iu4 8228",
    [GFX_VOPDX] = "0 v_fmac_f32 -, 1 v_fmaak_f32 -, 2 v_fmamk_f32 -, 3 v_mul_f32 -, 4 v_add_f32 -, 5 v_sub_f32 -, "
                  "6 v_subrev_f32 -, 7 v_mul_dx9_zero_f32 -, 8 v_mov_b32 -, 9 v_cndmask_b32 -, a v_max_f32 -, "
                  "b v_min_f32 -, c v_dot2acc_f32_f16 -",
    [GFX_VOPDY] = "0 v_fmac_f32 -, 1 v_fmaak_f32 -, 2 v_fmamk_f32 -, 3 v_mul_f32 -, 4 v_add_f32 -, 5 v_sub_f32 -, "
                  "6 v_subrev_f32 -, 7 v_mul_dx9_zero_f32 -, 8 v_mov_b32 -, 9 v_cndmask_b32 -, a v_max_f32 -, "
                  "b v_min_f32 -, c v_dot2acc_f32_f16 -, 10 v_add_nc_u32 -, 11 v_lshlrev_b32 -, 12 v_and_b32 -",
    [GFX_DS] = "0 ds_add_u32 01, 1 ds_sub_u32 01, 2 ds_rsub_u32 01, 3 ds_inc_u32 01, 4 ds_dec_u32 01, 5 ds_min_i32 01, "
               "6 ds_max_i32 01, 7 ds_min_u32 01, 8 ds_max_u32 01, 9 ds_and_b32 01, a ds_or_b32 01, b ds_xor_b32 01, "
               "c ds_mskor_b32 011, d ds_store_b32 01, e ds_store_2addr_b32 011, f ds_store_2addr_stride64_b32 011, "
               "10 ds_cmpstore_b32 011, 11 ds_cmpstore_f32 011, 12 ds_min_f32 01, 13 ds_max_f32 01, 15 ds_add_f32 01, "
               "1e ds_store_b8 01, 1f ds_store_b16 01, 20 ds_add_rtn_u32 11, 21 ds_sub_rtn_u32 11, "
               "22 ds_rsub_rtn_u32 11, 23 ds_inc_rtn_u32 11, 24 ds_dec_rtn_u32 11, 25 ds_min_rtn_i32 11, "
               "26 ds_max_rtn_i32 11, 27 ds_min_rtn_u32 11, 28 ds_max_rtn_u32 11, 29 ds_and_rtn_b32 11, "
               "2a ds_or_rtn_b32 11, 2b ds_xor_rtn_b32 11, 2c ds_mskor_rtn_b32 111, 2d ds_storexchg_rtn_b32 11, "
               "2e ds_storexchg_2addr_rtn_b32 211, 2f ds_storexchg_2addr_stride64_rtn_b32 211, "
               "30 ds_cmpstore_rtn_b32 111, 31 ds_cmpstore_rtn_f32 111, 32 ds_min_rtn_f32 11, 33 ds_max_rtn_f32 11, "
               "34 ds_wrap_rtn_b32 111, 35 ds_swizzle_b32 1, 36 ds_load_b32 1, 37 ds_load_2addr_b32 2, "
               "38 ds_load_2addr_stride64_b32 2, 39 ds_load_i8 1, 3a ds_load_u8 1, 3b ds_load_i16 1, 3c ds_load_u16 1, "
               "3d ds_consume 1, 3e ds_append 1, 40 ds_add_u64 02, 41 ds_sub_u64 02, 42 ds_rsub_u64 02, "
               "43 ds_inc_u64 02, 44 ds_dec_u64 02, 45 ds_min_i64 02, 46 ds_max_i64 02, 47 ds_min_u64 02, "
               "48 ds_max_u64 02, 49 ds_and_b64 02, 4a ds_or_b64 02, 4b ds_xor_b64 02, 4c ds_mskor_b64 022, "
               "4d ds_store_b64 02, 4e ds_store_2addr_b64 022, 4f ds_store_2addr_stride64_b64 022, "
               "50 ds_cmpstore_b64 022, 51 ds_cmpstore_f64 022, 52 ds_min_f64 02, 53 ds_max_f64 02, "
               "60 ds_add_rtn_u64 22, 61 ds_sub_rtn_u64 22, 62 ds_rsub_rtn_u64 22, 63 ds_inc_rtn_u64 22, "
               "64 ds_dec_rtn_u64 22, 65 ds_min_rtn_i64 22, 66 ds_max_rtn_i64 22, 67 ds_min_rtn_u64 22, "
               "68 ds_max_rtn_u64 22, 69 ds_and_rtn_b64 22, 6a ds_or_rtn_b64 22, 6b ds_xor_rtn_b64 22, "
               "6c ds_mskor_rtn_b64 222, 6d ds_storexchg_rtn_b64 22, 6e ds_storexchg_2addr_rtn_b64 422, "
               "6f ds_storexchg_2addr_stride64_rtn_b64 422, 70 ds_cmpstore_rtn_b64 222, 71 ds_cmpstore_rtn_f64 222, "
               "72 ds_min_rtn_f64 22, 73 ds_max_rtn_f64 22, 76 ds_load_b64 2, 77 ds_load_2addr_b64 4, "
               "78 ds_load_2addr_stride64_b64 4, 79 ds_add_rtn_f32 11, 7e ds_condxchg32_rtn_b64 22, "
               "a0 ds_store_b8_d16_hi 01, a1 ds_store_b16_d16_hi 01, a2 ds_load_u8_d16 1, a3 ds_load_u8_d16_hi 1, "
               "a4 ds_load_i8_d16 1, a5 ds_load_i8_d16_hi 1, a6 ds_load_u16_d16 1, a7 ds_load_u16_d16_hi 1, "
               "ad ds_bvh_stack_rtn_b32 114, b0 ds_store_addtid_b32 0, b1 ds_load_addtid_b32 1, b2 ds_permute_b32 11, "
               "b3 ds_bpermute_b32 11, de ds_store_b96 03, df ds_store_b128 04, fe ds_load_b96 3, ff ds_load_b128 4",
    [GFX_FLAT] =
        "10 flat_load_u8 1, 11 flat_load_i8 1, 12 flat_load_u16 1, 13 flat_load_i16 1, 14 flat_load_b32 1, "
        "15 flat_load_b64 2, 16 flat_load_b96 3, 17 flat_load_b128 4, 18 flat_store_b8 01, 19 flat_store_b16 01, "
        "1a flat_store_b32 01, 1b flat_store_b64 02, 1c flat_store_b96 03, 1d flat_store_b128 04, "
        "1e flat_load_d16_u8 1, 1f flat_load_d16_i8 1, 20 flat_load_d16_b16 1, 21 flat_load_d16_hi_u8 1, "
        "22 flat_load_d16_hi_i8 1, 23 flat_load_d16_hi_b16 1, 24 flat_store_d16_hi_b8 01, "
        "25 flat_store_d16_hi_b16 01, 33 flat_atomic_swap_b32 11, 34 flat_atomic_cmpswap_b32 12, "
        "35 flat_atomic_add_u32 11, 36 flat_atomic_sub_u32 11, 38 flat_atomic_min_i32 11, "
        "39 flat_atomic_min_u32 11, 3a flat_atomic_max_i32 11, 3b flat_atomic_max_u32 11, "
        "3c flat_atomic_and_b32 11, 3d flat_atomic_or_b32 11, 3e flat_atomic_xor_b32 11, "
        "3f flat_atomic_inc_u32 11, 40 flat_atomic_dec_u32 11, 41 flat_atomic_swap_b64 22, "
        "42 flat_atomic_cmpswap_b64 24, 43 flat_atomic_add_u64 22, 44 flat_atomic_sub_u64 22, "
        "45 flat_atomic_min_i64 22, 46 flat_atomic_min_u64 22, 47 flat_atomic_max_i64 22, "
        "48 flat_atomic_max_u64 22, 49 flat_atomic_and_b64 22, 4a flat_atomic_or_b64 22, "
        "4b flat_atomic_xor_b64 22, 4c flat_atomic_inc_u64 22, 4d flat_atomic_dec_u64 22, "
        "50 flat_atomic_cmpswap_f32 12, 51 flat_atomic_min_f32 11, 52 flat_atomic_max_f32 11, "
        "56 flat_atomic_add_f32 11",
    [GFX_GLOBAL] = "10 global_load_u8 1, 11 global_load_i8 1, 12 global_load_u16 1, 13 global_load_i16 1, "
                   "14 global_load_b32 1, 15 global_load_b64 2, 16 global_load_b96 3, 17 global_load_b128 4, "
                   "18 global_store_b8 01, 19 global_store_b16 01, 1a global_store_b32 01, 1b global_store_b64 02, "
                   "1c global_store_b96 03, 1d global_store_b128 04, 1e global_load_d16_u8 1, 1f global_load_d16_i8 1, "
                   "20 global_load_d16_b16 1, 21 global_load_d16_hi_u8 1, 22 global_load_d16_hi_i8 1, "
                   "23 global_load_d16_hi_b16 1, 24 global_store_d16_hi_b8 01, 25 global_store_d16_hi_b16 01, "
                   "28 global_load_addtid_b32 1, 29 global_store_addtid_b32 0, 33 global_atomic_swap_b32 11, "
                   "34 global_atomic_cmpswap_b32 12, 35 global_atomic_add_u32 11, 36 global_atomic_sub_u32 11, "
                   "37 global_atomic_csub_u32 11, 38 global_atomic_min_i32 11, 39 global_atomic_min_u32 11, "
                   "3a global_atomic_max_i32 11, 3b global_atomic_max_u32 11, 3c global_atomic_and_b32 11, "
                   "3d global_atomic_or_b32 11, 3e global_atomic_xor_b32 11, 3f global_atomic_inc_u32 11, "
                   "40 global_atomic_dec_u32 11, 41 global_atomic_swap_b64 22, 42 global_atomic_cmpswap_b64 24, "
                   "43 global_atomic_add_u64 22, 44 global_atomic_sub_u64 22, 45 global_atomic_min_i64 22, "
                   "46 global_atomic_min_u64 22, 47 global_atomic_max_i64 22, 48 global_atomic_max_u64 22, "
                   "49 global_atomic_and_b64 22, 4a global_atomic_or_b64 22, 4b global_atomic_xor_b64 22, "
                   "4c global_atomic_inc_u64 22, 4d global_atomic_dec_u64 22, 50 global_atomic_cmpswap_f32 12, "
                   "51 global_atomic_min_f32 11, 52 global_atomic_max_f32 11, 56 global_atomic_add_f32 11",
    [GFX_SCRATCH] =
        "10 scratch_load_u8 1, 11 scratch_load_i8 1, 12 scratch_load_u16 1, 13 scratch_load_i16 1, "
        "14 scratch_load_b32 1, 15 scratch_load_b64 2, 16 scratch_load_b96 3, 17 scratch_load_b128 4, "
        "18 scratch_store_b8 01, 19 scratch_store_b16 01, 1a scratch_store_b32 01, 1b scratch_store_b64 02, "
        "1c scratch_store_b96 03, 1d scratch_store_b128 04, 1e scratch_load_d16_u8 1, 1f scratch_load_d16_i8 1, "
        "20 scratch_load_d16_b16 1, 21 scratch_load_d16_hi_u8 1, 22 scratch_load_d16_hi_i8 1, "
        "23 scratch_load_d16_hi_b16 1, 24 scratch_store_d16_hi_b8 01, 25 scratch_store_d16_hi_b16 01",
    [GFX_MUBUF] = "2b buffer_gl0_inv -, 2c buffer_gl1_inv -",
};

enum { MOST_OPCODES = 1024, VOP3_OF_VOP2 = 0x100, VOP3_OF_VOP1 = 0x180 };
static gfx_spec specs[GFX_N_FORMATS][MOST_OPCODES];

static uint8_t digit(char c) {
    return (uint8_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
}

/* "209 v_fma_dx9_zero_f32 1111" */
static void parse_row(gfx_format format, const char *row) {
    char *at;
    gfx_spec *s = &specs[format][strtoul(row, &at, 16) % MOST_OPCODES];
    const size_t n = strcspn(++at, " ");
    memcpy(s->name, at, n < sizeof s->name ? n : sizeof s->name - 1);
    s->base = format;
    at += n + 1;
    if (*at == '-') return;
    s->sdst = *at == '+';
    at += s->sdst;
    if (*at && *at != ',') s->dst = *at == 'g' ? 16 : digit(*at++);
    for (int i = 0; i < 3 && *at && *at != ','; i++) s->src[i] = digit(*at++);
}

static void long_forms(void) {
    for (unsigned op = 0; op < 256; op++) {
        if (op < 64) specs[GFX_VOP3][VOP3_OF_VOP2 + op] = specs[GFX_VOP2][op];
        if (op < 128) specs[GFX_VOP3][VOP3_OF_VOP1 + op] = specs[GFX_VOP1][op];
        specs[GFX_VOP3][op] = specs[GFX_VOPC][op];
    }
    /* Carries have registers of their own there, as has the condition. */
    for (unsigned op = 0x20; op <= 0x22; op++) {
        specs[GFX_VOP3][VOP3_OF_VOP2 + op].sdst = true;
        specs[GFX_VOP3][VOP3_OF_VOP2 + op].src[2] = 1;
    }
    specs[GFX_VOP3][VOP3_OF_VOP2 + 1].src[2] = 1;
}

static void fill(void) {
    for (gfx_format f = 0; f < GFX_N_FORMATS; f++)
        for (const char *at = rows[f]; at; at = strstr(at, ", ")) {
            if (*at == ',') at += 2;
            parse_row(f, at);
        }
    long_forms();
}

const gfx_spec *gfx_spec_of(gfx_format format, unsigned op) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
    if (op >= MOST_OPCODES || !specs[format][op].name[0]) return NULL;
    return &specs[format][op];
}
