; SPDX-License-Identifier: Apache-2.0
;
; Forms of instructions that the kernels hardly use, for test_decode.c: modifiers, DPP, memory with all its fields.
s_mov_b64 s[10:11], exec
s_mov_b32 m0, 0x12345678
s_and_not1_wrexec_b32 s5, vcc_lo
s_cmp_lg_u64 s[4:5], 0
s_movk_i32 s7, 0x8000
s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 4), 0xf
s_getreg_b32 s9, hwreg(HW_REG_MODE)
s_getreg_b32 s9, hwreg(HW_REG_SHADER_CYCLES, 0, 20)
s_getpc_b64 s[20:21]
s_swappc_b64 s[30:31], s[20:21]
s_setpc_b64 s[30:31]
s_load_b32 s5, s[2:3], s7 offset:0x10
s_load_b64 s[6:7], s[2:3], -0x8
s_load_b512 s[16:31], s[2:3], 0x40 glc
s_waitcnt vmcnt(0) expcnt(0) lgkmcnt(0)
s_waitcnt_vscnt null, 0x0
s_delay_alu instid0(TRANS32_DEP_1) | instskip(SKIP_2) | instid1(FMA_ACCUM_CYCLE_1)
s_sendmsg sendmsg(MSG_DEALLOC_VGPRS)
s_fmamk_f32 s5, s6, 0x41000000, s7
s_fmaak_f32 s5, s6, s7, 0x41000000
s_cvt_hi_f32_f16 s5, s6
v_add_f32_e64 v5, -v6, |v7| clamp mul:4
v_add_f32_e64 v5, -|v6|, s7 div:2
v_mul_f32_e64 v5, 0.5, -v7 mul:2
v_fma_f32 v5, -v6, |s7|, -1.0
v_fma_f16 v5, v6, v7, v8 op_sel:[1,0,1,1]
v_add_nc_u16 v5, v6, v7 op_sel:[0,1,0]
v_fma_f64 v[6:7], -v[8:9], |v[10:11]|, 1.0
v_mul_f64 v[6:7], 0.15915494309189532, v[10:11]
v_cmp_class_f32_e64 s5, -v6, 3
v_cmpx_lt_f32_e64 |v6|, v7
v_cmp_eq_f64_e32 vcc_lo, 0x40590000, v[6:7]
v_add_co_ci_u32_e64 v5, s6, v7, v8, s9
v_div_scale_f64 v[6:7], vcc_lo, v[8:9], v[10:11], v[8:9]
v_mad_u64_u32 v[6:7], null, v8, v9, 0
v_mov_b32_dpp v5, v6 quad_perm:[3,2,1,0] row_mask:0xf bank_mask:0xf
v_add_f32_dpp v5, -v6, |v7| row_shr:3 row_mask:0x3 bank_mask:0x5 bound_ctrl:1
v_add_f32_dpp v5, v6, v7 row_share:3 row_mask:0xf bank_mask:0xf fi:1
v_add_nc_u32_dpp v5, v6, v7 row_mirror row_mask:0xf bank_mask:0xf
v_add_nc_u32_dpp v5, v6, v7 row_half_mirror row_mask:0xf bank_mask:0xf
v_add_nc_u32_dpp v5, v6, v7 row_xmask:9 row_mask:0xf bank_mask:0xf
v_add_nc_u32_dpp v5, v6, v7 row_ror:9 row_mask:0xf bank_mask:0xf
v_add_nc_u32_dpp v5, v6, v7 row_shl:1 row_mask:0xf bank_mask:0xf
v_mov_b32_dpp v5, v6 dpp8:[7,6,5,4,3,2,1,0]
v_add_f32_e64_dpp v5, v6, v7 dpp8:[0,1,2,3,4,5,6,7] fi:1
v_fma_f32_e64_dpp v5, -v6, v7, |v8| row_shr:1 row_mask:0xf bank_mask:0xf
v_cmp_lt_f32_dpp vcc_lo, v6, v7 row_shr:1 row_mask:0xf bank_mask:0xf
v_pk_fma_f16 v5, v6, v7, v8 op_sel:[1,0,0] op_sel_hi:[0,1,1] neg_lo:[1,0,0] neg_hi:[0,1,0] clamp
v_pk_add_f16 v5, v6, 1.0 op_sel_hi:[1,0]
v_fma_mix_f32 v5, -v6, |v7|, s8 op_sel:[1,0,0] op_sel_hi:[1,0,1]
v_fma_mixhi_f16 v5, v6, v7, 0 op_sel_hi:[1,1,0]
v_dot2_f32_f16 v5, v6, v7, v8
v_dot4_i32_iu8 v5, v6, v7, v8 neg_lo:[1,1,0]
v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], 0
v_wmma_i32_16x16x16_iu8 v[0:7], v[8:11], v[16:19], v[0:7] neg_lo:[1,1,0]
v_dual_fmac_f32 v4, v5, v6 :: v_dual_fmac_f32 v7, v8, v9
v_dual_fmamk_f32 v4, v5, 0x41000000, v7 :: v_dual_max_f32 v1, s4, v8
v_dual_cndmask_b32 v4, 0, v7 :: v_dual_add_nc_u32 v1, 0x123, v8
v_readlane_b32 s5, v6, s7
v_readlane_b32 s5, v6, 31
v_writelane_b32 v5, s6, m0
v_permlane16_b32 v5, v6, s7, s8
v_permlane16_b32 v5, v6, s7, s8 op_sel:[1,0]
v_permlanex16_b32 v5, v6, s7, s8
v_permlane64_b32 v5, v6
v_swap_b32 v5, v6
v_movrels_b32_e32 v5, v6
v_perm_b32 v5, v6, v7, s8
v_mbcnt_hi_u32_b32 v5, -1, v6
v_cvt_pk_u8_f32 v5, v6, 1, v7
ds_load_u8_d16_hi v5, v6 offset:3
ds_load_2addr_b64 v[4:7], v8 offset1:4
ds_store_2addr_stride64_b32 v5, v6, v7 offset0:1 offset1:255
ds_bpermute_b32 v5, v6, v7 offset:16
ds_add_rtn_u32 v5, v6, v7
ds_store_b96 v5, v[6:8] offset:65535
global_load_b96 v[4:6], v[8:9], off offset:-4096 glc slc dlc
global_load_b32 v4, v8, s[6:7] offset:4095
global_load_d16_hi_u8 v4, v[8:9], off
global_store_d16_hi_b16 v8, v4, s[2:3]
global_atomic_add_u32 v5, v[6:7], v8, off glc
global_atomic_add_f32 v[6:7], v8, off
global_atomic_cmpswap_b64 v6, v[8:11], s[2:3]
flat_load_b128 v[4:7], v[8:9] offset:16
flat_store_b8 v[8:9], v4
flat_atomic_add_u32 v5, v[6:7], v8 glc
scratch_load_b32 v4, off, off offset:16
scratch_load_b128 v[4:7], off, s33 offset:-16
scratch_store_b64 v5, v[6:7], off
scratch_store_b8 v5, v6, s33 offset:1
buffer_gl0_inv
buffer_gl1_inv
s_barrier
s_endpgm
