/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer behind a pipe, for tools/check_tokenizers.py and bench/tokenizer.py. Built by hand, after nibble was
 * built in BUILD:
 *   cc -O2 -Iinclude -Isrc tests/tools/tok_run.c BUILD/CMakeFiles/nibble_objects.dir/src/text/tok_*.o
 *      BUILD/CMakeFiles/nibble_objects.dir/src/base/[a-z]*.o -lcjson -lpcre2-8 -lutf8proc -lm -lpthread -o tok_run
 * usage: tok_run MODEL_FOLDER
 *
 * Requests on stdin: a letter, a little-endian 32-bit length, so many bytes. E: encode the text with what the
 * post-processor adds, e: without; D, d: decode 32-bit ids without special tokens, with them; S, s: the same token by
 * token; T: encode each of the texts that NUL bytes divide and tell the processor's seconds; N: the number of ids; L:
 * load the folder once more and tell the seconds. Answers on stdout: a status byte (0: fine, else the error's text
 * follows), a length, so many bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "text/tokenizer.h"

/* Seconds of this process on a processor: what else runs on the machine counts little. */
static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void answer(int status, const void *bytes, size_t n) {
    uint32_t length = (uint32_t)n;
    putchar(status);
    fwrite(&length, sizeof length, 1, stdout);
    if (n) fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

static nb_status stream(const tokenizer *t, const int32_t *ids, size_t n, bool skip, buf *out, nb_error *err) {
    tok_stream *s = NULL;
    nb_status status = tok_stream_new(t, skip, &s, err);
    for (size_t i = 0; i <= n && !status; i++) {
        const char *piece = i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s);
        if (piece)
            buf_put(out, piece, tok_stream_length(s));
        else
            status = err_no_memory(err, "a stream", n);
    }
    tok_stream_free(s);
    return status;
}

static nb_status encode_all(const tokenizer *t, const char *text, size_t n, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < n && !status;) {
        const char *end = memchr(text + i, 0, n - i);
        size_t length = end ? (size_t)(end - text) - i : n - i, count;
        int32_t *ids = NULL;
        status = tok_encode(t, text + i, length, false, &ids, &count, err);
        free(ids);
        i += length + 1;
    }
    return status;
}

static void serve(const tokenizer *t, const char *dir, int letter, const char *data, size_t n) {
    nb_error err = {0};
    nb_status status = NB_OK;
    buf out = {0};
    int32_t *ids = NULL, count = tok_count(t);
    char *text = NULL;
    size_t length = 0;
    double start = cpu_now();
    const int32_t *in = (const int32_t *)(const void *)data;
    if (letter == 'E' || letter == 'e') {
        status = tok_encode(t, data, n, letter == 'E', &ids, &length, &err);
        if (!status) buf_put(&out, ids, length * sizeof *ids);
    } else if (letter == 'D' || letter == 'd') {
        status = tok_decode(t, in, n / 4, letter == 'D', &text, &length, &err);
        if (!status) buf_put(&out, text, length);
    } else if (letter == 'S' || letter == 's') {
        status = stream(t, in, n / 4, letter == 'S', &out, &err);
    } else if (letter == 'T') {
        status = encode_all(t, data, n, &err);
        buf_printf(&out, "%.9f", cpu_now() - start);
    } else if (letter == 'L') {
        tokenizer *again = NULL;
        status = tok_load(dir, &again, &err);
        buf_printf(&out, "%.9f", cpu_now() - start);
        tok_free(again);
    } else {
        buf_put(&out, &count, sizeof count);
    }
    if (status)
        answer(1, err.text, strlen(err.text));
    else
        answer(0, out.data, out.len);
    free(ids);
    free(text);
    buf_free(&out);
}

int main(int argc, char **argv) {
    nb_error err = {0};
    tokenizer *t = NULL;
    if (argc != 2) return 2;
    if (tok_load(argv[1], &t, &err)) {
        fprintf(stderr, "%s: %s\n", nb_status_name(err.status), err.text);
        return 1;
    }
    uint32_t length;
    for (int letter; (letter = getchar()) != EOF && fread(&length, sizeof length, 1, stdin) == 1;) {
        char *data = malloc((size_t)length + 1);
        if (!data || fread(data, 1, length, stdin) != length) return 1;
        serve(t, argv[1], letter, data, length);
        free(data);
    }
    tok_free(t);
    return 0;
}
