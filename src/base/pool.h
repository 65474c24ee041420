/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread pool for steps that take microseconds: workers spin for a short while before they sleep, and a parallel
 * region can hold many phases separated by barriers. */
#ifndef NB_BASE_POOL_H
#define NB_BASE_POOL_H

#include "base/status.h"

typedef struct pool pool;

/* n_threads in all, the calling thread included (n_threads - 1 are started). 0: as many as the process may use. */
nb_status pool_new(int n_threads, pool **out, nb_error *err);
void pool_free(pool *p);
int pool_size(const pool *p);
/* Threads that this process may run on (sched_getaffinity). */
int pool_available(void);

/* Calls fn(user, i) for i in 0..size-1, each on its own thread, i = 0 on the caller; returns when all are done. */
void pool_run(pool *p, void (*fn)(void *user, int index), void *user);
/* Inside pool_run: waits until all threads came here. What they wrote before is visible after. */
void pool_barrier(pool *p);
/* For loops that wait for another thread's word: the n-th turn (0, 1, ...) is a pause of the processor, from some tens
 * of microseconds on an offer to the scheduler to run someone else. */
void pool_pause(int n);

#endif
