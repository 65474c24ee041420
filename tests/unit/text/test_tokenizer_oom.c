/* SPDX-License-Identifier: Apache-2.0
 *
 * Every allocation of loading, encoding, decoding and streaming fails once: each time the answer is "no memory", and
 * nothing leaks or crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "support/oom/fail_alloc.h"
#include "support/tok_golden.h"

typedef struct work {
    const char *json;
    buf text;
    tokenizer *t;
} work;

static nb_status load(void *user, nb_error *err) {
    work *w = user;
    tokenizer *t = NULL;
    nb_status status = tok_from_json(w->json, strlen(w->json), "t.json", &t, err);
    tok_free(t);
    return status;
}

static nb_status stream(const tokenizer *t, const int32_t *ids, size_t n, nb_error *err) {
    tok_stream *s = NULL;
    nb_status status = tok_stream_new(t, true, &s, err);
    for (size_t i = 0; i <= n && !status; i++)
        if (!(i < n ? tok_stream_put(s, ids[i]) : tok_stream_finish(s)))
            status = err_set(err, NB_ERR_NO_MEMORY, "the stream ran out of memory");
    tok_stream_free(s);
    return status;
}

static nb_status there_and_back(void *user, nb_error *err) {
    work *w = user;
    int32_t *ids = NULL;
    char *back = NULL;
    size_t n, len;
    nb_status status = tok_encode(w->t, w->text.data, w->text.len, true, &ids, &n, err);
    if (!status) status = tok_decode(w->t, ids, n, false, &back, &len, err);
    if (!status) status = stream(w->t, ids, n, err);
    free(ids);
    free(back);
    return status;
}

static void every_allocation(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "qwen2", "llama2", "kimi", "flags-normalized", "two-posts", "unfused"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        work w = {0};
        char *json = tok_golden_json(names[i]);
        w.json = json;
        assert_true(fail_each_allocation(load, &w, 200) > 5);
        w.t = tok_golden_load(names[i]);
        for (int k = 0; k < 20; k++)
            buf_puts(&w.text, "The word caf\xc3\xa9 e\xcc\x81 <s> 12 \xe6\x97\xa5\xf0\x9f\x98\x80 [B] \xff");
        assert_true(fail_each_allocation(there_and_back, &w, 200) > 5);
        buf_free(&w.text);
        tok_free(w.t);
        free(json);
    }
}

static nb_status load_folder(void *user, nb_error *err) {
    tokenizer *t = NULL;
    nb_status status = tok_load(user, &t, err);
    tok_free(t);
    return status;
}

static void every_allocation_of_older_kinds(void **state) {
    (void)state;
    static const char *const names[] = {"sp-rules", "sp-llama", "ranks-glm", "ranks-kimi"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/tokenizer/old/%s", getenv("NB_TEST_DATA"), names[i]);
        assert_true(fail_each_allocation(load_folder, path, 200) > 5);
        work w = {0};
        assert_int_equal(tok_load(path, &w.t, NULL), NB_OK);
        for (int k = 0; k < 20; k++) buf_puts(&w.text, "The word caf\xc3\xa9 <s> 12 \xe6\x97\xa5 [INST] \xff");
        assert_true(fail_each_allocation(there_and_back, &w, 200) > 5);
        buf_free(&w.text);
        tok_free(w.t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation),
                                       cmocka_unit_test(every_allocation_of_older_kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
