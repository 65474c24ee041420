/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams and graphs of the simulated drivers. Nothing runs before somebody waits, so that a host that does not wait
 * reads what was there before. Internal to the simulated driver, whose lock is held. */
#ifndef NB_TESTS_GPU_QUEUE_H
#define NB_TESTS_GPU_QUEUE_H

#include "gpu/driver/driver.h"

typedef struct sim_list {
    sim_item *items;
    size_t n, cap;
} sim_list;

typedef struct sim_stream {
    sim_list list;
    sim_list *capture; /* NULL: none is going on */
} sim_stream;

int list_add(sim_list *l, const sim_item *item);
void list_free(sim_list *l);
/* Runs what is in the queue. The first error stays for good, as a real device's does; a line of it goes to stderr. */
int stream_run(sim_stream *s);
int sim_lasting_error(void);
void sim_lock(void);
void sim_unlock(void);

/* gemm.c: in double precision. */
void gemm_run(const gpu_gemm *g);

#endif
