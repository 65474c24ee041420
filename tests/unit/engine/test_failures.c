/* SPDX-License-Identifier: Apache-2.0
 *
 * A GPU whose driver fails now and then: every call of a conversation of several sequences fails once, in turn. Who
 * asked is told; what was asked again gives the bits that it gives without a failure, and so does all that other
 * sequences ask, before and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "support/host_gpu.h"

enum { N_BATCH = 50, N_SEQUENCES = 3, LONG = KV_PAGE_SIZE + 20, MAX_ROWS = 16 };

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

/* ---- A conversation, in which whatever fails is asked again -------------------------------------------------------
 */

typedef struct record {
    float *rows;
    int64_t n, vocab;
    int n_failures;
} record;

/* Whether it is to be tried again. */
static bool failed(record *r, nb_status status, const nb_error *err) {
    if (!status) return false;
    if (!strstr(err->text, "was made to fail")) fail_msg("another error: %s", err->text);
    if (++r->n_failures > 1) fail_msg("failed twice: %s", err->text);
    return true;
}

static nb_sequence *new_sequence(nb_context *c, record *r) {
    nb_sequence *s;
    nb_error err;
    while (failed(r, nb_sequence_new(c, &s, &err), &err)) continue;
    return s;
}

static nb_sequence *new_fork(nb_sequence *from, int64_t n, record *r) {
    nb_sequence *s;
    nb_error err;
    while (failed(r, nb_sequence_fork(from, n, &s, &err), &err)) continue;
    return s;
}

static nb_batch_item item_of(nb_sequence *s, int32_t *tokens, int64_t n, int salt, record *r) {
    const int64_t have = nb_sequence_length(s);
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(((have + i) * 7 + (have + i) / 5 + 13 * salt) % s->context->model->dims.vocab_size);
    return (nb_batch_item){
        .sequence = s, .tokens = tokens, .n_tokens = n, .logits = r->rows + r->n++ * r->vocab, .n_logits = 1};
}

static void forward(nb_context *c, const nb_batch_item *items, size_t n, record *r) {
    nb_error err;
    int64_t before[N_SEQUENCES];
    for (size_t i = 0; i < n; i++) before[i] = nb_sequence_length(items[i].sequence);
    while (failed(r, nb_forward(c, items, n, &err), &err))
        for (size_t i = 0; i < n; i++) assert_int_equal(nb_sequence_length(items[i].sequence), before[i]);
}

static void put(nb_sequence *s, int64_t n, int salt, record *r) {
    int32_t tokens[LONG];
    const nb_batch_item item = item_of(s, tokens, n, salt, r);
    forward(s->context, &item, 1, r);
}

/* A token at a time, each drawn on the device. */
static void draw(nb_sequence *s, int n, record *r) {
    nb_sampling how;
    nb_sampler *sampler;
    nb_error err;
    int32_t token = 1;
    nb_sampling_defaults(&how);
    how.temperature = 0.9f;
    how.repetition_penalty = 1.1f;
    how.seed = 7;
    check_ok(nb_sampler_new(s->context->model, &how, &sampler, &err), &err, "a sampler");
    for (int i = 0; i < n; i++) {
        int32_t next;
        const nb_batch_item item = {.sequence = s, .tokens = &token, .n_tokens = 1, .sampler = sampler, .next = &next};
        forward(s->context, &item, 1, r);
        token = next;
        r->rows[r->n * r->vocab + i] = (float)token;
    }
    r->n++;
    nb_sampler_free(sampler);
}

static record converse(nb_context *c) {
    record r = {.vocab = c->model->dims.vocab_size};
    int32_t tokens[3][LONG];
    nb_error err;
    r.rows = calloc((size_t)(MAX_ROWS * r.vocab), sizeof *r.rows);
    assert_non_null(r.rows);
    nb_sequence *a = new_sequence(c, &r), *other = new_sequence(c, &r);
    put(a, LONG, 0, &r);
    put(other, 2, 4, &r);
    nb_sequence *b = new_fork(a, LONG - 3, &r); /* into a page that both have */
    put(b, 1, 1, &r);
    put(a, 1, 2, &r);
    nb_batch_item items[3] = {item_of(a, tokens[0], 3, 3, &r), item_of(other, tokens[1], 7, 4, &r),
                              item_of(b, tokens[2], 1, 5, &r)};
    forward(c, items, 3, &r);
    check_ok(nb_sequence_truncate(a, LONG / 2, &err), &err, "truncation");
    put(a, 4, 6, &r);
    draw(b, 3, &r);
    put(other, 1, 7, &r);
    nb_sequence_free(a);
    nb_sequence_free(b);
    nb_sequence_free(other);
    return r;
}

static void check_model(const char *name) {
    /* All of the first calls, and then so many apart that no period hides anything. */
    enum { ALL = 100, APART = 13 };
    char dir[1024];
    nb_model *m;
    nb_error err;
    snprintf(dir, sizeof dir, "%s/models/%s", getenv("NB_TEST_DATA"), name);
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    nb_context *c = host_gpu_context(m, N_BATCH, N_SEQUENCES, 0);
    const record want = converse(c);
    assert_int_equal(want.n_failures, 0);
    nb_context_free(c);
    int told = 0;
    bool fails = true;
    for (int n = 0; fails; n += n < ALL ? 1 : APART) {
        c = host_gpu_context(m, N_BATCH, N_SEQUENCES, 0); /* programs and graphs are made anew */
        host_gpu_fail_call_after(n);
        const record got = converse(c);
        fails = host_gpu_has_failed();
        host_gpu_fail_call_after(-1);
        told += got.n_failures;
        assert_int_equal(got.n, want.n);
        if (memcmp(got.rows, want.rows, (size_t)(got.n * got.vocab) * sizeof *got.rows) != 0)
            fail_msg("%s: after call %d has failed the answers are others", name, n);
        free(got.rows);
        nb_context_free(c);
    }
    assert_true(told > ALL / 2); /* but for graphs, and saved states, without which it goes on */
    free(want.rows);
    nb_model_free(m);
}

static void test_caches(void **state) {
    (void)state;
    check_model("llama-f32-minimal");
}

static void test_states(void **state) {
    (void)state;
    check_model("qwen3_5-f16");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caches), cmocka_unit_test(test_states)};
    nb_log_set(NULL, NULL, NB_LOG_ERROR); /* each graph that fails is told of */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
