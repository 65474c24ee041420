/* SPDX-License-Identifier: Apache-2.0
 *
 * What device code is written in: plain C, one thread's view, for NVIDIA (PTX), AMD (code objects) and the host, where
 * tests simulate the threads of a block. A kernel is KERNEL void name(struct params p): one struct by value, declared
 * in params.h, which the host fills. All memory that a block shares is shared_memory(), as many bytes as the launch
 * says; it holds anything at first. Threads are in one dimension; every thread of a block must come to each barrier(),
 * every lane of a warp to each shfl_from, shfl_xor, warp_sum, warp_max or mma. */
#ifndef NB_GPU_KERNELS_GPU_H
#define NB_GPU_KERNELS_GPU_H

#include <stdbool.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int i32;
typedef long i64;

/* A GPU's kernels must be whole, with arrays in registers. The host's compiler takes minutes for that, and tests gain
 * nothing from it. */
#if defined(__NVPTX__) || defined(__AMDGCN__)
#    define INLINE static inline __attribute__((always_inline))
#    define UNROLL _Pragma("unroll")
#else
#    define INLINE static inline
#    define UNROLL
#endif

#if defined(__NVPTX__)
/* ---- NVIDIA -------------------------------------------------------------------------------------------------- */
#    define KERNEL __attribute__((nvptx_kernel))
#    define GLOBAL __attribute__((address_space(1)))
#    define SHARED __attribute__((address_space(3)))
#    define WARP   32
INLINE u32 tid(void) {
    return __nvvm_read_ptx_sreg_tid_x();
}
INLINE u32 bdim(void) {
    return __nvvm_read_ptx_sreg_ntid_x();
}
INLINE u32 bid_x(void) {
    return __nvvm_read_ptx_sreg_ctaid_x();
}
INLINE u32 gdim_x(void) {
    return __nvvm_read_ptx_sreg_nctaid_x();
}
INLINE u32 bid_y(void) {
    return __nvvm_read_ptx_sreg_ctaid_y();
}
INLINE u32 bid_z(void) {
    return __nvvm_read_ptx_sreg_ctaid_z();
}
INLINE void barrier(void) {
    __syncthreads();
}
INLINE float shfl_xor(float v, u32 mask) {
    return __builtin_bit_cast(float, __nvvm_shfl_sync_bfly_i32(-1, __builtin_bit_cast(int, v), (int)mask, 31));
}
INLINE float shfl_from(float v, u32 lane) {
    return __builtin_bit_cast(float, __nvvm_shfl_sync_idx_i32(-1, __builtin_bit_cast(int, v), (int)lane, 31));
}
INLINE bool warp_any(bool v) {
    return __nvvm_vote_any_sync(-1u, v);
}
#    if defined(__CUDA_ARCH_FEAT_SM90_ALL) /* wgmma.h: tiles begin at multiples of 1024 bytes */
extern SHARED u8 gpu_dynamic_shared[] __attribute__((aligned(1024)));
#    else
extern SHARED u8 gpu_dynamic_shared[] __attribute__((aligned(16)));
#    endif
INLINE SHARED u8 *shared_memory(void) {
    return gpu_dynamic_shared;
}
/* A launch may begin while the one before it still runs (gpu/ptx.awk, gpu/module.c): until this returns a kernel must
 * not touch what others write. Kernels that do not say it begin with it. */
INLINE void previous_done(void) {
    __asm__ volatile("//sm_90 griddepcontrol.wait;" ::: "memory");
}
/* 2^x within 2 ulp. */
INLINE float exp2_fast(float x) {
    return __nvvm_ex2_approx_ftz_f(x);
}
/* 1 / x within an ulp. */
INLINE float reciprocal_fast(float x) {
    return __nvvm_rcp_approx_ftz_f(x);
}

