/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding a model's chat template and rendering conversations with it. */
#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/jinja.h"

struct chat_template {
    jinja *main, *tool_use; /* tool_use may be NULL; main may be when there is a tool_use */
    char *source;           /* of main, or NULL */
    char *tool_source;      /* of tool_use, or NULL */
    cJSON *tokens;          /* bos_token, ... as strings */
    char *tool_parser;      /* NULL: not stated */
};

enum { MAX_TEMPLATE = 16 << 20 };

static const char *const TOKENS[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                     "pad_token", "cls_token", "mask_token"};

/* Reads DIR/name as JSON; NB_OK with *out NULL when there is no such file. */
static nb_status read_json(const char *dir, const char *name, cJSON **out, nb_error *err) {
    *out = NULL;
    char *path = path_join(dir, name);
    if (!path) return err_no_memory(err, name, 0);
    nb_status status = path_is_file(path) ? json_read(path, out, err) : NB_OK;
    free(path);
    return status;
}

static nb_status add(chat_template *t, bool tool_use, const char *source, size_t n, const char *name, nb_error *err) {
    jinja **to = tool_use ? &t->tool_use : &t->main;
    if (*to) return NB_OK;
    nb_status status = jinja_compile(source, n, name, to, err);
    if (status) return status;
    char **kept = tool_use ? &t->tool_source : &t->source;
    *kept = malloc(n + 1);
    if (!*kept) return err_no_memory(err, name, n);
    memcpy(*kept, source, n);
    (*kept)[n] = 0;
    return NB_OK;
}

static nb_status add_file(chat_template *t, const char *dir, const char *name, bool tool_use, nb_error *err) {
    char *path = path_join(dir, name);
    if (!path) return err_no_memory(err, name, 0);
    buf text = {0};
    nb_status status = NB_OK;
    if (path_is_file(path)) {
        status = file_read(path, MAX_TEMPLATE, &text, err);
        if (!status) status = add(t, tool_use, text.data ? text.data : "", text.len, path, err);
    }
    buf_free(&text);
    free(path);
    return status;
}

/* One of the forms of a "chat_template" field. */
static nb_status add_field(chat_template *t, const cJSON *field, const char *file, nb_error *err) {
    if (!field) return NB_OK;
    if (cJSON_IsString(field)) return add(t, false, field->valuestring, strlen(field->valuestring), file, err);
    if (!cJSON_IsArray(field))
        return err_set(err, NB_ERR_FORMAT, "%s: field \"chat_template\" is neither a string nor a list", file);
    for (const cJSON *item = field->child; item; item = item->next) {
        const char *name = cJSON_GetStringValue(json_get(item, "name"));
        const char *text = cJSON_GetStringValue(json_get(item, "template"));
        if (!name || !text)
            return err_set(err, NB_ERR_FORMAT, "%s: \"chat_template\" needs objects with the strings name and template",
                           file);
        bool tool_use = strcmp(name, "tool_use") == 0;
        if (!tool_use && strcmp(name, "default") != 0) continue;
        nb_status status = add(t, tool_use, text, strlen(text), file, err);
        if (status) return status;
    }
    if (!t->main && !t->tool_use && field->child)
        return err_set(err, NB_ERR_FORMAT, "%s: several chat templates, but none is named \"default\"", file);
    return NB_OK;
}

/* "<s>" or {"content": "<s>", ...}; what was added before stays. */
static nb_status add_tokens(chat_template *t, const cJSON *from, nb_error *err) {
    for (size_t i = 0; i < sizeof TOKENS / sizeof TOKENS[0]; i++) {
        const cJSON *token = json_get(from, TOKENS[i]);
        if (cJSON_IsObject(token)) token = json_get(token, "content");
        if (!cJSON_IsString(token) || json_get(t->tokens, TOKENS[i])) continue;
        if (!cJSON_AddStringToObject(t->tokens, TOKENS[i], token->valuestring))
            return err_no_memory(err, "special tokens", 0);
    }
    return NB_OK;
}

static nb_status load_all(chat_template *t, const char *dir, nb_error *err) {
    cJSON *config = NULL, *processor = NULL, *map = NULL;
    nb_status status = read_json(dir, "tokenizer_config.json", &config, err);
    if (!status) status = read_json(dir, "special_tokens_map.json", &map, err);
    if (!status) status = add_tokens(t, config, err);
    const char *parser = cJSON_GetStringValue(json_get(config, "tool_parser_type"));
    if (!status && parser && !(t->tool_parser = strdup(parser))) status = err_no_memory(err, "tool_parser_type", 0);
    if (!status) status = add_tokens(t, map, err);
    if (!status) status = add_file(t, dir, "chat_template.jinja", false, err);
    if (!status) status = add_file(t, dir, "additional_chat_templates/tool_use.jinja", true, err);
    if (!status && !t->main) status = read_json(dir, "chat_template.json", &processor, err);
    if (!status && !t->main) status = add_field(t, json_get(processor, "chat_template"), "chat_template.json", err);
    if (!status && !t->main) status = add_field(t, json_get(config, "chat_template"), "tokenizer_config.json", err);
    cJSON_Delete(config);
    cJSON_Delete(processor);
    cJSON_Delete(map);
    return status;
}

