/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of 16 bytes from global to shared memory that run while the thread does other things, where the target has
 * them; elsewhere they are done at once. */
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

#endif
