/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary in which a family writes its plan. Every call appends a step and returns the number of the value that
 * it makes. The first failure is kept and later calls do nothing, so that a family reads as a list of steps;
 * plan_finish reports it. Weights are found, checked against the shape that the family expects, and read under the
 * quantization that config.json gives them. */
#ifndef NB_PLAN_BUILD_H
#define NB_PLAN_BUILD_H

#include "files/quant_config.h"
#include "plan/plan.h"

typedef struct plan_builder plan_builder;

/* What a tensor of a model must be: what a family asks for, before quantization. For making random models. */
typedef struct plan_spec {
    const char *name;   /* module path, without the suffix */
    const char *suffix; /* "weight", "bias", ...; "" where the name is the whole */
    int64_t n, k;       /* k = 0: a vector of n */
    int64_t n_experts;  /* 0: a single one; else the tensor is [n_experts, n, k] or [n_experts, n] */
    bool is_conv;       /* [n, k, 1], never quantized */
} plan_spec;

/* table: the tensors, quantization: how they are to be read; both must outlive the builder, but not the plan. table
 * NULL: a dry build, that collects specs and makes a plan without data. */
nb_status plan_builder_new(const checkpoint *table, quant_config *quantization, plan_builder **out, nb_error *err);
/* Hands the plan over (plan_free it) or fails with the first error of any call; frees the builder either way. */
nb_status plan_finish(plan_builder *b, int logits, plan **out, nb_error *err);
/* What was asked for so far; lives as long as the builder. */
const plan_spec *plan_specs(const plan_builder *b, size_t *n);
/* A fault that the family found itself. Returns PLAN_NONE. */
int plan_fail(plan_builder *b, nb_status status, const char *format, ...) NB_PRINTF(3, 4);

/* How many tensors of the table the steps so far read. */
size_t plan_tensors_used(const plan_builder *b);

/* No call has failed yet. */
bool plan_ok(const plan_builder *b);

/* Layer that the following steps belong to; PLAN_NONE: none. Step names get "layers.N." in front. */
void plan_set_layer(plan_builder *b, int layer);
/* Memory that lives as long as the plan; NULL (and the builder fails) when out of memory. */
void *plan_alloc(plan_builder *b, size_t count, size_t size);

/* Module names are printf formats; module paths as in MLX: "model.layers.%d.mlp.up_proj". */
int plan_embed(plan_builder *b, const char *module, int64_t vocab_size, int64_t hidden_size, float scale);
int plan_rmsnorm(plan_builder *b, int x, int64_t n_parts, float eps, const char *module, ...) NB_PRINTF(5, 6);
/* Weights that are stored as their distance from 1 (Gemma 3). */
int plan_rmsnorm_1p(plan_builder *b, int x, int64_t n_parts, float eps, const char *module, ...) NB_PRINTF(5, 6);
/* Without a weight. */
int plan_rmsnorm_plain(plan_builder *b, int x, int64_t n_parts, float eps, const char *name);
/* The same with the vector "<path>" itself, which has no ".weight" behind it. */
int plan_rmsnorm_named(plan_builder *b, int x, int64_t n_parts, float eps, const char *path, ...) NB_PRINTF(5, 6);
int plan_linear(plan_builder *b, int x, int64_t n_out, bool has_bias, const char *module, ...) NB_PRINTF(5, 6);
int plan_add(plan_builder *b, int x, int z, const char *name);
/* act(gate) * up; gate may have a single column. */
int plan_act_mul(plan_builder *b, kact act, int gate, int up, const char *name);
int plan_scale(plan_builder *b, int x, double factor, const char *name);
int plan_softcap(plan_builder *b, int x, double cap, const char *name);
/* Columns of x in another order: columns [n] (from plan_alloc) says where each one comes from. */
int plan_select_cols(plan_builder *b, int x, const int32_t *columns, int64_t n, const char *name);
/* Of each of n_parts equal parts of x the columns [first, first + width), one part after the other. */
int plan_slice(plan_builder *b, int x, int64_t n_parts, int64_t first, int64_t width, const char *name);
/* The one number of tensor "<path>" ([] or [1]); 1 in a dry build. */
double plan_scalar(plan_builder *b, const char *path, ...) NB_PRINTF(2, 3);
/* Whether the files have the tensor "<path>"; `dry` in a dry build. */
bool plan_has(const plan_builder *b, bool dry, const char *path, ...) NB_PRINTF(3, 4);
/* freqs: n_freqs radians per position, from plan_alloc. The table is a value [tokens, 2 n_freqs]. */
int plan_rope_table(plan_builder *b, const double *freqs, int64_t n_freqs, float scale);
int plan_rope(plan_builder *b, int x, int table, int64_t n_heads, bool interleaved, const char *name);
/* A cache for one layer; returns its number. */
int plan_cache_new(plan_builder *b, int64_t n_kv_heads, int64_t head_dim, int64_t window);
void plan_kv_store(plan_builder *b, int cache, int keys, int values);
/* softcap: 0: none */
int plan_attention(plan_builder *b, int q, int cache, float scale, float softcap);
/* Without a softcap, and with a sink for each of n_heads heads: the vector "<path>". */
int plan_attention_sinks(plan_builder *b, int q, int cache, float scale, int64_t n_heads, const char *path, ...)
    NB_PRINTF(6, 7);

/* Mixture of experts (see kop). logits: [n_experts]; per_expert_scale: path of a vector, NULL: none. */
int plan_route(plan_builder *b, int logits, int64_t n_chosen, bool normalize, const char *per_expert_scale, ...)
    NB_PRINTF(5, 6);
/* The stacked matrices "<module>.weight" [n_experts, n_out, k] and, with has_bias, "<module>.bias" [n_experts, n_out].
 * x has k columns; with own_rows, n_chosen * k. */
int plan_experts(plan_builder *b, int x, int route, int64_t n_experts, int64_t n_out, bool own_rows, bool has_bias,
                 const char *module, ...) NB_PRINTF(8, 9);
int plan_sum_experts(plan_builder *b, int x, int route, const char *name);

/* Gated delta net (see kop). Each step has a recurrent state of its own. The convolution's weight is
 * "<module>.weight" [cols of x, kernel, 1]. */
int plan_conv1d(plan_builder *b, int x, int64_t kernel, kact act, const char *module, ...) NB_PRINTF(5, 6);
/* a_log, dt_bias: paths of vectors. */
int plan_delta_gates(plan_builder *b, int a, int bb, const char *a_log, const char *dt_bias);
int plan_delta(plan_builder *b, int qkv, int gates, int64_t n_keys, int64_t key_dim, int64_t n_values,
               int64_t value_dim, float eps);
/* Only the rows of which the caller wants logits. */
int plan_outputs(plan_builder *b, int x);
/* x times the rows of an embedding table (a tied head). */
int plan_tied_head(plan_builder *b, int x, const char *module);

#endif