#elif defined(__AMDGCN__)
/* ---- AMD ----------------------------------------------------------------------------------------------------- */
#    define KERNEL __attribute__((amdgpu_kernel, visibility("protected")))
#    define GLOBAL __attribute__((address_space(1)))
#    define SHARED __attribute__((address_space(3)))
#    define WARP   __AMDGCN_WAVEFRONT_SIZE
INLINE u32 tid(void) {
    return __builtin_amdgcn_workitem_id_x();
}
INLINE u32 bdim(void) {
    return __builtin_amdgcn_workgroup_size_x();
}
INLINE u32 bid_x(void) {
    return __builtin_amdgcn_workgroup_id_x();
}
INLINE u32 gdim_x(void) {
    return __builtin_amdgcn_grid_size_x() / bdim();
}
INLINE u32 bid_y(void) {
    return __builtin_amdgcn_workgroup_id_y();
}
INLINE u32 bid_z(void) {
    return __builtin_amdgcn_workgroup_id_z();
}
INLINE void barrier(void) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
INLINE u32 amd_lane(void) {
#    if WARP == 64
    return __builtin_amdgcn_mbcnt_hi(-1u, __builtin_amdgcn_mbcnt_lo(-1u, 0));
#    else
    return __builtin_amdgcn_mbcnt_lo(-1u, 0);
#    endif
}
INLINE float shfl_from(float v, u32 lane) {
    return __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute((int)(lane << 2), __builtin_bit_cast(int, v)));
}
INLINE float shfl_xor(float v, u32 mask) {
    return shfl_from(v, amd_lane() ^ mask);
}
extern SHARED u8 gpu_dynamic_shared[] __attribute__((aligned(16)));
INLINE SHARED u8 *shared_memory(void) {
    return gpu_dynamic_shared;
}
INLINE float exp2_fast(float x) {
#    if __has_builtin(__builtin_amdgcn_exp2f)
    return __builtin_amdgcn_exp2f(x);
#    else /* older than clang 17, which makes the instruction of this */
    return __builtin_exp2f(x);
#    endif
}
INLINE float reciprocal_fast(float x) {
    return __builtin_amdgcn_rcpf(x);
}

#else
/* ---- The host: tests/gpu simulates threads --------------------------------------------------------------------- */
/* Static and marked: the build finds kernels by the mark (tests/gpu/sim/kernels.sh). */
#    define KERNEL static __attribute__((annotate("gpu_kernel")))
#    define GLOBAL
#    define SHARED
#    ifndef WARP
#        define WARP 32
#    endif
u32 tid(void);
u32 bdim(void);
u32 bid_x(void);
u32 gdim_x(void); /* blocks in x */
u32 bid_y(void);
u32 bid_z(void);
void barrier(void);
float shfl_xor(float v, u32 mask);
/* What any collective of a warp can be made of: each lane gives `bytes` (at most 256) and gets those of all WARP lanes,
 * in order of the lanes. */
void warp_exchange(const void *mine, void *all, u32 bytes);
INLINE float shfl_from(float v, u32 lane) {
    float all[WARP];
    warp_exchange(&v, all, sizeof v);
    return all[lane];
}
INLINE bool warp_any(bool v) {
    u32 mine = v, all[WARP], any = 0;
    warp_exchange(&mine, all, sizeof mine);
    for (u32 i = 0; i < WARP; i++) any |= all[i];
    return any;
}
u8 *shared_memory(void);
float exp2_fast(float x);
static inline float reciprocal_fast(float x) {
    return 1 / x;
}
#endif

#if !defined(__NVPTX__)
INLINE void previous_done(void) {}
#endif

