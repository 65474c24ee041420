/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's answer on its way to a person: what it says as it comes, what it thinks set apart or left out, a tool call
 * as one line of JSON. All of it is kept as a message for the next turn. */
#ifndef NB_CLI_REPLY_H
#define NB_CLI_REPLY_H

#include <cjson/cJSON.h>

#include "cli/args.h"

typedef struct reply_args {
    bool show, hide;
} reply_args;

/* clang-format off */
#define REPLY_OPTS(a) \
    {"show-reasoning", 0, OPT_FLAG, &(a).show, NULL, "print what the model thinks before it answers [on a terminal]", \
     0, 0}, \
    {"hide-reasoning", 0, OPT_FLAG, &(a).hide, NULL, "do not print it [not on a terminal]", 0, 0}
/* clang-format on */

typedef struct reply {
    nb_parser *parser;
    bool show, dim;    /* reasoning: printed at all; in another colour */
    bool thinking;     /* it is what was printed last */
    bool line_open;    /* what was printed last was no newline */
    bool ends_in_call; /* what was printed last is a call, with its newline */
    bool failed;       /* stdout does not take more */
    buf content, reasoning;
    cJSON *calls;     /* {"id", "type", "function": {"name", "arguments"}} each */
    nb_status status; /* of the parser */
    nb_error err;
} reply;

/* prompt: what the template made, which may open the reasoning already. */
nb_status reply_begin(reply *r, const reply_args *a, const nb_model *model, const template_args *t, const char *prompt,
                      nb_error *err);
/* on_text of nb_generate_options, with show_marks; user is the reply. */
bool reply_text(void *user, const char *text, size_t n);
/* The answer is at its end: prints what was held back, and a newline. */
nb_status reply_finish(reply *r, nb_error *err);
/* The answer as a message; the caller owns it. NULL: out of memory. */
cJSON *reply_message(const reply *r);
void reply_free(reply *r);

#endif
