/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's chat template: where it lies in a model directory, and the variables that transformers'
 * apply_chat_template gives it. */
#ifndef NB_TEXT_CHAT_H
#define NB_TEXT_CHAT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct chat_template chat_template; /* immutable, may be rendered by several threads at once */

/* Finds DIR/chat_template.jinja, else DIR/chat_template.json, else "chat_template" of DIR/tokenizer_config.json: a
 * text, or a list of {name, template}, where "default" counts and "tool_use" is taken when tools are given (as is
 * DIR/additional_chat_templates/tool_use.jinja). NB_OK with *out NULL when the model has none. A template that does
 * not compile is NB_ERR_FORMAT with its line. Free with chat_template_free. */
nb_status chat_template_load(const char *dir, chat_template **out, nb_error *err);
void chat_template_free(chat_template *t);

/* The template's source (of "default" where there are several); lives as long as t. */
const char *chat_template_source(const chat_template *t);

/* The source of the template that is used with tools. */
const char *chat_template_tool_source(const chat_template *t);

/* tokenizer_config.json's "tool_parser_type"; NULL when it has none. Lives as long as t. */
const char *chat_template_tool_parser(const chat_template *t);

/* messages: a JSON array of objects; tools: a JSON array or NULL (None); extra: a JSON object of further variables
 * (enable_thinking, documents, ...) or NULL; they win over the model's special tokens. *text is malloc'ed and
 * NUL-terminated. Errors as jinja_render's. A message's reasoning is offered under the names reasoning_content and
 * thinking, whichever of reasoning_content, thinking, reasoning it came under. */
nb_status chat_template_render(const chat_template *t, const cJSON *messages, const cJSON *tools, const cJSON *extra,
                               bool add_generation_prompt, char **text, size_t *len, nb_error *err);

#endif
