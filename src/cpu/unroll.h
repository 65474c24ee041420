/* SPDX-License-Identifier: Apache-2.0
 *
 * How the bodies of kernels that several rows share are made: functions that are always inlined, with sizes that are
 * constants at the call, and loops over such sizes that are unrolled, so that their arrays become registers. */
#ifndef NB_CPU_UNROLL_H
#define NB_CPU_UNROLL_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL        _Pragma("GCC unroll 16")

#endif
