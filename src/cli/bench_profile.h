/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble bench --profile`: where the time of a pass goes, by step of the plan and by kernel. */
#ifndef NB_CLI_BENCH_PROFILE_H
#define NB_CLI_BENCH_PROFILE_H

#include "nibble.h"

/* Prints two tables: of a token in each of n_sequences sequences behind `depth` tokens, and of a prompt of n_prompt
 * tokens. The context's sequences are undefined afterwards. */
nb_status profile_print(nb_context *context, int64_t n_sequences, int64_t depth, int64_t n_prompt, nb_error *err);

#endif
