/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for test_run.c, compiled for gfx11: each uses one of the things that the executor must do, or does wrong what
 * it must find. */
#include "gfx/device/kernels_params.h"
#include "gfx/device/scalar_ops.h"
#include "src/gpu/kernels/gpu.h"

#define OUT ((GLOBAL u32 *)p.out)
#define IN  ((const GLOBAL u32 *)p.in)

static inline u32 thread(void) {
    return bid_x() * bdim() + tid();
}

/* Lanes go round a loop a different number of times. */
KERNEL void steps(struct run_params p) {
    const u32 i = thread();
    if (i >= p.n) return;
    u32 v = IN[i], n = 0;
    while (v != 1) {
        v = v % 2 ? 3 * v + 1 : v / 2;
        n++;
    }
    OUT[i] = n;
}

KERNEL void places(struct run_params p) {
    const u32 block = (bid_z() * 3 + bid_y()) * 5 + bid_x();
    OUT[block * bdim() + tid()] = bid_x() | bid_y() << 8 | bid_z() << 16 | tid() << 24;
}

KERNEL void copy(struct run_params p) {
    OUT[thread()] = IN[thread()];
}

/* What the dispatch packet says. */
KERNEL void packet(struct run_params p) {
    OUT[thread()] = __builtin_amdgcn_grid_size_x() + 10000 * __builtin_amdgcn_grid_size_y();
}

/* Through LDS, against the order of the waves. */
KERNEL void turn(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    s[tid()] = IN[thread()];
    barrier();
    OUT[thread()] = s[bdim() - 1 - tid()];
    barrier();
    SHARED u16 *h = (SHARED u16 *)shared_memory();
    h[tid()] = (u16)tid();
    barrier();
    OUT[thread()] += h[tid() ^ 33];
}

KERNEL void sums(struct run_params p) {
    const float v = warp_sum((float)IN[thread()]);
    const u32 first = (u32)__builtin_amdgcn_readfirstlane((int)IN[thread()]);
    const u32 last = (u32)__builtin_amdgcn_readlane((int)IN[thread()], 31);
    OUT[thread()] = (u32)v + 1000 * first + 100000 * last;
}

/* A sort in scratch memory: indices are not known before. */
KERNEL void sort(struct run_params p) {
    u32 a[SORTED];
    for (u32 k = 0; k < SORTED; k++) a[k] = IN[(thread() * 7 + k * 13) % p.n];
    for (u32 k = 1; k < SORTED; k++)
        for (u32 j = k; j > 0 && a[j - 1] > a[j]; j--) {
            const u32 t = a[j];
            a[j] = a[j - 1];
            a[j - 1] = t;
        }
    volatile u8 bytes[8];
    for (u32 k = 0; k < 8; k++) bytes[k] = (u8)a[2 * k];
    OUT[thread()] = a[p.how & 15] + ((u32)bytes[p.how & 7] << 24);
}

KERNEL void indexed(struct run_params p) {
    u32 a[8];
    for (u32 k = 0; k < 8; k++) a[k] = IN[tid() + k];
    a[p.how & 4] = a[p.how & 4] * (p.how != 0) + (p.how == 0) * 5;
    OUT[tid()] = a[p.how];
}

KERNEL void divide(struct run_params p) {
    const u32 a = IN[2 * thread()], b = IN[2 * thread() + 1] | 1;
    const u64 wide = (u64)a << 32 | b;
    const float q = (float)a / (float)b;
    const double d = (double)a / (double)b;
    OUT[8 * thread() + 0] = a / b;
    OUT[8 * thread() + 1] = (u32)((i32)a % (i32)b);
    OUT[8 * thread() + 2] = (u32)(wide / (a | 1));
    OUT[8 * thread() + 3] = as_u32(q);
    OUT[8 * thread() + 4] = (u32) __builtin_bit_cast(u64, d);
    OUT[8 * thread() + 5] = (u32)(__builtin_bit_cast(u64, d) >> 32);
    OUT[8 * thread() + 6] = f32_to_f16(q);
    OUT[8 * thread() + 7] = (u32)(((u64)a * b) >> 32);
}

