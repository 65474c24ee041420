/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowering: a plan, for one batch size, becomes a program: a list of kernel calls on the rows of one device. What can
 * be fused there is fused: where the registry has a row that computes several steps at once, and no worse a one than
 * for the steps alone. The executors run programs. */
#ifndef NB_PLAN_LOWER_H
#define NB_PLAN_LOWER_H

#include "kernels/registry.h"
#include "plan/plan.h"

/* One kernel call, ready to run. */
typedef struct program_call {
    const krow *row;
    kcall call;
    size_t scratch; /* bytes that the row asks for */
    bool barrier;   /* what comes before it must be done: it reads or overwrites what an earlier call touched */
    int plan_step;  /* that it computes; of several steps, the product or else the last one */
} program_call;

typedef struct program {
    int64_t n_tokens, n_outputs;
    program_call *calls;
    int n_calls;
    size_t work_bytes, scratch_bytes; /* scratch: the most that a call asks for */
    /* In the work memory; those of inputs are to be filled before the first call. */
    size_t logits_offset, input_offsets[PLAN_MAX_CROSSING], result_offsets[PLAN_MAX_CROSSING];
} program;

/* Two matrices of which a gated activation multiplies the products, lying one behind the other: gate's rows, then
 * up's. */
typedef struct weight_pair {
    kweight w; /* n = 0: there is none */
    kvec bias;
} weight_pair;

/* What the calls' operands are: the device's. */
typedef struct lower_target {
    const plan *plan;
    const plan_step *steps; /* the plan's, with vectors, columns and frequencies where rows read them */
    const char *name;       /* of the device, for messages */
    kregistry *registry;
    const kweight *weights;      /* [plan->n_weights] */
    const weight_pair *pairs;    /* [plan->n_steps], of ACT_MUL steps; NULL: none */
    const kpages *keys, *values; /* [plan->n_caches] */
    const kstates *states;       /* [plan->n_states] */
    const int32_t *tokens, *positions, *slots, *outputs;
    const int32_t *const *tables;
    uint8_t *work; /* NULL: not there yet, only its size is wanted */
} lower_target;

/* What a call's operands point at while a row is looked for, before there is memory: aligned, and never followed. */
#define LOWER_SOMEWHERE ((void *)(uintptr_t)4096)

/* Columns that share a scale in the quantized form of activations for w, whose codes are integers (twice an e2m1 number
 * is one); 0: w is only multiplied with floats. */
static inline int64_t lower_form_group(const kweight *w) {
    return w->mode == W_AFFINE || w->mode == W_MXFP4 ? w->group_size : 0;
}

/* NB_ERR_UNSUPPORTED names a step that no row takes. Free with program_free. */
nb_status program_new(const lower_target *target, int64_t n_tokens, int64_t n_outputs, program **out, nb_error *err);
void program_free(program *p);

/* The merged weight of an ACT_MUL step's two products, if they can have one (its data are not there), for executors to
 * bring into memory; w.n is 0 otherwise. gate and up are the products' steps. */
weight_pair lower_pair(const plan *p, int act_mul, int *gate, int *up);

#endif
