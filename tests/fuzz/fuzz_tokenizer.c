/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a tokenizer.json, and behind the first NUL byte as a text for it: what loads must encode, decode and
 * stream without harm, ids stay in range and texts are valid UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stream(const tokenizer *t, const int32_t *ids, size_t n) {
    tok_stream *s;
    if (tok_stream_new(t, true, &s, NULL)) return;
    for (size_t i = 0; i <= n; i++) {
        const char *text = i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s);
        if (text && !utf8_valid(text, tok_stream_length(s))) __builtin_trap();
    }
    tok_stream_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n_json = zero ? (size_t)(zero - data) : size;
    const char *text = zero ? (const char *)zero + 1 : "ab a  <s>\xc3\xa9\xff";
    size_t n_text = zero ? size - n_json - 1 : strlen(text);
    tokenizer *t = NULL;
    nb_error err;
    if (tok_from_json((const char *)data, n_json, "tokenizer.json", &t, &err)) return 0;
    int32_t *ids = NULL, bytes[256];
    size_t n = 0, len;
    char *back = NULL;
    if (tok_encode(t, text, n_text, true, &ids, &n, &err) == NB_OK) {
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || ids[i] >= tok_count(t) || !tok_text(t, ids[i])) __builtin_trap();
        stream(t, ids, n);
        if (tok_decode(t, ids, n, false, &back, &len, &err) == NB_OK && !utf8_valid(back, len)) __builtin_trap();
        free(back);
        free(ids);
    }
    size_t n_bytes = n_text < 256 ? n_text : 256; /* and the text's bytes as ids */
    for (size_t i = 0; i < n_bytes; i++) bytes[i] = (uint8_t)text[i];
    stream(t, bytes, n_bytes);
    back = NULL;
    if (tok_decode(t, bytes, n_bytes, true, &back, &len, &err) == NB_OK && !utf8_valid(back, len)) __builtin_trap();
    free(back);
    tok_free(t);
    return 0;
}
