/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU executor's parts: load.c chooses rows' layouts and packs weights, executor.c runs the plan's programs
 * on the thread pool. */
#ifndef NB_CPU_CPU_H
#define NB_CPU_CPU_H

#include <stdatomic.h>

#include "base/pool.h"
#include "cpu/caps.h"
#include "plan/backend.h"
#include "plan/lower.h"

/* device.c */
extern const backend cpu_backend;

/* How far a call is in the current run. */
typedef struct cpu_counter {
    _Alignas(64) _Atomic int64_t next; /* the first task that nobody has taken */
    _Atomic int64_t done;              /* tasks that are finished */
    int64_t n_tasks, chunk;            /* threads take `chunk` tasks at a time */
} cpu_counter;

/* A program of the plan (plan/lower.h), with room to run it. */
typedef struct cpu_program {
    program *p;
    cpu_counter *counters; /* [p->n_calls] */
} cpu_program;

enum { MAX_PROGRAMS = 32 };

typedef struct cpu_executor {
    executor base;
    const weights *files;
    kregistry *registry; /* the device's */
    pool *threads;
    char device[96];
    int64_t n_batch;
    kweight *weights; /* [plan.n_weights], with their packed copies; those of experts in... */
    kweight *experts; /* ...one array */
    uint8_t *packed;
    size_t packed_size;
    kpages *keys, *values; /* [plan.n_caches] */
    kstates *states;       /* [plan.n_states] */
    /* The batch of the current run, at fixed addresses so that programs can be kept. */
    int32_t *tokens, *positions, *slots, *outputs;
    const int32_t **tables;
    uint8_t *work; /* values and forms; reserved for the largest program */
    size_t work_size;
    uint8_t *scratch; /* one piece a thread */
    size_t scratch_stride;
    cpu_program programs[MAX_PROGRAMS];
    uint64_t program_used[MAX_PROGRAMS], clock;
    const cpu_program *last; /* that ran */
} cpu_executor;

nb_status cpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err);

/* load.c: fills e->weights, e->packed. Reports progress as the stage "load". */
nb_status cpu_load_weights(cpu_executor *e, const executor_options *options, nb_error *err);
void cpu_free_weights(cpu_executor *e);
/* Anonymous zeroed memory that is only taken as it is touched; NULL when there is no address space. */
void *cpu_reserve(size_t bytes);
void cpu_unreserve(void *p, size_t bytes);

#endif
