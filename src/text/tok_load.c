/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads a tokenizer.json: the parts that all components share, the BPE model's vocabulary and merges, and the order
 * in which the parts depend on each other. Truncation and padding are left to the caller of a model; dropout is a
 * training matter and ignored. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tok_internal.h"

/* ---- Helpers of all parsers ----------------------------------------------------------------------------------- */

nb_status tok_type_of(const cJSON *json, const char *what, const char **type, const char *name, nb_error *err) {
    *type = NULL;
    if (!cJSON_IsObject(json)) return err_set(err, NB_ERR_FORMAT, "%s: %s is no object", name, what);
    nb_status status = json_str(json, "type", type, NULL, name, err);
    if (!status && !*type) status = err_set(err, NB_ERR_FORMAT, "%s: a %s has no \"type\"", name, what);
    return status;
}

nb_status tok_unknown_type(const char *what, const char *type, const char *name, nb_error *err) {
    return err_set(err, NB_ERR_UNSUPPORTED, "%s: %s of type \"%.60s\" is not known to nibble", name, what, type);
}

nb_status tok_each_step(const cJSON *json, const char *what, const char *field, tok_steps *steps, tok_add_step add,
                        tokenizer *t, const char *name, nb_error *err) {
    const char *type;
    nb_status status = tok_type_of(json, what, &type, name, err);
    if (status) return status;
    if (strcmp(type, "Sequence") != 0) {
        if (steps->n++ == TOK_MAX_STEPS)
            return err_set(err, NB_ERR_FORMAT, "%s: more than %d steps in the %s", name, TOK_MAX_STEPS, what);
        return add(json, type, t, name, err);
    }
    const cJSON *items = json_get(json, field);
    if (!cJSON_IsArray(items) || steps->depth == TOK_MAX_DEPTH)
        return err_set(err, NB_ERR_FORMAT, "%s: a %s sequence has no \"%s\", or is nested too deep", name, what, field);
    steps->depth++;
    for (const cJSON *item = items->child; item && !status; item = item->next)
        status = tok_each_step(item, what, field, steps, add, t, name, err);
    steps->depth--;
    return status;
}

nb_status tok_need_str(const cJSON *json, const char *field, arena *mem, const char **out, size_t *len,
                       const char *name, nb_error *err) {
    const char *text = NULL;
    nb_status status = json_str(json, field, &text, NULL, name, err);
    if (status) return status;
    if (!text) return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" is missing", name, field);
    *len = strlen(text);
    if (*len > TOK_MAX_CONTENT)
        return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" has %zu bytes, expected at most %d", name, field, *len,
                       TOK_MAX_CONTENT);
    *out = arena_strndup(mem, text, *len);
    return *out ? NB_OK : err_no_memory(err, "the tokenizer", *len);
}

nb_status tok_need_char(const cJSON *json, const char *field, uint32_t *out, const char *name, nb_error *err) {
    const char *text = NULL;
    nb_status status = json_str(json, field, &text, NULL, name, err);
    if (status) return status;
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || (size_t)utf8_decode(text, len, out) != len)
        return err_set(err, NB_ERR_FORMAT, "%s: field \"%s\" is \"%.40s\", expected one character", name, field,
                       text ? text : "");
    return NB_OK;
}

nb_status tok_prepend_scheme(const cJSON *json, tok_prepend *out, const char *name, nb_error *err) {
    const char *text = "always";
    bool prefix = true;
    nb_status status = json_str(json, "prepend_scheme", &text, NULL, name, err);
    if (!status) status = json_bool(json, "add_prefix_space", &prefix, NULL, name, err);
    if (status) return status;
    if (strcmp(text, "always") == 0)
        *out = PREPEND_ALWAYS;
    else if (strcmp(text, "first") == 0)
        *out = PREPEND_FIRST;
    else if (strcmp(text, "never") == 0)
        *out = PREPEND_NEVER;
    else
        return err_set(err, NB_ERR_UNSUPPORTED, "%s: prepend_scheme \"%.40s\" is not known", name, text);
    if (!prefix) *out = PREPEND_NEVER; /* the older spelling */
    return NB_OK;
}

/* ---- The model ------------------------------------------------------------------------------------------------ */

