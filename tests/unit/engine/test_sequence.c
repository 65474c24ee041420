/* SPDX-License-Identifier: Apache-2.0
 *
 * Sequences on one of the small models: limits are found before anything runs, a failed call leaves everything as it
 * was, pages come back, a fork that writes into a shared page does not disturb the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"

enum { CONTEXT = 3 * KV_PAGE_SIZE };

static nb_model *model;

static nb_context *new_context(int64_t n_sequences, int64_t kv_tokens) {
    nb_context_options o = {
        .n_threads = 1, .context_length = CONTEXT, .n_batch = 50, .n_sequences = n_sequences, .kv_tokens = kv_tokens};
    nb_context *c;
    nb_error err;
    if (nb_context_new(model, &o, &c, &err)) fail_msg("%s", err.text);
    return c;
}

static nb_sequence *new_sequence(nb_context *c) {
    nb_sequence *s;
    nb_error err;
    if (nb_sequence_new(c, &s, &err)) fail_msg("%s", err.text);
    return s;
}

/* Puts n made-up tokens in, different ones for each salt; keeps the last logits if asked. */
static nb_status put(nb_sequence *s, int64_t n, int salt, float *logits, nb_error *err) {
    int32_t tokens[2 * CONTEXT];
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((nb_sequence_length(s) + i) * 7 + salt) % (int32_t)model->dims.vocab_size;
    nb_batch_item item = {.sequence = s, .tokens = tokens, .n_tokens = n, .logits = logits, .n_logits = logits ? 1 : 0};
    return nb_forward(s->context, &item, 1, err);
}

static void test_limits(void **state) {
    (void)state;
    nb_context *c = new_context(2, 0);
    nb_sequence *a = new_sequence(c), *b = new_sequence(c), *none;
    nb_error err;
    assert_int_equal(nb_sequence_new(c, &none, &err), NB_ERR_LIMIT);
    assert_null(none);
    assert_int_equal(put(a, CONTEXT + 1, 0, NULL, &err), NB_ERR_LIMIT);
    assert_non_null(strstr(err.text, "context of 192"));
    assert_int_equal(nb_sequence_length(a), 0);
    assert_int_equal(put(a, CONTEXT, 0, NULL, &err), NB_OK);
    assert_int_equal(put(a, 1, 0, NULL, &err), NB_ERR_LIMIT);
    assert_int_equal(nb_sequence_length(a), CONTEXT);
    /* one item too long: the other does not advance either */
    int32_t token = 1, bad = (int32_t)model->dims.vocab_size;
    nb_batch_item items[2] = {{.sequence = b, .tokens = &token, .n_tokens = 1},
                              {.sequence = a, .tokens = &token, .n_tokens = 1}};
    assert_int_equal(nb_forward(c, items, 2, &err), NB_ERR_LIMIT);
    assert_int_equal(nb_sequence_length(b), 0);
    items[0].tokens = &bad;
    assert_int_equal(nb_forward(c, items, 1, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "vocabulary"));
    items[0].tokens = &token;
    items[1] = items[0];
    assert_int_equal(nb_forward(c, items, 2, &err), NB_ERR_ARGUMENT); /* twice the same sequence */
    nb_context_free(c);
}

static void test_pages_come_back(void **state) {
    (void)state;
    nb_context *c = new_context(2, CONTEXT);
    const int32_t all = c->pages.n_free;
    nb_sequence *a = new_sequence(c), *b = new_sequence(c);
    nb_error err;
    assert_int_equal(put(a, CONTEXT, 0, NULL, &err), NB_OK);
    /* the cache holds CONTEXT tokens and a page for each sequence's rest */
    assert_int_equal(put(b, CONTEXT, 0, NULL, &err), NB_ERR_LIMIT);
    assert_non_null(strstr(err.text, "KV cache is full"));
    assert_int_equal(nb_sequence_length(b), 0);
    assert_int_equal(nb_sequence_truncate(a, KV_PAGE_SIZE + 1, &err), NB_OK);
    assert_int_equal(c->pages.n_free, all - 2);
    assert_int_equal(put(b, CONTEXT, 0, NULL, &err), NB_OK);
    assert_int_equal(nb_sequence_truncate(a, KV_PAGE_SIZE + 2, &err), NB_ERR_ARGUMENT);
    nb_sequence_free(a);
    nb_sequence_free(b);
    assert_int_equal(c->pages.n_free, all);
    for (int32_t i = 0; i < c->pages.n_pages; i++) assert_int_equal(c->pages.references[i], 0);
    nb_context_free(c);
}