/* Addresses of which only the run shows what memory they are of. */
KERNEL void flat(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    u32 mine[4] = {1, 2, 3, tid()};
    s[tid()] = tid() * 3;
    barrier();
    volatile u32 *at = p.how == 0 ? (u32 *)(s + tid()) : p.how == 1 ? (u32 *)&mine[tid() & 3] : (u32 *)(OUT + thread());
    *at = *at + 5;
    OUT[thread()] = p.how == 2 ? OUT[thread()] : *at;
}

#define DPP(control, bound) (u32) __builtin_amdgcn_update_dpp(77, (int)v, control, 15, 15, bound)
KERNEL void lanes(struct run_params p) {
    const u32 v = IN[tid()], i = tid();
    OUT[0 * 32 + i] = DPP(0x1b, 0);  /* quad_perm:[3,2,1,0] */
    OUT[1 * 32 + i] = DPP(0x103, 0); /* row_shl:3, lanes without a source keep 77 */
    OUT[2 * 32 + i] = DPP(0x112, 1); /* row_shr:2, lanes without a source get 0 */
    OUT[3 * 32 + i] = DPP(0x125, 0); /* row_ror:5 */
    OUT[4 * 32 + i] = DPP(0x140, 0); /* row_mirror */
    OUT[5 * 32 + i] = DPP(0x141, 0); /* row_half_mirror */
    OUT[6 * 32 + i] = DPP(0x157, 0); /* row_share:7 */
    OUT[7 * 32 + i] = DPP(0x169, 0); /* row_xmask:9 */
    OUT[8 * 32 + i] = (u32)__builtin_amdgcn_update_dpp(77, (int)v, 0x140, 1, 5, 0); /* row 0, banks 0 and 2 */
    OUT[9 * 32 + i] =
        (u32)__builtin_amdgcn_mov_dpp8(v, 7 | 6 << 3 | 5 << 6 | 4 << 9 | 0 << 12 | 1 << 15 | 2 << 18 | 3 << 21);
    OUT[10 * 32 + i] = __builtin_amdgcn_permlane16(0, v, 0x76543210, 0xfedcba98 ^ 0x11111111, 0, 0);
    OUT[11 * 32 + i] = __builtin_amdgcn_permlanex16(0, v, 0x01234567, 0x89abcdef, 0, 0);
    OUT[12 * 32 + i] = (u32)__builtin_amdgcn_ds_swizzle((int)v, 0x8000 | 0x1b);
    OUT[13 * 32 + i] = (u32)__builtin_amdgcn_ds_swizzle((int)v, 31 | 5 << 10);
    OUT[14 * 32 + i] = (u32)__builtin_amdgcn_ds_permute((int)((i * 3 & 31) << 2), (int)v);
    OUT[15 * 32 + i] = amd_lane() + __builtin_amdgcn_mbcnt_lo(0x55555555, 100);
}

/* 1 + 2^-25 upwards, then to nearest; a denormal kept, then flushed. */
KERNEL void modes(struct run_params p) {
    volatile float one = 1, little = 0x1p-25f, small = 0x1p-130f, same = 1;
    __builtin_amdgcn_s_setreg(1 | 0 << 6 | 1 << 11, 1);
    OUT[0] = as_u32(one + little);
    __builtin_amdgcn_s_setreg(1 | 0 << 6 | 1 << 11, 0);
    OUT[1] = as_u32(one + little);
    OUT[2] = as_u32(small * same);
    __builtin_amdgcn_s_setreg(1 | 4 << 6 | 1 << 11, 0);
    OUT[3] = as_u32(small * same);
}

