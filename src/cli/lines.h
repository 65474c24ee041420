/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines that a person types: with editing and a history kept in a file when stdin is a terminal, else just lines. */
#ifndef NB_CLI_LINES_H
#define NB_CLI_LINES_H

#include "cli/cli.h"

typedef struct lines lines;
typedef enum line_result { LINE_OK, LINE_END, LINE_INTERRUPTED } line_result;

/* history_path may be NULL: then nothing is kept. */
nb_status lines_open(const char *history_path, lines **out, nb_error *err);
void lines_close(lines *l);
bool lines_interactive(const lines *l);
/* *text is the line without its newline, valid until the next call. The prompt shows on terminals only. */
line_result lines_read(lines *l, const char *prompt, const char **text);
/* Puts a line into the history. */
void lines_remember(lines *l, const char *text);

#endif
