/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine itself can do, measured: the limits that benchmarks are compared with. */
#ifndef NB_CLI_BENCH_MACHINE_H
#define NB_CLI_BENCH_MACHINE_H

#include <stdint.h>

#include "base/pool.h"

/* Bytes per second at which the pool's threads together read memory that no cache holds: the best of several passes
 * over a buffer much larger than the last-level cache, with one and with several streams a thread. 0 when out of
 * memory. */
double machine_read_bandwidth(pool *p);
/* fp32 multiply-adds per second (each counts as two operations) of the pool's threads, in registers. */
double machine_fp32_flops(pool *p);

/* Bytes of the last-level cache, or a guess. */
int64_t machine_cache_bytes(void);
/* Resident memory of this process now and at its highest; 0 where the system does not tell. */
void machine_memory(int64_t *resident, int64_t *peak);

#endif
