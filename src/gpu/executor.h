/* SPDX-License-Identifier: Apache-2.0
 *
 * The GPU executor's parts: upload.c brings weights into the device's memory, batch.c brings a batch there, program.c
 * turns programs into launches and graphs, draw.c draws tokens, executor.c runs them and keeps caches and states,
 * profile.c takes times. */
#ifndef NB_GPU_EXECUTOR_H
#define NB_GPU_EXECUTOR_H

#include "gpu/device.h"
#include "plan/lower.h"

/* Memory of the device, given back together. */
typedef struct gpu_blocks {
    void **at;
    size_t n, cap;
} gpu_blocks;

/* Where a batch lies in its block, for so many tokens: fixed for a program, so that graphs stay valid. */
typedef struct batch_layout {
    size_t tokens, positions, slots, outputs, tables, pages; /* offsets; pages: the sequences' page lists */
} batch_layout;

/* The launches of a program. */
typedef struct gpu_program {
    program *p;
    gpu_launch *launches;
    int n_launches;
    gpu_graph *graph; /* NULL: not captured yet */
    int n_runs;
    bool no_graph; /* capturing failed: said once */
    uint64_t used;
} gpu_program;

enum { GPU_MAX_PROGRAMS = 64 };

/* Drawing from the last run's logits (draw.c). The block holds the drawn tokens, which sampler is whose, the samplers;
 * `staging` is the same on the host's side. */
typedef struct gpu_drawing {
    uint8_t *block, *staging, *scratch;
    size_t size, scratch_size;
    gpu_launches to; /* aside, since it is large */
} gpu_drawing;

typedef struct gpu_executor {
    executor base;
    device *device;
    const gpu_driver *driver;
    gpu_context *context; /* NULL: a dry executor */
    const gpu_traits *traits;
    char name[224];
    int64_t n_batch;
    /* Copies of the plan's tables that point into the device's memory. */
    plan_step *steps;
    kweight *weights, *experts, *pair_experts;
    weight_pair *pairs; /* [plan.n_steps] */
    gpu_blocks blocks;
    kpages *keys, *values;
    kstates *states;
    /* The current batch: in the device's memory and, to be copied there, in the host's. */
    uint8_t *batch, *staging;
    size_t batch_size;
    bool in_flight; /* the queue may still read the staging memory */
    uint8_t *work, *scratch;
    size_t work_size, scratch_size;
    float *logits; /* the host's */
    size_t logits_size;
    gpu_drawing drawing;
    uint8_t *crossing; /* values that come from another part of the model, or go to one: the host's */
    size_t crossing_size;
    gpu_program programs[GPU_MAX_PROGRAMS];
    uint64_t clock;
    const gpu_program *last; /* that ran; NULL: none that is still there */
} gpu_executor;

/* upload.c: weights, vectors and what else the plan's steps read. Reports progress as the stage "load". */
nb_status gpu_upload(gpu_executor *e, const weights *files, const executor_options *options, nb_error *err);
/* Zeroed memory of the device that lives as long as the executor. what: for the message when there is none. */
nb_status gpu_block(gpu_executor *e, size_t bytes, const char *what, void **out, nb_error *err);
void gpu_free_blocks(gpu_executor *e);

/* batch.c */
batch_layout gpu_batch_layout(int64_t n_tokens, int64_t n_outputs);
nb_status gpu_put_batch(gpu_executor *e, const batch *b, nb_error *err);
/* A part's inputs, after the batch: to where p reads them. */
nb_status gpu_put_inputs(gpu_executor *e, const batch *b, const program *p, nb_error *err);
/* A part's results, to the host; waits. */
nb_status gpu_fetch_results(gpu_executor *e, const program *p, nb_error *err);

/* program.c */
nb_status gpu_lower(gpu_executor *e, int64_t n_tokens, int64_t n_outputs, program **out, nb_error *err);
/* The launches of one call, whose scratch begins at scratch_at of the executor's; how much of it a program needs. */
nb_status gpu_enqueue(const gpu_executor *e, const program_call *c, size_t scratch_at, gpu_launches *to, nb_error *err);
size_t gpu_scratch_bytes(const program *p);
/* The program for this batch size, made when it is new, with work memory and scratch for it. */
nb_status gpu_find_program(gpu_executor *e, int64_t n_tokens, int64_t n_outputs, gpu_program **out, nb_error *err);
/* Work memory that is taken for a program that needs so much. */
int64_t gpu_work_size(int64_t bytes);
nb_status gpu_run_program(gpu_executor *e, gpu_program *p, nb_error *err);
void gpu_free_programs(gpu_executor *e);

/* draw.c: see executor.h. */
int64_t gpu_vocab(const gpu_executor *e); /* 0: this part of a model has no logits */
bool gpu_can_draw(const executor *e, const nb_sampling *s);
nb_status gpu_draw_tokens(executor *e, executor_draw *draws, int64_t n, nb_error *err);
void gpu_visit_draws(const executor *e, int64_t n, executor_call_fn visit, void *user);
void gpu_free_drawing(gpu_executor *e);

/* memory.c: NB_ERR_NO_MEMORY with what is needed, what is free and how many layers would fit. The first before anything
 * is loaded; the second adds that to the error of an allocation that failed all the same. */
nb_status gpu_check_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err);
nb_status gpu_explain_memory(device *d, const plan *p, const weights *files, const executor_options *o, nb_error *err);

/* profile.c */
nb_status gpu_profile(executor *e, double *seconds, int n, nb_error *err);
nb_status gpu_device_time(device *d, const krow *row, const kcall *const *calls, int n, void *scratch, double *seconds,
                          nb_error *err);
nb_status gpu_copy_rate(executor *e, double *bytes_per_second, nb_error *err);
nb_status gpu_device_copy_rate(device *d, double *bytes_per_second, nb_error *err);

#endif
