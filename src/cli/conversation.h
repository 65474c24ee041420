/* SPDX-License-Identifier: Apache-2.0
 *
 * A conversation: its messages, and the sequence that holds as many of their tokens as it can keep. */
#ifndef NB_CLI_CONVERSATION_H
#define NB_CLI_CONVERSATION_H

#include <cjson/cJSON.h>

#include "cli/args.h"

typedef struct conversation {
    const nb_model *model;
    nb_sequence *sequence;
    const template_args *template_args;
    cJSON *messages; /* array of {"role", "content"} */
    int32_t *held;   /* the tokens in the sequence */
    size_t n_held, held_capacity;
    int64_t n_reused; /* of the last prompt: tokens that were in the sequence already */
} conversation;

/* What the pointers refer to must outlive the conversation. sequence may be set later. */
nb_status conversation_init(conversation *c, const nb_model *model, const template_args *t, nb_error *err);
void conversation_free(conversation *c);
nb_status conversation_add(conversation *c, const char *role, const char *content, nb_error *err);
/* Forgets the last message. */
void conversation_drop(conversation *c);
/* Forgets all messages and tokens. */
void conversation_reset(conversation *c);

/* The same with a whole message, which the conversation takes over, also on failure; NULL is out of memory. */
nb_status conversation_add_message(conversation *c, cJSON *message, nb_error *err);
/* The text and the tokens with which the model is asked for its next message; nb_free both. */
nb_status conversation_prompt(const conversation *c, char **text, int32_t **ids, size_t *n, nb_error *err);

/* Makes the sequence continue with these tokens, of which only those are computed that it does not hold yet, and
 * generates. `options` gives callbacks and sampling; its on_text, on_token and user are called as usual. */
nb_status conversation_generate(conversation *c, const int32_t *ids, size_t n, const nb_generate_options *options,
                                nb_generate_result *result, nb_error *err);

#endif
