/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizers of tests/data/tokenizer against what Hugging Face's `tokenizers` made of the same texts: every kind
 * of normalizer, pre-tokenizer, post-processor, decoder and added token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>

#include "support/tok_golden.h"

static int only_json(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".json") == 0;
}

static void goldens(void **state) {
    (void)state;
    char dir[1024];
    struct dirent **files;
    snprintf(dir, sizeof dir, "%s/tokenizer", getenv("NB_TEST_DATA") ? getenv("NB_TEST_DATA") : "");
    int n = scandir(dir, &files, only_json, alphasort);
    assert_true(n >= 50);
    for (int i = 0; i < n; i++) {
        *strrchr(files[i]->d_name, '.') = 0;
        tokenizer *t = tok_golden_load(files[i]->d_name);
        assert_true(tok_golden_check(t, files[i]->d_name) >= 240);
        tok_free(t);
        free(files[i]);
    }
    free(files);
}

static void vocabulary(void **state) {
    (void)state;
    tokenizer *t = tok_golden_load("gemma");
    assert_int_equal(tok_id(t, "<s>"), 1);
    assert_string_equal(tok_text(t, 1), "<s>");
    assert_true(tok_is_special(t, 1));
    assert_false(tok_is_special(t, tok_id(t, "<0x41>")));
    assert_int_equal(tok_id(t, "no such token"), -1);
    int32_t added = tok_id(t, "\n\n");
    assert_true(added >= 0 && added < tok_count(t));
    assert_false(tok_is_special(t, added));
    assert_null(tok_text(t, tok_count(t)));
    assert_null(tok_text(t, -1));
    assert_false(tok_is_special(t, -1));
    assert_false(tok_is_special(t, INT32_MAX));
    tok_free(t);
}

static void ids_outside_are_left_out(void **state) {
    (void)state;
    tokenizer *t = tok_golden_load("gpt2");
    int32_t ids[] = {-1, tok_id(t, "a"), INT32_MAX, INT32_MIN, tok_count(t), tok_id(t, "b")};
    char *text;
    size_t len;
    assert_int_equal(tok_decode(t, ids, 6, false, &text, &len, NULL), NB_OK);
    assert_string_equal(text, "ab");
    free(text);
    assert_int_equal(tok_decode(t, ids, 0, false, &text, NULL, NULL), NB_OK);
    assert_string_equal(text, "");
    free(text);
    tok_free(t);
}

static void invalid_utf8_is_replaced(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *same_as;
    } pairs[] = {{"a\xff"
                  "b",
                  "a\xef\xbf\xbd"
                  "b"},
                 {"\xe2\x82", "\xef\xbf\xbd"},
                 {"\xe2\x82x", "\xef\xbf\xbdx"},
                 {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf0\x9f\x98", "\xef\xbf\xbd"}};
    tokenizer *t = tok_golden_load("gpt2");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int32_t *a, *b;
        size_t n_a, n_b;
        assert_int_equal(tok_encode(t, pairs[i].bytes, strlen(pairs[i].bytes), true, &a, &n_a, NULL), NB_OK);
        assert_int_equal(tok_encode(t, pairs[i].same_as, strlen(pairs[i].same_as), true, &b, &n_b, NULL), NB_OK);
        assert_int_equal(n_a, n_b);
        assert_memory_equal(a, b, n_a * sizeof *a);
        free(a);
        free(b);
    }
    tok_free(t);
}

/* Characters come out whole, as soon as they are whole, and the stream can be used again. */
static void streaming(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "gemma"};
    static const char text[] = "\xf0\x9f\xa7\x91\xf0\x9f\xa5\xa8"; /* no token has more than a byte of these */
    for (int k = 0; k < 2; k++) {
        tokenizer *t = tok_golden_load(names[k]);
        tok_stream *s;
        int32_t *ids;
        size_t n, pieces = 0;
        assert_int_equal(tok_encode(t, text, strlen(text), false, &ids, &n, NULL), NB_OK);
        assert_int_equal(tok_stream_new(t, true, &s, NULL), NB_OK);
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < n; i++) pieces += strlen(tok_stream_put(s, ids[i])) == 4;
            assert_int_equal(pieces, 2 * (round + 1));
            assert_string_equal(tok_stream_finish(s), "");
            assert_int_equal(tok_stream_length(s), 0);
        }
        assert_string_equal(tok_stream_put(s, ids[0]), "");
        assert_string_equal(tok_stream_finish(s), "\xef\xbf\xbd");
        assert_string_equal(tok_stream_put(s, -5), "");
        free(ids);
        tok_stream_free(s);
        tok_free(t);
    }
    tok_stream_free(NULL);
}

/* Marks of tool calls are special tokens of some models; a stream shows those that it is told to keep. */
static void kept_special_tokens(void **state) {
    (void)state;
    tokenizer *t = tok_golden_load("gemma");
    int32_t kept = tok_id(t, "<s>"), other = -1;
    for (int32_t id = 0; id < tok_count(t); id++)
        if (id != kept && tok_is_special(t, id)) other = id;
    assert_true(kept >= 0 && other >= 0);
    tok_stream *s;
    assert_int_equal(tok_stream_new(t, true, &s, NULL), NB_OK);
    assert_string_equal(tok_stream_put(s, kept), "");
    tok_stream_keep(s, &kept, 1);
    assert_string_equal(tok_stream_put(s, kept), "<s>");
    assert_string_equal(tok_stream_put(s, other), "");
    assert_string_equal(tok_stream_finish(s), "");
    tok_stream_free(s);
    tok_free(t);
}

/* One piece without any cut (no pre-tokenizer), long enough for the heap, equals itself cut by hand. */
static void long_words(void **state) {
    (void)state;
    tokenizer *t = tok_golden_load("llama2");
    size_t n = 200000, n_ids, len;
    char *text = malloc(n + 1), *back;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = "the quick brown fox, jumps over 123 "[i % 36];
    text[n] = 0;
    int32_t *ids;
    assert_int_equal(tok_encode(t, text, n, true, &ids, &n_ids, NULL), NB_OK);
    assert_true(n_ids > 1000 && n_ids < n);
    assert_int_equal(tok_decode(t, ids, n_ids, true, &back, &len, NULL), NB_OK);
    assert_int_equal(len, n);
    assert_string_equal(back, text);
    free(ids);
    free(text);
    free(back);
    tok_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(vocabulary),
        cmocka_unit_test(ids_outside_are_left_out),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(streaming),
        cmocka_unit_test(kept_special_tokens),
        cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
