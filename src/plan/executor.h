/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine asks of a backend: memory for weights and caches, and running a plan over a batch. */
#ifndef NB_PLAN_EXECUTOR_H
#define NB_PLAN_EXECUTOR_H

#include "nibble.h"
#include "plan/plan.h"

enum { KV_PAGE_SIZE = 64 }; /* tokens in a page of the KV cache */

/* One forward pass. Tokens of a sequence stand together, in order. */
typedef struct batch {
    int64_t n_tokens, n_outputs;
    const int32_t *tokens, *positions; /* [n_tokens] */
    const int32_t *const *tables;      /* [n_tokens]: pages of the token's sequence (see kcall) */
    const int32_t *slots;              /* [n_tokens]: state of the token's sequence (see kcall); plans with states */
    const int32_t *outputs;            /* [n_outputs]: the tokens of which logits are wanted, ascending */
} batch;

/* Looks at what a step of the plan has just made (y as the backend holds it, a kernel's output form included). */
typedef void (*executor_observer)(void *user, int step, const kcall *call);

typedef struct executor executor;
struct executor {
    /* Runs the plan. *logits points at [n_outputs, vocab_size] floats in the executor's memory, until the next run. */
    nb_status (*run)(executor *e, const batch *b, const float **logits, nb_error *err);
    /* Copies the first n_slots slots of a page in every cache. */
    void (*copy_page)(executor *e, int32_t from, int32_t to, int64_t n_slots);
    /* The recurrent states of all layers: slot `to` becomes as slot `from` is, or empty where from is -1. */
    void (*copy_state)(executor *e, int32_t from, int32_t to);
    /* The name of the row that computes step i of the plan for so many tokens, and of a step that was put in front of
     * it (NULL if none). For people. NULL when no row takes it. */
    const char *(*row_name)(executor *e, int step, int64_t n_tokens, const char **before);
    void (*free)(executor *e);
    /* Called after every step of a run while it is set: for tests, verification and profiles. */
    executor_observer observer;
    void *observer_user;
    const plan *plan;
    const kweight *weights; /* [plan->n_weights]: with the layouts in which they are read */
    const char *device;     /* "cpu (AVX-512 VNNI, 2 threads)" */
    int n_threads;
    int64_t packed_bytes, work_bytes, kv_bytes_per_token;
    int64_t state_bytes; /* of all recurrent states of one sequence */
};

typedef struct executor_options {
    int n_threads;
    int64_t n_batch; /* tokens (and outputs) in a run at most */
    int64_t n_pages; /* of the KV cache */
    int64_t n_slots; /* recurrent states that there is room for; plans with states */
    dtype kv_type;
    const char *cpu; /* see nb_context_options */
    nb_progress_fn progress;
    void *progress_user;
} executor_options;

/* The CPU backend (src/cpu/). The plan and the files that its tensors lie in must outlive the executor. */
nb_status cpu_executor_new(const plan *p, const weights *files, const executor_options *options, executor **out,
                           nb_error *err);

#endif