/* Result and SCC of each; SCC is set before. */
KERNEL void scalars(struct run_params p) {
    const u32 a = p.n, b = p.how;
    u32 d, scc, at = 0;
#define PUT OUT[at++] = d, OUT[at++] = scc;
#define TWO(name, result, condition)                                                                                   \
    __asm__ volatile("s_cmp_eq_u32 0, 0\n" #name " %0, %2, %3\n s_cselect_b32 %1, 1, 0"                                \
                     : "=&s"(d), "=s"(scc)                                                                             \
                     : "s"(a), "s"(b)                                                                                  \
                     : "scc");                                                                                         \
    PUT
#define ONE(name, result, condition)                                                                                   \
    __asm__ volatile("s_cmp_eq_u32 0, 0\n" #name " %0, %2\n s_cselect_b32 %1, 1, 0"                                    \
                     : "=&s"(d), "=s"(scc)                                                                             \
                     : "s"(a)                                                                                          \
                     : "scc");                                                                                         \
    PUT
#define COMPARE(name, result, condition)                                                                               \
    __asm__ volatile("s_mov_b32 %0, 0\n" #name " %2, %3\n s_cselect_b32 %1, 1, 0"                                      \
                     : "=&s"(d), "=s"(scc)                                                                             \
                     : "s"(a), "s"(b)                                                                                  \
                     : "scc");                                                                                         \
    PUT
    SCALAR_OPS(TWO)
    SCALAR_OPS1(ONE)
    SCALAR_COMPARISONS(COMPARE)
}

/* ---- What must be found -------------------------------------------------------------------------------------------
 */

KERNEL void reads_behind(struct run_params p) {
    OUT[thread()] = IN[thread() + (tid() == 77 ? p.n : 0)];
}

KERNEL void writes_behind(struct run_params p) {
    OUT[thread() + (tid() == 77 ? p.n : 0)] = 1;
}

KERNEL void races(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    s[tid()] = 0;
    barrier();
    s[tid()] = tid();
    if (p.how) barrier();
    OUT[tid()] = s[(tid() + 32) % bdim()];
}

KERNEL void overwrites(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    if (tid() % 32 == 0) s[5] = tid();
    barrier();
    OUT[tid()] = s[5];
}

KERNEL void lds_unwritten(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    if (tid() != 5) s[tid()] = tid();
    barrier();
    OUT[tid()] = s[tid()];
}

KERNEL void lds_behind(struct run_params p) {
    SHARED u32 *s = (SHARED u32 *)shared_memory();
    s[tid() + (tid() == 255)] = tid();
    OUT[tid()] = 0;
}

KERNEL void register_unwritten(struct run_params p) {
    u32 v;
    __asm__ volatile("v_add_nc_u32 %0, 1, v100" : "=v"(v) : : "v100");
    OUT[tid()] = v;
}

KERNEL void branch_unwritten(struct run_params p) {
    u32 v;
    __asm__ volatile("s_cmp_eq_u32 s90, 0\n s_cselect_b32 %0, 1, 2\n s_cmp_eq_u32 s90, 7\n s_cbranch_scc1 0"
                     : "=s"(v)
                     :
                     : "s90", "scc");
    OUT[tid()] = v;
}

KERNEL void no_wait(struct run_params p) {
    u32 v;
    __asm__ volatile("global_load_b32 %0, %1, off\n v_add_nc_u32 %0, 1, %0" : "=&v"(v) : "v"(IN + tid()) : "memory");
    OUT[tid()] = v;
}

KERNEL void no_scalar_wait(struct run_params p) {
    u32 v;
    __asm__ volatile("s_load_b32 %0, %1, 0x0\n s_waitcnt lgkmcnt(1)\n s_add_u32 %0, %0, 1"
                     : "=&s"(v)
                     : "s"(p.in)
                     : "scc");
    OUT[tid()] = v;
}

KERNEL void not_there(struct run_params p) {
    __asm__ volatile("s_movrels_b32 s20, s21" : : : "s20");
    OUT[tid()] = 0;
}

KERNEL void stops(struct run_params p) {
    OUT[tid()] = 0;
    __builtin_trap();
}
