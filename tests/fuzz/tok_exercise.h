/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tokenizer that a fuzzer made must stand: encode, decode and stream without harm; ids stay in range and texts
 * are valid UTF-8. */
#ifndef NB_FUZZ_TOK_EXERCISE_H
#define NB_FUZZ_TOK_EXERCISE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

static void stream(const tokenizer *t, const int32_t *ids, size_t n) {
    tok_stream *s;
    if (tok_stream_new(t, true, &s, NULL)) return;
    for (size_t i = 0; i <= n; i++) {
        const char *text = i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s);
        if (text && !utf8_valid(text, tok_stream_length(s))) __builtin_trap();
    }
    tok_stream_free(s);
}

static void exercise(const tokenizer *t, const char *text, size_t n_text) {
    nb_error err;
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
}

#endif
