/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands behind the public handles. See include/nibble.h for what they are. */
#ifndef NB_ENGINE_ENGINE_H
#define NB_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "files/config.h"
#include "files/safetensors.h"
#include "models/models.h"
#include "plan/executor.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct nb_model {
    _Atomic int references; /* the opener's, and one for each context */
    char *dir;
    model_config config;
    generation_config generation;
    weights *files;
    plan *plan;
    model_dims dims;
    char quantization[96];
    tokenizer *tokenizer; /* NULL: the directory has none */
    chat_template *chat;  /* NULL: the model has none */
};

nb_model *model_retain(nb_model *m);
bool model_is_end_token(const nb_model *m, int32_t token);

/* The KV cache's pages: who uses which. A page may belong to several sequences. */
typedef struct page_pool {
    int32_t n_pages, n_free;
    int32_t *free_list;  /* [n_pages], the first n_free are free */
    int32_t *references; /* [n_pages] */
} page_pool;

struct nb_sequence {
    nb_context *context;
    int32_t *tokens; /* [n_tokens] */
    int64_t n_tokens, cap_tokens;
    int32_t *pages; /* [n_pages], room for context_length tokens, at a fixed address */
    int64_t n_pages;
    nb_sequence *next;
};

struct nb_context {
    nb_model *model;
    executor *executor;
    int64_t context_length, n_batch, n_sequences, n_alive;
    double load_seconds;
    page_pool pages;
    nb_sequence *sequences;
    /* A batch under construction, [n_batch] each. */
    int32_t *tokens, *positions, *outputs;
    const int32_t **tables;
};

/* sequence.c */
nb_status page_pool_init(page_pool *p, int64_t n_pages, nb_error *err);
void page_pool_free(page_pool *p);
/* Makes room for n_more tokens: pages of its own from the first place that will be written on. On failure the sequence
 * is as it was. */
nb_status sequence_reserve(nb_sequence *s, int64_t n_more, nb_error *err);
/* Drops tokens and pages from n_tokens on. */
void sequence_cut(nb_sequence *s, int64_t n_tokens);

#endif
