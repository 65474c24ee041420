/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes safetensors and GGUF files in memory for tests, right ones and wrong ones, and temporary directories. */
#ifndef NB_TESTS_FILE_BUILDER_H
#define NB_TESTS_FILE_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* A safetensors file: the header text as it is and data_bytes bytes 0, 1, 2, ... */
void build_safetensors(buf *out, const char *header, size_t data_bytes);

typedef struct gguf_builder {
    buf pairs, infos, data;
    uint64_t n_pairs, n_tensors;
} gguf_builder;

void gb_u32(gguf_builder *b, const char *key, uint32_t value);
void gb_f32(gguf_builder *b, const char *key, float value);
void gb_bool(gguf_builder *b, const char *key, bool value);
void gb_str(gguf_builder *b, const char *key, const char *value);
void gb_str_array(gguf_builder *b, const char *key, const char *const *values, size_t n);
void gb_i32_array(gguf_builder *b, const char *key, const int32_t *values, size_t n);
/* shape is outermost first. */
void gb_tensor(gguf_builder *b, const char *name, uint32_t type, int n_dims, const int64_t *shape, const void *data,
               size_t bytes);
/* Puts the file into *out and frees the builder. */
void gb_finish(gguf_builder *b, buf *out);

/* What build_model makes: a whole tiny model of hidden size 64, 2 layers, 4 heads (2 for keys and values). */
typedef struct model_recipe {
    const char *arch;        /* "llama", "qwen2", "qwen3" */
    uint32_t type;           /* of all matrices */
    const char *leave_out;   /* a tensor that is not written, or NULL */
    const char *extra;       /* a tensor that does not belong there, or NULL */
    uint16_t scale;          /* fp16 bits of every block's scale; 0: various small ones */
    uint32_t embedding_type; /* with `mixed`: another type for the embedding */
    bool mixed;
    const char *pre;       /* tokenizer.ggml.pre; NULL: "smollm" */
    const char *tokenizer; /* tokenizer.ggml.model; NULL: "gpt2" */
    bool untied;
} model_recipe;
void build_model(gguf_builder *b, const model_recipe *recipe);

/* A new empty directory below $TMPDIR (or /tmp); remove_temp_dir frees the path too. */
char *make_temp_dir(void);
void remove_temp_dir(char *path);

#endif
