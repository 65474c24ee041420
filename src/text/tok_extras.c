/* SPDX-License-Identifier: Apache-2.0
 *
 * Added tokens that stand beside a model's file: "added_tokens_decoder" of tokenizer_config.json ({ID: {"content",
 * flags}}) and, older, added_tokens.json ({TEXT: ID}). Unlike those of tokenizer.json they have ids of their own. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "text/tok_internal.h"

static nb_status check(tok_extra *e, double id, const char *name, nb_error *err) {
    size_t len = strlen(e->text);
    if (!(id >= 0 && id < TOK_MAX_TOKENS) || id != (double)(int32_t)id)
        return err_set(err, NB_ERR_FORMAT, "%s: added token \"%.60s\" has id %g, expected a whole number from 0 to %d",
                       name, e->text, id, TOK_MAX_TOKENS - 1);
    if (len > TOK_MAX_ADDED_LENGTH)
        return err_set(err, NB_ERR_FORMAT, "%s: an added token has %zu bytes, expected at most %d", name, len,
                       TOK_MAX_ADDED_LENGTH);
    e->id = (int32_t)id;
    return NB_OK;
}

static nb_status read_described(const cJSON *item, tok_extra *e, const char *name, nb_error *err) {
    const char *digits = item->string;
    size_t n = strlen(digits);
    if (n == 0 || n > 9 || strspn(digits, "0123456789") != n)
        return err_set(err, NB_ERR_FORMAT, "%s: added_tokens_decoder has the key \"%.40s\", expected an id", name,
                       digits);
    nb_status status = json_str(item, "content", &e->text, NULL, name, err);
    if (!status && !e->text)
        status = err_set(err, NB_ERR_FORMAT, "%s: added token %s has no \"content\"", name, digits);
    if (!status) status = json_bool(item, "single_word", &e->flags.single_word, NULL, name, err);
    if (!status) status = json_bool(item, "lstrip", &e->flags.lstrip, NULL, name, err);
    if (!status) status = json_bool(item, "rstrip", &e->flags.rstrip, NULL, name, err);
    if (!status) status = json_bool(item, "special", &e->special, NULL, name, err);
    return status ? status : check(e, strtod(digits, NULL), name, err);
}

nb_status tok_read_extras(const tok_side *side, arena *mem, tok_extras *out, const char *name, nb_error *err) {
    const cJSON *described = side ? json_get(side->config, "added_tokens_decoder") : NULL;
    const cJSON *plain = side && !described ? side->added : NULL, *list = described ? described : plain;
    *out = (tok_extras){0};
    if (!cJSON_IsObject(list)) return NB_OK;
    size_t n = (size_t)cJSON_GetArraySize(list);
    out->items = arena_zalloc(mem, n + 1, sizeof *out->items);
    if (!out->items) return err_no_memory(err, "added tokens", n);
    nb_status status = NB_OK;
    for (const cJSON *item = list->child; item && !status; item = item->next) {
        tok_extra *e = &out->items[out->n++];
        if (described) {
            status = read_described(item, e, name, err);
        } else {
            e->text = item->string;
            status = check(e, cJSON_IsNumber(item) ? item->valuedouble : -1, name, err);
        }
        if (!status && e->id >= out->n_ids) out->n_ids = e->id + 1;
    }
    return status;
}

nb_status tok_put_extras(tokenizer *t, const tok_extras *extras, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < extras->n && !status; i++) {
        const tok_extra *e = &extras->items[i];
        status = tok_put_added(t, e->text, strlen(e->text), e->id, e->flags, e->special, err);
    }
    return status;
}
