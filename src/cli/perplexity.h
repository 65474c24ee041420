/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring the perplexity of a text, for `nibble perplexity` and the report of `nibble quantize`. */
#ifndef NB_CLI_PERPLEXITY_H
#define NB_CLI_PERPLEXITY_H

#include "cli/args.h"

typedef struct perplexity_args {
    int64_t sequence_length, n_sequences; /* n_sequences 0: all */
    bool json;
    context_args context;
} perplexity_args;

/* Sums over the losses -ln p of the tokens. */
typedef struct losses {
    double sum, squares;
    int64_t n;
} losses;

/* Adds the losses of the text in `file` ("-": standard input) to *l. */
nb_status perplexity_measure(nb_model *model, const perplexity_args *a, const char *file, losses *l, nb_error *err);
/* On standard output, with a newline. */
void perplexity_print(const losses *l, bool json);

#endif
