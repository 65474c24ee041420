/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the GGUF import: what the model is (import_arch.c), its tensors (import_tensors.c), its tokenizer
 * (import_tokenizer.c) and the whole (import_gguf.c). Only these files and the fuzz target include this header. */
#ifndef NB_FILES_IMPORT_H
#define NB_FILES_IMPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "files/gguf.h"

enum { IMPORT_GROUP = 32 }; /* the block size of all quantized types that are imported */

/* One tensor on its way. */
typedef struct import_tensor {
    const gguf_tensor *from;
    const char *module; /* "model.layers.0.self_attn.q_proj" */
    bool is_bias;       /* the layer's own bias vector, not its weight */
    /* GGUF keeps the q and k rows of llama models in interleaved rope order; this many heads are put back into
     * halves. 0: rows stay. */
    int64_t interleaved_heads;
    bool wide_scales; /* scales and biases as fp32, because a bias is no fp16 number */
} import_tensor;

/* A model as read from the metadata, with each of its tensors. */
typedef struct import_model {
    const gguf *g;
    const char *file; /* base name of the GGUF file, for errors */
    const char *arch; /* "llama", "qwen2", "qwen3" */
    arena *memory;
    int64_t n_layers, hidden_size, intermediate_size, n_heads, n_kv_heads, head_dim, vocab_size, context_length;
    double rms_norm_eps, rope_theta;
    bool tied, attention_bias;
    const char *rope_scaling; /* JSON text; "null": none */
    import_tensor *tensors;
    size_t n_tensors;
    int bits; /* of most quantized weights; 0: nothing is quantized */
    /* Filled by import_tokenizer. */
    int64_t eos_ids[8];
    int n_eos;
    int64_t bos_id, pad_id, unk_id; /* -1: none */
} import_model;

/* Affine bits of a quantized GGUF type that can be imported; 0 for the float types; -1 for every other type. */
int import_bits(uint32_t type);

/* Fills m from m->g, m->file and m->memory: sizes, and every tensor with its MLX name, its shape checked. Refuses
 * architectures, tensors and scalings that nibble does not know, each by its name. */
nb_status import_model_read(import_model *m, nb_error *err);
/* The text of config.json and generation_config.json; the special ids must be known. Look at out->failed. */
void import_config(const import_model *m, buf *out);
void import_generation_config(const import_model *m, buf *out);

/* Looks at every scale once (they must be finite), then writes DIR/model.safetensors tensor by tensor. */
nb_status import_tensors(import_model *m, const char *dir, nb_progress_fn progress, void *user, nb_error *err);

/* The text of tokenizer.json and tokenizer_config.json, and the special ids of m. */
nb_status import_tokenizer(import_model *m, buf *tokenizer, buf *config, nb_error *err);

#endif
