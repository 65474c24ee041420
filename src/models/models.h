/* SPDX-License-Identifier: Apache-2.0
 *
 * The families: each turns config.json into a plan. Adding one is a file and a line in models.c. A family never sees
 * a backend. */
#ifndef NB_MODELS_MODELS_H
#define NB_MODELS_MODELS_H

#include "files/config.h"
#include "plan/build.h"

/* Sizes that people and the engine ask for; the names are config.json's. */
typedef struct model_dims {
    int64_t hidden_size, n_layers, n_heads, n_kv_heads, head_dim, intermediate_size, vocab_size;
    int64_t context_length; /* max_position_embeddings; 0 when the config does not say */
    bool tied;
} model_dims;

/* What a family works with. */
typedef struct family_input {
    const cJSON *config; /* the text model's object: "text_config" if there is one, else the whole config.json */
    const cJSON *whole;  /* all of config.json */
    plan_builder *builder;
    model_dims *dims;
} family_input;

typedef struct family {
    const char *model_types[8]; /* config.json's "model_type", NULL-terminated */
    /* Emits the steps; returns the value of the logits, PLAN_NONE on failure (the builder has the error). */
    int (*build)(const family_input *in);
} family;

extern const family family_llama, family_qwen2, family_qwen3;
extern const family family_qwen3_moe, family_qwen3_next, family_qwen3_5;
extern const family family_gemma2, family_gemma3, family_gemma4;
extern const family family_smollm3, family_phi3, family_gpt_oss;

/* Finds the family and builds its (fused) plan from the files. NB_ERR_UNSUPPORTED lists the families when the
 * model_type is unknown. */
nb_status model_build(const model_config *config, const weights *files, plan **out, model_dims *dims, nb_error *err);

/* The tensors that a model of this config has, before quantization: in *specs, an array of *n in the memory of *plan
 * (plan_free it), which holds no data. */
nb_status model_specs(const model_config *config, plan **out, const plan_spec **specs, size_t *n, nb_error *err);

#endif
