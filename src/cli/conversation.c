/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages to tokens, and tokens to a sequence that is kept from turn to turn: the rendered conversation shares its
 * beginning with what the sequence holds, so a turn costs only what is new. */
#include "cli/conversation.h"

#include <stdlib.h>
#include <string.h>

nb_status conversation_init(conversation *c, const nb_model *model, const template_args *t, nb_error *err) {
    *c = (conversation){.model = model, .template_args = t, .messages = cJSON_CreateArray()};
    return c->messages ? NB_OK : err_no_memory(err, "messages", 0);
}

void conversation_free(conversation *c) {
    cJSON_Delete(c->messages);
    free(c->held);
    *c = (conversation){0};
}

nb_status conversation_add(conversation *c, const char *role, const char *content, nb_error *err) {
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) &&
        cJSON_AddStringToObject(message, "content", content))
        return conversation_add_message(c, message, err);
    cJSON_Delete(message);
    return err_no_memory(err, "messages", strlen(content));
}

nb_status conversation_add_message(conversation *c, cJSON *message, nb_error *err) {
    if (message && cJSON_AddItemToArray(c->messages, message)) return NB_OK;
    cJSON_Delete(message);
    return err_no_memory(err, "messages", 0);
}

void conversation_drop(conversation *c) {
    cJSON_DeleteItemFromArray(c->messages, cJSON_GetArraySize(c->messages) - 1);
}

void conversation_reset(conversation *c) {
    while (cJSON_GetArraySize(c->messages) > 0) conversation_drop(c);
}

nb_status conversation_prompt(const conversation *c, char **text, int32_t **ids, size_t *n, nb_error *err) {
    char *json = cJSON_PrintUnformatted(c->messages);
    *text = NULL;
    if (!json) return err_no_memory(err, "messages", 0);
    const template_args *t = c->template_args;
    nb_status status = nb_template_render(c->model, json, template_tools(t), template_variables(t), true, text, err);
    cJSON_free(json);
    /* Templates write BOS and the like themselves. */
    if (!status) status = nb_tokenize(c->model, *text, strlen(*text), false, ids, n, err);
    return status;
}

/* ---- Generation ------------------------------------------------------------------------------------------------ */

static bool hold(conversation *c, const int32_t *ids, size_t n) {
    if (c->n_held + n > c->held_capacity) {
        size_t capacity = 2 * (c->n_held + n);
        int32_t *held = realloc(c->held, capacity * sizeof *held);
        if (!held) return false;
        c->held = held;
        c->held_capacity = capacity;
    }
    memcpy(c->held + c->n_held, ids, n * sizeof *ids);
    c->n_held += n;
    return true;
}

/* The caller's callbacks, with ours in front of on_token. */
typedef struct watch {
    conversation *c;
    const nb_generate_options *caller;
    bool no_memory;
} watch;

static bool watch_text(void *user, const char *text, size_t length) {
    const nb_generate_options *o = ((watch *)user)->caller;
    return !o->on_text || o->on_text(o->user, text, length);
}

static bool watch_prefill(void *user, const char *stage, double done, double total) {
    const nb_generate_options *o = ((watch *)user)->caller;
    return !o->on_prefill || o->on_prefill(o->user, stage, done, total);
}

static bool watch_token(void *user, int32_t token) {
    watch *w = user;
    if (!hold(w->c, &token, 1)) {
        w->no_memory = true;
        return false;
    }
    return !w->caller->on_token || w->caller->on_token(w->caller->user, token);
}

/* The sequence holds at most what we think it does: it lacks the end token, and a cancelled prompt's tail. */
static void settle(conversation *c) {
    size_t length = (size_t)nb_sequence_length(c->sequence);
    if (c->n_held > length) c->n_held = length;
}

nb_status conversation_generate(conversation *c, const int32_t *ids, size_t n, const nb_generate_options *options,
                                nb_generate_result *result, nb_error *err) {
    size_t same = 0;
    while (same < c->n_held && same < n && c->held[same] == ids[same]) same++;
    if (same == n && n > 0) same--; /* the last token must run to give logits */
    c->n_reused = (int64_t)same;
    nb_status status = nb_sequence_truncate(c->sequence, (int64_t)same, err);
    if (status) return status;
    c->n_held = same;
    if (!hold(c, ids + same, n - same)) return err_no_memory(err, "tokens", n * sizeof *ids);

    watch w = {.c = c, .caller = options};
    nb_generate_options mine = *options;
    mine.on_text = watch_text;
    mine.on_token = watch_token;
    mine.on_prefill = watch_prefill;
    mine.user = &w;
    status = nb_generate(c->sequence, ids + same, n - same, &mine, result, err);
    settle(c);
    if (!status && w.no_memory) status = err_no_memory(err, "tokens", c->n_held * sizeof *ids);
    return status;
}
