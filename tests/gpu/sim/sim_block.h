/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of one block. Internal to the simulation. */
#ifndef NB_TESTS_GPU_SIM_BLOCK_H
#define NB_TESTS_GPU_SIM_BLOCK_H

#include <stdatomic.h>

#include "gpu/sim/fiber.h"
#include "gpu/sim/sim.h"

/* A launch that is running: what its blocks have in common. */
typedef struct sim_work {
    const sim_kernel *kernel;
    uint32_t grid[3], block, shared;
    const void *params; /* aligned to 16 */
    atomic_ullong next; /* the next block */
    uint64_t n_blocks;
    uint32_t serial; /* which launch it is, from 1 on */
    atomic_bool failed;
    char error[SIM_ERROR_TEXT]; /* of the one that set failed first */
} sim_work;

typedef enum thread_state { THREAD_NEW, THREAD_READY, THREAD_COLLECTIVE, THREAD_BARRIER, THREAD_DONE } thread_state;

enum { EXCHANGE_MAX = 256 };

typedef struct sim_thread {
    fiber *on; /* while it has begun and not ended */
    thread_state state;
    uint32_t bytes;                 /* that its collective exchanges */
    uint32_t barriers, collectives; /* that it has passed; collectives since the last barrier */
} sim_thread;

/* One thread of the system, with the block that it runs. */
typedef struct sim_worker {
    sim_work *work;
    uint32_t bid[3];
    uint64_t block_number;
    uint32_t running; /* the thread */
    fiber scheduler;
    fiber fibers[SIM_MOST_THREADS]; /* the first n_fibers exist; idle lists those that no thread is on */
    fiber *idle[SIM_MOST_THREADS];
    uint32_t n_fibers, n_idle;
    sim_thread threads[SIM_MOST_THREADS];
    uint8_t *shared; /* between bands */
    /* What lanes of a warp exchange, one beside the other; two of each, for a lane may be at its next collective before
     * another has read this one. */
    uint8_t slots[2][SIM_MOST_THREADS / SIM_WARP][SIM_WARP * EXCHANGE_MAX];
} sim_worker;

sim_worker *sim_worker_new(void);
void sim_worker_free(sim_worker *w);
/* Runs one block; false: it failed. */
bool sim_block(sim_worker *w, sim_work *work, uint64_t number);

#endif
