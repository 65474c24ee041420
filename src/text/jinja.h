/* SPDX-License-Identifier: Apache-2.0
 *
 * A Jinja interpreter for chat templates: what jinja2's immutable sandbox does as transformers sets it up (trim_blocks,
 * lstrip_blocks, loop controls, tojson, strftime_now, raise_exception, {% generation %}). A template is data from the
 * internet, so every rendering runs under limits; it can neither hang nor exhaust the process. */
#ifndef NB_TEXT_JINJA_H
#define NB_TEXT_JINJA_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "base/status.h"

typedef struct jinja jinja; /* a compiled template: immutable, may be rendered by several threads at once */

/* Compiles source[0..n) (UTF-8). `name` stands in errors, which are NB_ERR_FORMAT "<name>: line 3: ..." (or
 * NB_ERR_LIMIT, NB_ERR_NO_MEMORY). Free with jinja_free. */
nb_status jinja_compile(const char *source, size_t n, const char *name, jinja **out, nb_error *err);
void jinja_free(jinja *t);

/* 0 = the default: 50 million steps (a second or two), 200 levels of nesting, 16 MB of output, 256 MB of memory. */
typedef struct jinja_limits {
    size_t max_steps, max_depth, max_output, max_memory;
} jinja_limits;

/* Renders with the members of the JSON object `vars` as variables. *text is malloc'ed and NUL-terminated (*len bytes
 * before that). NB_ERR_TEMPLATE: the template called raise_exception, the text is its own message. NB_ERR_LIMIT: it
 * ran into a limit. Anything else that jinja2 would raise is NB_ERR_FORMAT with the line number.
 *
 * JSON numbers: cJSON keeps no difference between 1 and 1.0; whole numbers up to 2^53 become ints, all others floats,
 * unless the tree comes from jinja_json_parse, which keeps it. */
nb_status jinja_render(const jinja *t, const cJSON *vars, const jinja_limits *limits, char **text, size_t *len,
                       nb_error *err);

/* json_parse for variables: numbers whose spelling says more than cJSON's double does ("1.0", 2^60 + 1) keep the
 * spelling in `valuestring`, where jinja_render looks for it. cJSON_Delete frees the tree as always. */
nb_status jinja_json_parse(const char *text, size_t n, const char *name, cJSON **out, nb_error *err);

#endif
