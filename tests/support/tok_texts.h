/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts to try tokenizers on, made from a seed: the same ones as tools/tokenizer_texts.py makes. */
#ifndef NB_TESTS_TOK_TEXTS_H
#define NB_TESTS_TOK_TEXTS_H

#include <stdint.h>

#include "base/buf.h"

typedef struct tok_texts tok_texts;

/* Reads the written texts, the lines of PATH with \\ \n \r \xHH escapes. Fails the running test when it cannot. */
tok_texts *tok_texts_open(const char *path);
void tok_texts_free(tok_texts *t);
/* Puts the text of this seed into `out`. */
void tok_texts_make(const tok_texts *t, uint64_t seed, buf *out);
/* Puts the k-th long text, so many repetitions of a character or two; false when there is none. */
bool tok_texts_long(size_t k, size_t repetitions, buf *out);

#endif
