/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan: a model as a flat list of steps over named values. A family (src/models/) emits it through the vocabulary
 * of build.h; the memory planner, the executors, `inspect` and the verifier read it. A plan knows shapes and weights
 * but neither a backend nor a batch: values have as many rows as the batch has tokens (or outputs). */
#ifndef NB_PLAN_PLAN_H
#define NB_PLAN_PLAN_H

#include "base/arena.h"
#include "files/safetensors.h"
#include "kernels/kernel.h"

enum { PLAN_NONE = -1, PLAN_MAX_CROSSING = 8 /* values between two parts of a model (split.h) */ };

/* How many rows a value has in a batch. */
typedef enum plan_rows { PLAN_TOKENS, PLAN_OUTPUTS } plan_rows;

/* A value: a matrix of fp32 (the executor may hold it in another form). */
typedef struct plan_value {
    const char *name; /* "layers.3.mlp.gate" */
    plan_rows rows;
    int64_t cols;
} plan_value;

/* A weight matrix, or one for each expert, and the tensors that it lies in. */
typedef struct plan_weight {
    const char *name; /* module path: "model.layers.3.mlp.up_proj" */
    kweight w;
    const tensor *const *tensors; /* [n_tensors]: codes, scales, biases; of experts perhaps many */
    int n_tensors;
    bool is_table; /* read by EMBED (as stored), perhaps also by a MATMUL */
    bool is_matrix;
    bool is_conv; /* the taps of a convolution, which are never quantized */
} plan_weight;

/* Keys and values of one attention layer. */
typedef struct plan_cache {
    int64_t n_heads, head_dim;
    int64_t window; /* 0: full */
} plan_cache;

/* The recurrent state of one layer (see kstates). */
typedef struct plan_state {
    int64_t size; /* floats a sequence */
} plan_state;

typedef struct plan_step {
    kop op;
    const char *name; /* "layers.3.self_attn.q_proj" */
    int layer;        /* PLAN_NONE outside of the layers */
    /* Value numbers, PLAN_NONE where absent. EMBED and ROPE_TABLE read the batch; KV_STORE has no y. */
    int x, z, residual, y;
    int weight;      /* number of a plan_weight */
    kvec vec, vec2;  /* kcall's weight and weight2: norm weight, bias, ... */
    int64_t vec_len; /* elements of each */
    float eps, scale, softcap, offset;
    kact act;
    int64_t n_parts, n_keys, key_dim, n_chosen;
    bool normalize, interleaved;
    const double *freqs;
    const int32_t *columns;
    int cache;      /* number of a plan_cache: KV_STORE, ATTENTION */
    bool is_values; /* KV_STORE: of the values, else the keys */
    int64_t window;
    int state; /* number of a plan_state: CONV1D, DELTA */
} plan_step;

typedef struct plan {
    arena *memory; /* holds everything below */
    plan_step *steps;
    plan_value *values;
    plan_weight *weights;
    plan_cache *caches;
    plan_state *states;
    int n_steps, n_values, n_weights, n_caches, n_states;
    int logits; /* the value that is the result: PLAN_OUTPUTS x vocab_size; PLAN_NONE: of a part that ends before */
    /* Of a part of a model: values (PLAN_TOKENS) that come with the batch, and that are given back. */
    int inputs[PLAN_MAX_CROSSING], results[PLAN_MAX_CROSSING];
    int n_inputs, n_results;
} plan;

void plan_free(plan *p);

/* Whether a value is wanted when all steps have run: as logits or as a result. */
bool plan_is_result(const plan *p, int value);
/* The layers that steps belong to: [*first, *end); none: 0, 0. */
void plan_layers(const plan *p, int *first, int *end);

/* The fusion pass: rewrites the list so that fewer steps move fewer bytes. A fused step's reference is the composition
 * of its parts'. Today: MATMUL then ADD of its result, which nothing else reads, becomes MATMUL with residual. */
void plan_fuse(plan *p);

/* Weight bytes that one generated token reads: every matrix once, of experts the chosen ones, of a table one row. */
int64_t plan_weight_bytes(const plan *p);

/* An executor's own copies of the plan's weights, whose data it may put elsewhere: matrices [n_weights], with those of
 * experts in the array *experts. Both are the caller's to free, also after a failure. */
nb_status plan_copy_weights(const plan *p, kweight **matrices, kweight **experts, nb_error *err);

/* Whether w, of a call that computes step i, is the step's weight, wherever its data lie: not two that were merged. */
bool plan_has_weight(const plan *p, int i, const kweight *w);

/* One line that says what step i does, for `inspect --plan`: into text, at most size bytes. */
void plan_step_text(const plan *p, int i, char *text, size_t size);

/* Of a weight, all its experts together: bytes in the file's form, and numbers. */
int64_t weight_stored_bytes(const kweight *w);
int64_t weight_elements(const kweight *w);
/* "affine 4-bit g64 bf16" or "bf16", into text. */
const char *weight_text(const kweight *w, char text[64]);

#endif