/* An optional string of the model; "" counts as none. */
static nb_status optional(const cJSON *json, const char *field, tokenizer *t, const char **out, const char *name,
                          nb_error *err) {
    size_t len;
    *out = NULL;
    if (!json_get(json, field)) return NB_OK;
    nb_status status = tok_need_str(json, field, t->mem, out, &len, name, err);
    if (!status && len == 0) *out = NULL;
    return status;
}

static nb_status parse_model(const cJSON *json, const tok_part *vocab, const tok_part *merges, size_t n_added,
                             tokenizer *t, const char *name, nb_error *err) {
    const char *type = "BPE"; /* the oldest files do not say */
    if (!cJSON_IsObject(json)) return err_set(err, NB_ERR_FORMAT, "%s: no model", name);
    nb_status status = json_str(json, "type", &type, NULL, name, err);
    if (!status && strcmp(type, "BPE") != 0) return tok_unknown_type("model", type, name, err);
    if (!status) status = optional(json, "continuing_subword_prefix", t, &t->subword_prefix, name, err);
    if (!status) status = optional(json, "end_of_word_suffix", t, &t->word_suffix, name, err);
    if (!status) status = optional(json, "unk_token", t, &t->unk_token, name, err);
    if (!status) status = json_bool(json, "fuse_unk", &t->fuse_unk, NULL, name, err);
    if (!status) status = json_bool(json, "byte_fallback", &t->byte_fallback, NULL, name, err);
    if (!status) status = json_bool(json, "ignore_merges", &t->ignore_merges, NULL, name, err);
    if (!status) status = tok_read_vocab(vocab, n_added, t, name, err);
    if (!status) status = tok_read_merges(merges, t, name, err);
    if (!status) tok_end_vocab(t);
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------------ */

static nb_status parse(const cJSON *json, const tok_part *vocab, const tok_part *merges, tokenizer *t, const char *name,
                       nb_error *err) {
    if (!cJSON_IsObject(json)) return err_set(err, NB_ERR_FORMAT, "%s: no object", name);
    const char *version = "1.0";
    nb_status status = json_str(json, "version", &version, NULL, name, err);
    if (!status && strcmp(version, "1.0") != 0)
        status = err_set(err, NB_ERR_UNSUPPORTED, "%s: version \"%.20s\", expected 1.0", name, version);
    const cJSON *added = json_get(json, "added_tokens");
    size_t n_added = cJSON_IsArray(added) ? (size_t)cJSON_GetArraySize(added) : 0;
    if (!status) status = parse_model(json_get(json, "model"), vocab, merges, n_added, t, name, err);
    if (!status) status = tok_parse_normalizer(json_get(json, "normalizer"), t, name, err);
    if (!status) status = tok_parse_added(added, t, name, err);
    if (!status) status = tok_parse_pre_tokenizer(json_get(json, "pre_tokenizer"), t, name, err);
    if (!status) status = tok_parse_post_processor(json_get(json, "post_processor"), t, name, err);
    if (!status) status = tok_parse_decoder(json_get(json, "decoder"), t, name, err);
    return status;
}

nb_status tok_from_json(const char *json, size_t n, const char *name, tokenizer **out, nb_error *err) {
    *out = NULL;
    if (!utf8_valid(json, n)) return err_set(err, NB_ERR_FORMAT, "%s: not valid UTF-8", name);
    if (n >= 3 && memcmp(json, "\xef\xbb\xbf", 3) == 0) {
        json += 3;
        n -= 3;
    }
    tok_part vocab = {0}, merges = {0};
    buf rest = {0};
    cJSON *tree = NULL;
    tokenizer *t = NULL;
    bool cut = tok_json_cut(json, n, &vocab, &merges, &rest);
    nb_status status = rest.failed ? err_no_memory(err, "tokenizer.json", n) : NB_OK;
    if (!status) status = json_parse(cut ? rest.data : json, cut ? rest.len : n, name, &tree, err);
    if (status && cut && !rest.failed) { /* the place in the whole file is what people look for */
        cJSON *whole = NULL;
        if (json_parse(json, n, name, &whole, err) == NB_OK) err_set(err, NB_ERR_FORMAT, "%s: not valid JSON", name);
        cJSON_Delete(whole);
    }
    buf_free(&rest);
    if (!status) status = tok_new(&t, err);
    if (!status) status = parse(tree, &vocab, &merges, t, name, err);
    cJSON_Delete(tree);
    if (status) {
        tok_free(t);
        return status;
    }
    *out = t;
    return NB_OK;
}
