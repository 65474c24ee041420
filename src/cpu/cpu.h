/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU executor's parts: load.c chooses rows' layouts and packs weights, lower.c turns the plan into a program of
 * kernel calls for one batch size, executor.c runs programs on the thread pool. */
#ifndef NB_CPU_CPU_H
#define NB_CPU_CPU_H

#include <stdatomic.h>

#include "base/pool.h"
#include "cpu/caps.h"
#include "plan/backend.h"

/* device.c */
extern const backend cpu_backend;

/* One kernel call, ready to run. */
typedef struct cpu_step {
    const krow *row;
    kcall call;
    int64_t n_tasks, chunk; /* of the current run: threads take `chunk` tasks at a time */
    bool barrier;           /* all tasks before it must be done: it reads or overwrites what an earlier step touched */
    int plan_step;
} cpu_step;

/* How far a step is in the current run. */
typedef struct cpu_counter {
    _Alignas(64) _Atomic int64_t next; /* the first task that nobody has taken */
    _Atomic int64_t done;              /* tasks that are finished */
} cpu_counter;

/* The plan, lowered for n_tokens and n_outputs. */
typedef struct cpu_program {
    int64_t n_tokens, n_outputs;
    cpu_step *steps;
    cpu_counter *counters; /* [n_steps] */
    int n_steps;
    size_t work_bytes, scratch_bytes;
    size_t logits_offset; /* in the work memory */
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
    cpu_program *programs[MAX_PROGRAMS];
    uint64_t program_used[MAX_PROGRAMS], clock;
} cpu_executor;

nb_status cpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err);

/* What a call's operands point at while a row is looked for, before there is memory: aligned, and never followed. */
#define CPU_SOMEWHERE ((void *)(uintptr_t)4096)

/* load.c: fills e->weights, e->packed. Reports progress as the stage "load". */
nb_status cpu_load_weights(cpu_executor *e, const executor_options *options, nb_error *err);
void cpu_free_weights(cpu_executor *e);
/* Columns that share a scale in the quantized form of activations for w, whose codes are integers (twice an e2m1 number
 * is one); 0: w is only multiplied with fp32. */
static inline int64_t cpu_form_group(const kweight *w) {
    return w->mode == W_AFFINE || w->mode == W_MXFP4 ? w->group_size : 0;
}
/* Anonymous zeroed memory that is only taken as it is touched; NULL when there is no address space. */
void *cpu_reserve(size_t bytes);
void cpu_unreserve(void *p, size_t bytes);

/* lower.c. NB_ERR_UNSUPPORTED names a step that no row takes. The calls' data pointers lie in e->work. */
nb_status cpu_lower(cpu_executor *e, int64_t n_tokens, int64_t n_outputs, cpu_program **out, nb_error *err);
void cpu_program_free(cpu_program *p);

#endif
