/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads what tools/make_tokenizer_goldens.py wrote to tests/data/tokenizer/ and compares a tokenizer with it. */
#ifndef NB_TESTS_TOK_GOLDEN_H
#define NB_TESTS_TOK_GOLDEN_H

#include "text/tokenizer.h"

/* The tokenizer of NAME.json with its model put in. Fails the running test when it cannot be had. */
tokenizer *tok_golden_load(const char *name);
/* The same JSON as text, for free(). */
char *tok_golden_json(const char *name);
/* Compares ids, decoded texts and the stream with NAME.golden; returns the number of texts and id lists, fails the
 * running test at the first difference. */
int tok_golden_check(const tokenizer *t, const char *name);

#endif
