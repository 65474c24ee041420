/* SPDX-License-Identifier: Apache-2.0
 *
 * A thousand made-up texts and some long ones for each tokenizer of tests/data/tokenizer, those of tokenizer.json and
 * the older kinds: ids, decoded and streamed text must have the digests that the packages which define them gave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>

#include "base/file.h"
#include "support/tok_golden.h"
#include "support/tok_texts.h"

enum { TEXTS = 1000, GROUP = 50, REPETITIONS = 2000 };

static void data_path(char *out, size_t size, const char *name) {
    const char *root = getenv("NB_TEST_DATA");
    if (!root) fail_msg("NB_TEST_DATA is not set");
    int n = snprintf(out, size, "%s/tokenizer/%s", root, name);
    assert_true(n > 0 && (size_t)n < size);
}

static void digest(uint64_t *h, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) *h = (*h ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
}

/* What the stream gives must be the decoded text, unless that has replaced bytes. */
static void check_stream(const tokenizer *t, const int32_t *ids, size_t n, const char *text, size_t len) {
    tok_stream *s = NULL;
    buf all = {0};
    if (strstr(text, "\xef\xbf\xbd")) return;
    assert_int_equal(tok_stream_new(t, true, &s, NULL), NB_OK);
    for (size_t i = 0; i <= n; i++) {
        const char *piece = i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s);
        assert_non_null(piece);
        buf_put(&all, piece, tok_stream_length(s));
    }
    tok_stream_free(s);
    assert_int_equal(all.len, len);
    if (len) assert_memory_equal(all.data, text, len);
    buf_free(&all);
}

static void add_text(const tokenizer *t, const buf *text, uint64_t *h) {
    int32_t *ids = NULL;
    char *back = NULL;
    size_t n = 0, len = 0;
    nb_error err = {0};
    if (tok_encode(t, text->data ? text->data : "", text->len, true, &ids, &n, &err) ||
        tok_decode(t, ids, n, true, &back, &len, &err))
        fail_msg("%s", err.text);
    digest(h, ids, n * sizeof *ids);
    digest(h, "\xff", 1);
    digest(h, back, len);
    digest(h, "\xff", 1);
    check_stream(t, ids, n, back, len);
    free(ids);
    free(back);
}

/* Compares with NAME.digests. */
static void check(const tokenizer *t, const char *name) {
    char path[1024], file[1024];
    buf want = {0}, have = {0}, text = {0};
    nb_error err = {0};
    data_path(path, sizeof path, "texts.txt");
    tok_texts *texts = tok_texts_open(path);
    snprintf(file, sizeof file, "%s.digests", name);
    data_path(path, sizeof path, file);
    if (file_read(path, 1 << 16, &want, &err)) fail_msg("%s", err.text);
    uint64_t h = 0;
    bool more = true;
    for (size_t i = 0; more; i++) {
        if (i && i % GROUP == 0) buf_printf(&have, "%016llx\n", (unsigned long long)h);
        if (i % GROUP == 0) h = 0xcbf29ce484222325u;
        buf_clear(&text);
        if (i < TEXTS)
            tok_texts_make(texts, i, &text);
        else
            more = tok_texts_long(i - TEXTS, REPETITIONS, &text);
        if (more) add_text(t, &text, &h);
    }
    buf_printf(&have, "%016llx\n", (unsigned long long)h);
    if (strcmp(have.data, want.data) != 0) {
        size_t at = 0;
        while (have.data[at] == want.data[at]) at++;
        fail_msg("%s: texts from %zu on differ (tools/check_tokenizers.py shows how)", name, at / 17 * GROUP);
    }
    buf_free(&want);
    buf_free(&have);
    buf_free(&text);
    tok_texts_free(texts);
}

static int is_digests(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".digests") == 0;
}

static void each(const char *folder, int at_least, bool old) {
    char dir[1024];
    struct dirent **files;
    data_path(dir, sizeof dir, folder);
    int n = scandir(dir, &files, is_digests, alphasort);
    assert_true(n >= at_least);
    for (int i = 0; i < n; i++) {
        char name[512], path[2048];
        tokenizer *t = NULL;
        nb_error err = {0};
        *strrchr(files[i]->d_name, '.') = 0;
        snprintf(name, sizeof name, "%s%s", old ? "old/" : "", files[i]->d_name);
        snprintf(path, sizeof path, "%s/%s", dir, files[i]->d_name);
        if (!old)
            t = tok_golden_load(files[i]->d_name);
        else if (tok_load(path, &t, &err))
            fail_msg("%s", err.text);
        check(t, name);
        tok_free(t);
        free(files[i]);
    }
    free(files);
}

static void of_tokenizer_json(void **state) {
    (void)state;
    each("", 50, false);
}

static void of_older_kinds(void **state) {
    (void)state;
    each("old", 7, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_tokenizer_json),
        cmocka_unit_test(of_older_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
