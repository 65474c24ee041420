/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated GPU: memory of its own in a range of addresses of its own, and launches of kernels that were compiled for
 * this host. The threads of a block are fibers that run to each barrier or collective of their warp; blocks are spread
 * over two threads of the system. What a real device leaves undefined is an error here that names the thread: a barrier
 * that some threads never reach, a collective that lanes of the warp miss, a write outside of the shared memory. */
#ifndef NB_TESTS_GPU_SIM_H
#define NB_TESTS_GPU_SIM_H

#include "gpu/launch.h"
#include "gpu/sim/sim_kernel.h"

enum {
    SIM_ERROR_TEXT = 400,
    SIM_WARP = 32,
    SIM_MOST_THREADS = 1024,
    SIM_SHARED_MAX = 227 << 10, /* as an H100 */
    SIM_SHARED_PLAIN = 48 << 10 /* without asking for more */
};

/* NULL: there is none. */
const sim_kernel *sim_find(const char *module, const char *name);
const sim_kernel *sim_at(size_t i);

/* False: `error` says what was wrong, and what the launch would have written is undefined. */
bool sim_run(const sim_kernel *k, const uint32_t grid[3], uint32_t block, uint32_t shared, const void *params,
             size_t params_size, char error[SIM_ERROR_TEXT]);
bool sim_gemm(const gpu_gemm *g, char error[SIM_ERROR_TEXT]);
bool sim_launch(const gpu_launch *l, char error[SIM_ERROR_TEXT]);

/* ---- Memory (sim_memory.c) ------------------------------------------------------------------------------------- */

/* Aligned to 256, filled with NaN, followed by an unreadable page, and never at an address that was used before. NULL:
 * none left. */
void *sim_alloc(size_t bytes);
bool sim_release(void *p); /* false: it was not allocated */
/* Whether all of it lies in one allocation. */
bool sim_holds(const void *p, size_t bytes);
void sim_memory(uint64_t *free_bytes, uint64_t *total);
/* While it is closed, a host that follows an address of the device crashes. Open at first. */
void sim_open(bool open);
/* Called with whole pages that were given back. */
void sim_on_release(void (*fn)(const void *p, size_t bytes));

/* ---- Where a kernel is ------------------------------------------------------------------------------------------ */

/* The thread that is running. */
typedef struct sim_place {
    const sim_kernel *kernel;
    uint32_t bid[3], tid;
    uint32_t barriers, collectives; /* that it has passed; collectives since the last barrier */
    uint32_t launch;                /* its number, from 1 on */
    uint64_t block_number;
    const uint8_t *shared;
    uint32_t shared_bytes;
} sim_place;
bool sim_here(sim_place *out); /* false: no kernel is running */
/* Ends the launch; does not return to the kernel. */
void sim_fail(const char *format, ...) NB_PRINTF(1, 2);

/* Blocks run one after the other, as races.c needs it. */
void sim_alone(bool alone);
/* The range of the device's addresses, which may have no memory yet. */
enum { SIM_RANGE_SHIFT = 36 };
const uint8_t *sim_range(void);

#endif
