/* SPDX-License-Identifier: Apache-2.0
 *
 * Reasoning and tool calls in answers: the formats, and the parser behind nb_parser. Formats are mlx-lm's tool parsers
 * by name and by the marks that it looks for, and gpt-oss's harmony channels. */
#ifndef NB_TEXT_TOOLCALL_H
#define NB_TEXT_TOOLCALL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct tc_format tc_format; /* a row of the table of formats */

typedef struct tc_reasoning {
    const char *open, *close;
    const char *tokens[2]; /* what a vocabulary or a template must hold for a model to have these marks */
} tc_reasoning;

/* By the name that mlx-lm gives it ("json_tools"); NULL when there is no such format. */
const tc_format *tc_format_named(const char *name);
/* By the marks that a chat template writes, in the table's order; NULL when it has none. */
const tc_format *tc_format_of_template(const char *source);
const char *tc_format_name(const tc_format *f);
/* The marks of format and reasoning, one after the other: false past the last. Either may be NULL. */
bool tc_mark(const tc_format *f, const tc_reasoning *r, size_t i, const char **mark);

/* The i-th pair of reasoning marks, in the order in which they are looked for; NULL past the last. */
const tc_reasoning *tc_reasoning_at(size_t i);

/* What a parser is made for. */
typedef struct tc_options {
    const tc_format *format;       /* NULL: no calls */
    const tc_reasoning *reasoning; /* NULL: none */
    cJSON *tools;                  /* NULL: calls are not looked for. The parser's from now on, also on failure */
    const char *prompt;            /* NULL: nothing is known of it */
} tc_options;

nb_status tc_parser_new(const tc_options *o, nb_parser **out, nb_error *err);
/* Bytes that no event has given yet, and whether they stand outside of any call: then they are the beginning of a mark.
 * For tests. */
size_t tc_parser_held(const nb_parser *p, const char **bytes, bool *outside);

#endif