nb_status chat_template_load(const char *dir, chat_template **out, nb_error *err) {
    *out = NULL;
    chat_template *t = calloc(1, sizeof *t);
    if (t) t->tokens = cJSON_CreateObject();
    nb_status status = t && t->tokens ? load_all(t, dir, err) : err_no_memory(err, "a chat template", 0);
    if (status || (!t->main && !t->tool_use)) {
        chat_template_free(t);
        return status;
    }
    *out = t;
    return NB_OK;
}

void chat_template_free(chat_template *t) {
    if (!t) return;
    jinja_free(t->main);
    jinja_free(t->tool_use);
    free(t->source);
    free(t->tool_source);
    free(t->tool_parser);
    cJSON_Delete(t->tokens);
    free(t);
}

const char *chat_template_source(const chat_template *t) {
    return t->source ? t->source : t->tool_source;
}

const char *chat_template_tool_source(const chat_template *t) {
    return t->tool_source ? t->tool_source : t->source;
}

const char *chat_template_tool_parser(const chat_template *t) {
    return t->tool_parser;
}

/* ---- Rendering --------------------------------------------------------------------------------------------------- */

/* Puts a reference to `item` under `name`; the tree that it belongs to stays the owner. */
static bool put(cJSON *object, const char *name, const cJSON *item) {
    return item ? cJSON_AddItemReferenceToObject(object, name, (cJSON *)item)
                : cJSON_AddNullToObject(object, name) != NULL;
}

static bool put_all(cJSON *object, const cJSON *from) {
    for (const cJSON *item = from ? from->child : NULL; item; item = item->next)
        if (!put(object, item->string, item)) return false;
    return true;
}

static const cJSON *reasoning_of(const cJSON *message) {
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; i < 3; i++) {
        const cJSON *item = json_get(message, names[i]);
        if (item) return item;
    }
    return NULL;
}

/* The message with its reasoning under both names that templates read, in the order of keys that transformers makes. */
static cJSON *with_reasoning(const cJSON *message, const cJSON *reasoning) {
    cJSON *copy = cJSON_CreateObject();
    bool ok = copy != NULL, replaced = false;
    if (ok && !cJSON_GetObjectItemCaseSensitive(message, "thinking")) ok = put(copy, "thinking", reasoning);
    for (const cJSON *item = message->child; ok && item; item = item->next) {
        bool is = strcmp(item->string, "reasoning_content") == 0;
        ok = put(copy, item->string, is ? reasoning : item);
        replaced |= is;
    }
    if (ok && !replaced) ok = put(copy, "reasoning_content", reasoning);
    if (ok) return copy;
    cJSON_Delete(copy);
    return NULL;
}

static nb_status add_messages(cJSON *vars, const cJSON *messages, nb_error *err) {
    if (!cJSON_IsArray(messages)) return err_set(err, NB_ERR_ARGUMENT, "messages must be a JSON array");
    cJSON *list = cJSON_AddArrayToObject(vars, "messages");
    size_t i = 0;
    for (const cJSON *m = messages->child; list && m; m = m->next, i++) {
        if (!cJSON_IsObject(m)) return err_set(err, NB_ERR_ARGUMENT, "message %zu is not a JSON object", i);
        const cJSON *reasoning = reasoning_of(m);
        if (!reasoning) {
            if (!cJSON_AddItemReferenceToArray(list, (cJSON *)m)) list = NULL;
            continue;
        }
        cJSON *copy = with_reasoning(m, reasoning);
        if (!copy || !cJSON_AddItemToArray(list, copy)) list = NULL;
    }
    return list ? NB_OK : err_no_memory(err, "messages", 0);
}

static nb_status make_vars(const chat_template *t, cJSON *vars, const cJSON *messages, const cJSON *tools,
                           const cJSON *extra, bool add_generation_prompt, nb_error *err) {
    if (tools && !cJSON_IsArray(tools) && !cJSON_IsNull(tools))
        return err_set(err, NB_ERR_ARGUMENT, "tools must be a JSON array");
    if (extra && !cJSON_IsObject(extra))
        return err_set(err, NB_ERR_ARGUMENT, "the template's extra variables must be a JSON object");
    /* Of members with the same name the last one counts. */
    bool ok = put_all(vars, t->tokens) && put(vars, "documents", NULL) && put_all(vars, extra) &&
              put(vars, "tools", tools) && cJSON_AddBoolToObject(vars, "add_generation_prompt", add_generation_prompt);
    if (!ok) return err_no_memory(err, "the template's variables", 0);
    return add_messages(vars, messages, err);
}

nb_status chat_template_render(const chat_template *t, const cJSON *messages, const cJSON *tools, const cJSON *extra,
                               bool add_generation_prompt, char **text, size_t *len, nb_error *err) {
    *text = NULL;
    if (len) *len = 0;
    bool with_tools = tools && !cJSON_IsNull(tools);
    const jinja *use = (with_tools && t->tool_use) || !t->main ? t->tool_use : t->main;
    cJSON *vars = cJSON_CreateObject();
    if (!vars) return err_no_memory(err, "the template's variables", 0);
    nb_status status = make_vars(t, vars, messages, tools, extra, add_generation_prompt, err);
    if (!status) status = jinja_render(use, vars, NULL, text, len, err);
    cJSON_Delete(vars);
    return status;
}
