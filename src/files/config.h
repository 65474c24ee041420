/* SPDX-License-Identifier: Apache-2.0
 *
 * config.json and generation_config.json of a model directory: the JSON trees, which of two nested configs describes
 * the text model, the end tokens and the model maker's sampling values. What a family needs of the config it reads
 * itself with the getters of base/json.h. */
#ifndef NB_FILES_CONFIG_H
#define NB_FILES_CONFIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct model_config {
    cJSON *tree;                 /* the whole file; owned */
    const cJSON *text;           /* its "text_config", else the whole: where the text model's fields are */
    const char *model_type;      /* of the whole */
    const char *text_model_type; /* of `text`; where it has none, the whole's */
    char *name;                  /* "DIR/config.json", for the getters' error texts; owned */
} model_config;

/* Reads DIR/config.json. It must be an object with a "model_type" at one of the two levels. */
nb_status config_open(const char *dir, model_config *out, nb_error *err);
/* The same from a text; `name` stands for the file in error texts. */
nb_status config_parse(const char *text, size_t length, const char *name, model_config *out, nb_error *err);
void config_close(model_config *c); /* {0} is fine */

enum { CONFIG_MAX_EOS = 32 };

/* Tokens that end an answer, and the sampling values that the model's maker recommends. A value that the file does not
 * give is negative. */
typedef struct generation_config {
    int32_t eos_ids[CONFIG_MAX_EOS];
    int n_eos;
    /* Where no file gives an id: tokenizer_config.json's eos_token, to be looked up in the vocabulary; owned. NULL
     * where there are ids, or no such field either. */
    char *eos_token;
    double temperature, top_p, min_p, repetition_penalty;
    int64_t top_k;
    int do_sample; /* 1, 0, or -1 where not given */
} generation_config;

/* Reads DIR/generation_config.json (it may be absent). "eos_token_id" is a number or a list; the first of
 * generation_config.json, config.json, its text_config and tokenizer_config.json that has one counts. */
nb_status generation_config_open(const char *dir, const model_config *config, generation_config *out, nb_error *err);
/* The same from parsed files; `generation` and `tokenizer` (tokenizer_config.json) may be NULL. */
nb_status generation_config_read(const cJSON *generation, const model_config *config, const cJSON *tokenizer,
                                 const char *name, generation_config *out, nb_error *err);
void generation_config_close(generation_config *g);

#endif