/* Byte i of the result is that of the eight of a and b which nibble i of `which` says. */
INLINE u32 pick_bytes(u32 a, u32 b, u32 which) {
#if defined(__NVPTX__)
    u32 r;
    __asm__("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(which));
    return r;
#else
    const u64 both = a | (u64)b << 32;
    u32 r = 0;
    for (u32 i = 0; i < 4; i++) r |= (u32)(both >> 8 * (which >> 4 * i & 7) & 255) << 8 * i;
    return r;
#endif
}

INLINE u32 lane_id(void) {
    return tid() % WARP;
}
/* What is the same in all lanes of a warp, but the compiler cannot know it: AMD has scalar registers for that. */
INLINE u32 uniform(u32 v) {
#if defined(__AMDGCN__)
    return (u32)__builtin_amdgcn_readfirstlane((int)v);
#else
    return v;
#endif
}
/* Loads that stand before are on their way before anything is computed that stands behind: AMD's compiler, told to use
 * few registers, would rather wait for one after the other. */
INLINE void loads_first(void) {
#if defined(__AMDGCN__)
    __builtin_amdgcn_sched_barrier(0);
#endif
}
INLINE u32 warp_id(void) {
    return uniform(tid() / WARP);
}

/* Over the lanes of a warp, in every lane; n: of each n neighbours (a power of two, at most WARP). */
INLINE float lanes_sum(float v, u32 n) {
    UNROLL for (u32 m = n / 2; m > 0; m /= 2) v += shfl_xor(v, m);
    return v;
}
INLINE float lanes_max(float v, u32 n) {
    UNROLL for (u32 m = n / 2; m > 0; m /= 2) {
        const float o = shfl_xor(v, m);
        v = o > v ? o : v;
    }
    return v;
}
INLINE float warp_sum(float v) {
    return lanes_sum(v, WARP);
}
INLINE float warp_max(float v) {
    return lanes_max(v, WARP);
}

/* ---- Numbers ------------------------------------------------------------------------------------------------- */

/* As base/dtype.h numbers them (checked where the host fills in params). */
typedef enum gpu_type { G_F32 = 2, G_F16, G_BF16 } gpu_type;

typedef float f32x2 __attribute__((ext_vector_type(2)));
typedef float f32x4 __attribute__((ext_vector_type(4)));
typedef u32 u32x2 __attribute__((ext_vector_type(2)));
typedef u32 u32x4 __attribute__((ext_vector_type(4)));
typedef _Float16 f16x2 __attribute__((ext_vector_type(2)));

INLINE float as_f32(u32 bits) {
    return __builtin_bit_cast(float, bits);
}
INLINE u32 as_u32(float v) {
    return __builtin_bit_cast(u32, v);
}
INLINE float f16_to_f32(u16 h) {
    return (float)__builtin_bit_cast(_Float16, h);
}
INLINE u16 f32_to_f16(float v) {
    return __builtin_bit_cast(u16, (_Float16)v);
}
INLINE float bf16_to_f32(u16 h) {
    return as_f32((u32)h << 16);
}
/* To nearest, ties to even; NaN stays NaN. */
INLINE u16 f32_to_bf16(float v) {
    const u32 u = as_u32(v), nan = u >> 16 | 0x40, rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (u16)(v != v ? nan : rounded); /* both computed before: a choice of values, not of ways */
}

/* What the bits of a number of `type` stand for. */
INLINE float f32_of(u32 bits, u32 type) {
    if (type == G_F32) return as_f32(bits);
    return type == G_F16 ? f16_to_f32((u16)bits) : bf16_to_f32((u16)bits);
}
/* Of the first or the second of two 16-bit numbers in a word. */
INLINE float f32_of_half(u32 word, u32 type, bool second) {
    if (type == G_BF16) return as_f32(second ? word & 0xffff0000u : word << 16);
    return f16_to_f32((u16)(word >> (second ? 16 : 0)));
}
/* What RMSNORM multiplies n numbers of this sum of squares with: 1 / sqrt(squares / n + eps). On NVIDIA by two
 * approximations of 1 ulp each: all digits would take eighty instructions, and what runs once a launch takes as long as
 * its instructions take to come. */
INLINE float norm_factor(float squares, u32 n, float eps) {
#if defined(__NVPTX__)
    return __nvvm_rsqrt_approx_ftz_f(squares * reciprocal_fast((float)n) + eps);
#else
    return 1.0f / __builtin_sqrtf(squares / (float)n + eps);
#endif
}

/* Element i of an array of `type` at p, which may be at any address that is a multiple of the type's size. What is made
 * of bits waits for them: where several are read, all are on their way if each is read first and turned into a float
 * later. */
INLINE u32 load_bits(const GLOBAL void *p, u32 type, i64 i) {
    return type == G_F32 ? ((const GLOBAL u32 *)p)[i] : ((const GLOBAL u16 *)p)[i];
}
INLINE float load_as_f32(const GLOBAL void *p, u32 type, i64 i) {
    return f32_of(load_bits(p, type, i), type);
}
INLINE void store_from_f32(GLOBAL void *p, u32 type, i64 i, float v) {
    if (type == G_F32)
        ((GLOBAL float *)p)[i] = v;
    else
        ((GLOBAL u16 *)p)[i] = type == G_F16 ? f32_to_f16(v) : f32_to_bf16(v);
}
/* The same at any address at all: what files hold is not padded. */
INLINE u16 load_u16_bytes(const GLOBAL u8 *p) {
    return (u16)(p[0] | p[1] << 8);
}
INLINE u32 load_u32_bytes(const GLOBAL u8 *p) {
    return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}
INLINE u32 load_any_bits(const GLOBAL void *p, u32 type, i64 i) {
    const GLOBAL u8 *b = (const GLOBAL u8 *)p;
    return type == G_F32 ? load_u32_bytes(b + 4 * i) : load_u16_bytes(b + 2 * i);
}
INLINE float load_any(const GLOBAL void *p, u32 type, i64 i) {
    return f32_of(load_any_bits(p, type, i), type);
}

#endif
