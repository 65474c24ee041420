/* SPDX-License-Identifier: Apache-2.0
 *
 * What the subcommands share: their description, exit codes, errors on stderr, input and output streams, signals.
 * A subcommand is one file that defines `const command cmd_NAME` and one line in main.c. */
#ifndef NB_CLI_CLI_H
#define NB_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"
#include "nibble.h"

enum cli_exit { CLI_OK = 0, CLI_FAILURE = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef struct command {
    const char *name;
    const char *usage;                                             /* "MODEL [PROMPT]" */
    const char *summary;                                           /* one line for the list of subcommands */
    const char *text;                                              /* what --help says before the options */
    int (*run)(const struct command *self, int argc, char **argv); /* argv[0] is the subcommand; returns a cli_exit */
} command;

/* ---- Errors: one line "nibble: TEXT" on stderr, whatever the text holds ---------------------------------------- */

int cli_fail(const char *format, ...) NB_PRINTF(1, 2);                          /* returns CLI_FAILURE */
int cli_usage(const char *subcommand, const char *format, ...) NB_PRINTF(2, 3); /* points to --help; CLI_USAGE */
int cli_error(const nb_error *err);                                             /* CLI_INTERRUPTED after Ctrl-C */
void cli_note(const char *format, ...) NB_PRINTF(1, 2);
/* Of `n` words the one that `word` was probably meant to be, or NULL. */
const char *cli_nearest(const char *word, const char *const *words, size_t n);

/* ---- Streams --------------------------------------------------------------------------------------------------- */

/* Exact bytes to stdout. False when they cannot be written; the exit code of out_finish then tells. */
bool out_write(const char *data, size_t n);
bool out_printf(const char *format, ...) NB_PRINTF(1, 2);
/* A model's text, shown at once; control characters that would steer a terminal are left out if stdout is one. */
bool out_text(const char *text, size_t n);
/* Flushes. `code`, or CLI_FAILURE if something was not written: silently when the reader has gone, else with a line. */
int out_finish(int code);

/* All of a file, a pipe or (for "-") stdin; NUL-terminated. `what` stands in errors: "--text-file". */
nb_status input_read(const char *path, size_t max_bytes, buf *out, nb_error *err);

/* ---- Ctrl-C ---------------------------------------------------------------------------------------------------- */

/* From now on SIGINT, SIGTERM and SIGHUP only set a flag; a second signal ends the program. */
void signals_install(void);
bool interrupted(void);
/* For chat: Ctrl-C may come as often as one likes, and each is forgotten (interrupted_clear) once it was obeyed.
 * Other signals are not: should_end tells of them. */
void signals_keep_running(void);
void interrupted_clear(void);
bool should_end(void);
/* A file or an empty directory that goes away with the program, however it ends (kill -9 apart). Removed in the
 * reverse order of their registration; false when there are too many or the path is too long. */
bool cleanup_add(const char *path);
void cleanup_run(void);

/* ---- Progress -------------------------------------------------------------------------------------------------- */

/* An nb_progress_fn (user is not used): draws a bar on stderr if that is a terminal and the stage has lasted for more
 * than a second. False after Ctrl-C. */
bool progress_show(void *user, const char *stage, double done, double total);
/* Takes the bar away; before anything else is written. */
void progress_clear(void);

#endif
