/* SPDX-License-Identifier: Apache-2.0
 *
 * Moves of 16 bytes as the target does them best: copies from global to shared memory that run while the thread does
 * other things, where the target has them (elsewhere they are done at once), and loads with a hint or a condition. */
#ifndef NB_GPU_KERNELS_ASYNC_H
#define NB_GPU_KERNELS_ASYNC_H

#include <stdbool.h>

#include "gpu.h"

/* Both at multiples of 16 bytes. Not there: zeros; `from` must be readable even so, since a load that hangs on a
 * condition waits for the one before it. */
INLINE void async_copy16(SHARED void *to, const GLOBAL void *from, bool there) {
#if defined(__NVPTX__)
    __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :
                     : "r"((u32)(u64)to), "l"(from), "r"(there ? 16 : 0)
                     : "memory");
#else
    const u32x4 v = *(const GLOBAL u32x4 *)from;
    *(SHARED u32x4 *)to = there ? v : (u32x4){0, 0, 0, 0};
#endif
}
/* 4, 8 or 16 bytes, a constant, at multiples of so many. */
INLINE void async_copy(SHARED void *to, const GLOBAL void *from, u32 bytes) {
#if defined(__NVPTX__)
    __asm__ volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                     :
                     : "r"((u32)(u64)to), "l"(from), "n"(bytes)
                     : "memory");
#else
    for (u32 i = 0; i < bytes / 4; i++) ((SHARED u32 *)to)[i] = ((const GLOBAL u32 *)from)[i];
#endif
}
/* Closes a group: the copies since the last one. */
INLINE void async_commit(void) {
#if defined(__NVPTX__)
    __asm__ volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/* The thread's copies are there, those of the newest n groups apart; a barrier shows them to the others. */
#if defined(__NVPTX__)
#    define ASYNC_WAIT(n) __asm__ volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")
#else
#    define ASYNC_WAIT(n) (void)(n)
#endif

#if defined(__NVPTX__)
/* What a pass reads once leaves the second level cache first, before what is small and read by every pass: norms'
 * weights, page tables, code. */
INLINE u64 stream_policy(void) {
    u64 policy;
    __asm__("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
#endif
/* 16 bytes that are read once. The line of 128 bytes comes into the second level cache with them: the rest is next. */
INLINE u32x4 stream_load16(const GLOBAL void *p) {
#if defined(__NVPTX__)
    u32 a, b, c, d;
    __asm__ volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                     : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                     : "l"(p), "l"(stream_policy()));
    return (u32x4){a, b, c, d};
#else
    return *(const GLOBAL u32x4 *)p;
#endif
}
/* The same of what another launch has written: keys, values. */
INLINE u32x4 stream_load16_written(const GLOBAL void *p) {
#if defined(__NVPTX__)
    u32 a, b, c, d;
    __asm__ volatile("ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                     : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                     : "l"(p), "l"(stream_policy())
                     : "memory");
    return (u32x4){a, b, c, d};
#else
    return *(const GLOBAL u32x4 *)p;
#endif
}
/* Of one, two or four words, a constant, at multiples of their size. */
INLINE void stream_load_words(u32 *to, const GLOBAL void *p, u32 n) {
#if defined(__NVPTX__)
    if (n == 1)
        __asm__ volatile("ld.global.nc.L2::cache_hint.L2::128B.u32 %0, [%1], %2;"
                         : "=r"(to[0])
                         : "l"(p), "l"(stream_policy()));
    else if (n == 2)
        __asm__ volatile("ld.global.nc.L2::cache_hint.L2::128B.v2.u32 {%0, %1}, [%2], %3;"
                         : "=r"(to[0]), "=r"(to[1])
                         : "l"(p), "l"(stream_policy()));
    else
        __asm__ volatile("ld.global.nc.L2::cache_hint.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                         : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                         : "l"(p), "l"(stream_policy()));
#else
    for (u32 i = 0; i < n; i++) to[i] = ((const GLOBAL u32 *)p)[i];
#endif
}
/* Not there: *to stays as it is, at no cost. */
INLINE void shared_load16_if(u32x4 *to, const SHARED u32x4 *from, bool there) {
#if defined(__NVPTX__)
    u32 a = (*to)[0], b = (*to)[1], c = (*to)[2], d = (*to)[3];
    __asm__ volatile("{.reg .pred p; setp.ne.u32 p, %5, 0; @p ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];}"
                     : "+r"(a), "+r"(b), "+r"(c), "+r"(d)
                     : "r"((u32)(u64)from), "r"((u32)there));
    *to = (u32x4){a, b, c, d};
#else
    if (there) *to = *from;
#endif
}

#endif
