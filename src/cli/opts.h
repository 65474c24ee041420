/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of a subcommand as a table: it is parsed, printed by --help and read by the shell completion. */
#ifndef NB_CLI_OPTS_H
#define NB_CLI_OPTS_H

#include <stdint.h>

#include "cli/cli.h"

typedef enum opt_kind {
    OPT_TITLE,  /* no option: a heading in --help, in `help` */
    OPT_FLAG,   /* bool *to = true */
    OPT_INT,    /* int64_t *to, in [min, max] */
    OPT_REAL,   /* double *to, in [min, max] */
    OPT_SEED,   /* opt_seed *to */
    OPT_STRING, /* const char **to */
    OPT_LIST,   /* opt_list *to: may be given several times */
    OPT_CHOICE  /* int64_t *to: the place of the word in `value`, which is "f32|f16|bf16", counted from min */
} opt_kind;

typedef struct opt_seed {
    uint64_t value;
    bool given;
} opt_seed;

enum { OPT_LIST_MAX = 256 };
typedef struct opt_list {
    const char *items[OPT_LIST_MAX];
    size_t n;
} opt_list;

typedef struct opt {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    opt_kind kind;
    void *to;
    const char *value; /* what --help calls the value: "N" */
    const char *help;
    double min, max; /* OPT_INT, OPT_REAL; OPT_CHOICE: see there */
} opt;

#define OPT_COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Parses argv[1..argc) by the table; other words go to words[], of which there must be min_words to max_words (a word
 * "-" is one, and all that follows "--"). words[] past the last is NULL. Returns -1 to go on, else the exit code with
 * which to return: it was --help, or an error that has been printed. */
int opts_parse(const command *self, const opt *table, size_t n, int argc, char **argv, const char **words,
               int min_words, int max_words);

/* Wraps text to 80 columns; the first line starts at `column`, the others are indented to `indent`. */
void help_wrap(const char *text, int column, int indent);

#endif
