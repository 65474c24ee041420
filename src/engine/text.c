/* SPDX-License-Identifier: Apache-2.0
 *
 * The public functions on text: thin over src/text/, with what a model without the files says. */
#include <string.h>

#include "engine/engine.h"
#include "text/jinja.h"

static nb_status need_tokenizer(const nb_model *m, nb_error *err) {
    return m->tokenizer ? NB_OK
                        : err_set(err, NB_ERR_NOT_FOUND,
                                  "%s: there is no tokenizer.json, nor an older kind of tokenizer", m->dir);
}

nb_status nb_tokenize(const nb_model *m, const char *text, size_t length, bool add_special, int32_t **ids, size_t *n,
                      nb_error *err) {
    *ids = NULL;
    *n = 0;
    nb_status status = need_tokenizer(m, err);
    return status ? status : tok_encode(m->tokenizer, text, length, add_special, ids, n, err);
}

nb_status nb_detokenize(const nb_model *m, const int32_t *ids, size_t n, bool skip_special, char **text, size_t *length,
                        nb_error *err) {
    *text = NULL;
    nb_status status = need_tokenizer(m, err);
    return status ? status : tok_decode(m->tokenizer, ids, n, skip_special, text, length, err);
}

nb_status nb_stream_new(const nb_model *m, nb_stream **out, nb_error *err) {
    *out = NULL;
    nb_status status = need_tokenizer(m, err);
    return status ? status : tok_stream_new(m->tokenizer, true, (tok_stream **)out, err);
}

nb_status nb_stream_new_with_marks(const nb_model *m, nb_stream **out, nb_error *err) {
    nb_status status = nb_stream_new(m, out, err);
    if (!status) tok_stream_keep((tok_stream *)*out, m->marks, m->n_marks);
    return status;
}

void nb_stream_free(nb_stream *s) {
    tok_stream_free((tok_stream *)s);
}
const char *nb_stream_put(nb_stream *s, int32_t id) {
    return tok_stream_put((tok_stream *)s, id);
}
const char *nb_stream_finish(nb_stream *s) {
    return tok_stream_finish((tok_stream *)s);
}

/* Parses one of the JSON parameters; NULL text gives NULL. */
static nb_status parse(const char *text, const char *what, bool want_array, cJSON **out, nb_error *err) {
    *out = NULL;
    if (!text) return NB_OK;
    nb_status status = jinja_json_parse(text, strlen(text), what, out, err);
    if (!status && !(want_array ? cJSON_IsArray(*out) : cJSON_IsObject(*out)))
        status = err_set(err, NB_ERR_FORMAT, "%s: expected a JSON %s", what, want_array ? "array" : "object");
    return status;
}

nb_status nb_template_render(const nb_model *m, const char *messages_json, const char *tools_json,
                             const char *extra_json, bool add_generation_prompt, char **text, nb_error *err) {
    *text = NULL;
    if (!m->chat)
        return err_set(err, NB_ERR_NOT_FOUND,
                       "%s: the model has no chat template (neither chat_template.jinja nor chat_template in "
                       "tokenizer_config.json)",
                       m->dir);
    cJSON *messages = NULL, *tools = NULL, *extra = NULL;
    nb_status status = parse(messages_json, "messages", true, &messages, err);
    if (!status) status = parse(tools_json, "tools", true, &tools, err);
    if (!status) status = parse(extra_json, "template arguments", false, &extra, err);
    size_t length;
    if (!status)
        status = chat_template_render(m->chat, messages, tools, extra, add_generation_prompt, text, &length, err);
    cJSON_Delete(messages);
    cJSON_Delete(tools);
    cJSON_Delete(extra);
    return status;
}

nb_status nb_parser_new(const nb_model *m, const char *tools_json, const char *prompt, nb_parser **out, nb_error *err) {
    *out = NULL;
    tc_options o = {.format = m->tool_format, .reasoning = m->reasoning, .prompt = prompt};
    nb_status status = parse(tools_json, "tools", true, &o.tools, err);
    if (status || cJSON_GetArraySize(o.tools) == 0) {
        cJSON_Delete(o.tools);
        o.tools = NULL;
    }
    return status ? status : tc_parser_new(&o, out, err);
}
