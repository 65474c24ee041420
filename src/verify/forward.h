/* SPDX-License-Identifier: Apache-2.0
 *
 * A sequence on an executor, without the engine: what the levels paths, plan and answer run a model with. */
#ifndef NB_VERIFY_FORWARD_H
#define NB_VERIFY_FORWARD_H

#include "plan/backend.h"

enum { FORWARD_SEQUENCES = 2, FORWARD_TOKENS = 512 }; /* of each sequence, at most */

typedef struct forward {
    device *device;
    executor *executor;
    int32_t pages[FORWARD_SEQUENCES][FORWARD_TOKENS / KV_PAGE_SIZE];
    int64_t n_tokens[FORWARD_SEQUENCES]; /* so far */
} forward;

/* The device stays the caller's. options: threads, batch, type of the KV cache. */
nb_status forward_new(const backend *b, device *d, const plan *p, const weights *files, const executor_options *options,
                      forward *out, nb_error *err);
void forward_free(forward *f);

/* n tokens more of each of n_sequences sequences, in one batch: tokens [n_sequences, n]. *logits: of the last n_outputs
 * tokens of each, [n_sequences, n_outputs, vocab_size], until the next run. */
nb_status forward_run(forward *f, int64_t n_sequences, const int32_t *tokens, int64_t n, int64_t n_outputs,
                      const float **logits, nb_error *err);

/* The token of the largest of n logits, of equal ones the first. */
int32_t forward_most_likely(const float *logits, int64_t n);

#endif