static void test_fork_writes_its_own(void **state) {
    (void)state;
    nb_context *c = new_context(3, 0);
    const size_t bytes = (size_t)model->dims.vocab_size * sizeof(float);
    float *alone = malloc(bytes), *again = malloc(bytes), *forked = malloc(bytes);
    nb_error err;
    const int64_t shared = KV_PAGE_SIZE + 10; /* ends inside of the second page */
    nb_sequence *a = new_sequence(c), *fork, *late;
    assert_int_equal(put(a, shared, 0, NULL, &err), NB_OK);
    assert_int_equal(nb_sequence_fork(a, shared, &fork, &err), NB_OK);
    assert_int_equal(a->pages[1], fork->pages[1]);
    assert_int_equal(put(fork, 5, 3, forked, &err), NB_OK); /* writes into the shared page: gets a copy */
    assert_int_equal(a->pages[0], fork->pages[0]);
    assert_int_not_equal(a->pages[1], fork->pages[1]);
    assert_int_equal(put(a, 5, 0, alone, &err), NB_OK);
    /* a without a fork ever having been */
    nb_sequence *fresh = new_sequence(c);
    assert_int_equal(put(fresh, shared, 0, NULL, &err), NB_OK);
    assert_int_equal(put(fresh, 5, 0, again, &err), NB_OK);
    assert_memory_equal(alone, again, bytes);
    nb_sequence_free(fresh);
    /* a fork in the middle of what is there, then other tokens */
    assert_int_equal(nb_sequence_fork(a, 20, &late, &err), NB_OK);
    assert_int_equal(nb_sequence_length(late), 20);
    assert_int_equal(put(late, 3, 5, NULL, &err), NB_OK);
    assert_int_equal(nb_sequence_truncate(a, shared, &err), NB_OK);
    assert_int_equal(put(a, 5, 0, again, &err), NB_OK);
    assert_memory_equal(alone, again, bytes);
    assert_int_equal(nb_sequence_fork(a, shared + 6, &fresh, &err), NB_ERR_ARGUMENT);
    free(alone);
    free(again);
    free(forked);
    nb_context_free(c);
}

static void test_bad_options(void **state) {
    (void)state;
    nb_context *c;
    nb_error err;
    struct {
        nb_context_options o;
        const char *text;
    } cases[] = {{{.context_length = 1 << 20}, "context length"},
                 {{.context_length = -1}, "context length"},
                 {{.n_batch = -5}, "batch size"},
                 {{.n_sequences = 1 << 20}, "number of sequences"},
                 {{.n_threads = -1}, "threads"},
                 {{.cpu = "z80"}, "z80"},
                 {{.kv_tokens = -7}, "KV cache"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(nb_context_new(model, &cases[i].o, &c, &err), NB_ERR_ARGUMENT);
        assert_null(c);
        if (!strstr(err.text, cases[i].text)) fail_msg("case %zu: %s", i, err.text);
    }
}

/* The same answer and the same logits for every number of threads and every KV type's own rounding. */
static void test_threads(void **state) {
    (void)state;
    const size_t bytes = (size_t)model->dims.vocab_size * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    nb_error err;
    for (int kv = NB_KV_F32; kv <= NB_KV_BF16; kv++) {
        for (int threads = 1; threads <= 4; threads++) {
            nb_context_options o = {.n_threads = threads, .context_length = CONTEXT, .kv_type = (nb_kv_type)kv};
            nb_context *c;
            assert_int_equal(nb_context_new(model, &o, &c, &err), NB_OK);
            assert_int_equal(put(new_sequence(c), 100, 1, threads == 1 ? want : got, &err), NB_OK);
            if (threads > 1) assert_memory_equal(want, got, bytes);
            nb_context_free(c);
        }
    }
    free(want);
    free(got);
}

int main(void) {
    char path[1024];
    nb_error err;
    const char *data = getenv("NB_TEST_DATA");
    snprintf(path, sizeof path, "%s/models/qwen3-q4-g64-bf16", data ? data : "");
    if (nb_model_open(path, &model, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_pages_come_back),
        cmocka_unit_test(test_fork_writes_its_own),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_threads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nb_model_free(model);
    return failed;
}
