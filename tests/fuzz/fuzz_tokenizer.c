/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a tokenizer.json, and behind the first NUL byte as a text for it: what loads must encode, decode and
 * stream without harm, ids stay in range and texts are valid UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tok_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n_json = zero ? (size_t)(zero - data) : size;
    const char *text = zero ? (const char *)zero + 1 : "ab a  <s>\xc3\xa9\xff";
    size_t n_text = zero ? size - n_json - 1 : strlen(text);
    tokenizer *t = NULL;
    nb_error err;
    if (tok_from_json((const char *)data, n_json, "tokenizer.json", &t, &err)) return 0;
    exercise(t, text, n_text);
    tok_free(t);
    return 0;
}
