/* SPDX-License-Identifier: Apache-2.0
 *
 * Recurrent states of sequences on a small hybrid model: what a sequence says next depends on its tokens alone,
 * whatever was cut, forked, thrown away, failed or computed again before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"

enum { CONTEXT = 20 * KV_PAGE_SIZE };

static nb_model *model;

static nb_context *new_context(int64_t n_sequences, int n_checkpoints) {
    nb_context_options o = {.n_threads = 1,
                            .context_length = CONTEXT,
                            .n_batch = 100,
                            .n_sequences = n_sequences,
                            .n_checkpoints = n_checkpoints};
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

static int32_t token_at(int64_t position, int salt) {
    return (int32_t)((position * 7 + position / 5 + salt) % model->dims.vocab_size);
}

/* Puts the tokens of `salt` in, up to n_tokens in all; keeps the last logits if asked. */
static nb_status put(nb_sequence *s, int64_t n_tokens, int salt, float *logits, nb_error *err) {
    int32_t tokens[CONTEXT];
    const int64_t have = nb_sequence_length(s), n = n_tokens - have;
    for (int64_t i = 0; i < n; i++) tokens[i] = token_at(have + i, salt);
    nb_batch_item item = {.sequence = s, .tokens = tokens, .n_tokens = n, .logits = logits, .n_logits = logits ? 1 : 0};
    return nb_forward(s->context, &item, 1, err);
}

static float *new_logits(void) {
    float *logits = malloc((size_t)model->dims.vocab_size * sizeof *logits);
    assert_non_null(logits);
    return logits;
}

/* The sequence's next token says what it says after the same tokens in a context of its own: `cut` of salt 0, then
 * those of `salt` up to n_tokens. */
static void says_the_same(nb_sequence *s, int64_t cut, int64_t n_tokens, int salt) {
    nb_context *alone = new_context(1, -1);
    nb_sequence *other = new_sequence(alone);
    float *want = new_logits(), *got = new_logits();
    nb_error err;
    if (cut > 0) assert_int_equal(put(other, cut, 0, NULL, &err), NB_OK);
    assert_int_equal(put(other, n_tokens, salt, want, &err), NB_OK);
    if (put(s, n_tokens, salt, got, &err)) fail_msg("%s", err.text);
    assert_memory_equal(got, want, (size_t)model->dims.vocab_size * sizeof *got);
    free(want);
    free(got);
    nb_context_free(alone);
}

static void cut(nb_sequence *s, int64_t n_tokens) {
    nb_error err;
    assert_int_equal(nb_sequence_truncate(s, n_tokens, &err), NB_OK);
}

static void test_truncation(void **state) {
    (void)state;
    nb_context *c = new_context(1, 0);
    nb_sequence *s = new_sequence(c);
    nb_error err;
    assert_true(c->states.present);
    assert_int_equal(put(s, 70, 0, NULL, &err), NB_OK);  /* saved at 64 */
    assert_int_equal(put(s, 140, 0, NULL, &err), NB_OK); /* at 128 */
    cut(s, 130);
    assert_int_equal(s->n_state, 128);
    says_the_same(s, 130, 150, 1);
    cut(s, 130);
    cut(s, 100); /* again before anything was read */
    assert_int_equal(s->n_state, 64);
    says_the_same(s, 100, 101, 2);
    cut(s, 63);
    assert_int_equal(s->n_state, 0);
    assert_int_equal(s->saved, 0);
    assert_int_equal(c->states.taken, 0);
    says_the_same(s, 63, 80, 3);
    cut(s, 0);
    says_the_same(s, 0, 5, 4);
    nb_context_free(c);
}

/* A pass over one long prompt is cut at the places where states are saved. */
static void test_long_prompt(void **state) {
    (void)state;
    nb_context *c = new_context(1, 0);
    nb_sequence *s = new_sequence(c);
    nb_error err;
    assert_int_equal(put(s, 1100, 0, NULL, &err), NB_OK);
    cut(s, 1099);
    assert_int_equal(s->n_state, 1088);
    cut(s, 1060);
    assert_int_equal(s->n_state, 1024);
    says_the_same(s, 1060, 1061, 1);
    cut(s, 900);
    assert_int_equal(s->n_state, 512);
    says_the_same(s, 900, 901, 1);
    nb_context_free(c);
}

static void test_forks(void **state) {
    (void)state;
    nb_context *c = new_context(4, 0);
    nb_sequence *s = new_sequence(c), *late, *middle, *early;
    nb_error err;
    assert_int_equal(put(s, 200, 0, NULL, &err), NB_OK); /* saved at 192 */
    assert_int_equal(nb_sequence_fork(s, 200, &late, &err), NB_OK);
    assert_int_equal(late->n_state, 200); /* the live state */
    assert_int_equal(nb_sequence_fork(s, 195, &middle, &err), NB_OK);
    assert_int_equal(middle->n_state, 192);
    assert_int_equal(nb_sequence_fork(s, 50, &early, &err), NB_OK);
    assert_int_equal(early->n_state, 0);
    nb_sequence_free(s); /* the saved state stays for those that have it */
    assert_int_equal(c->states.taken, middle->saved);
    says_the_same(late, 200, 210, 1);
    says_the_same(middle, 195, 210, 2);
    says_the_same(early, 50, 60, 3);
    /* all of them in one batch, one behind in its state */
    cut(middle, 205);
    assert_true(middle->n_state < 205);
    int32_t token = 3;
    float *got[3], *want = new_logits();
    nb_sequence *all[3] = {late, middle, early};
    nb_batch_item items[3];
    for (int i = 0; i < 3; i++)
        items[i] = (nb_batch_item){
            .sequence = all[i], .tokens = &token, .n_tokens = 1, .logits = got[i] = new_logits(), .n_logits = 1};
    assert_int_equal(nb_forward(c, items, 3, &err), NB_OK);
    for (int i = 0; i < 3; i++) {
        cut(all[i], nb_sequence_length(all[i]) - 1);
        nb_batch_item item = {.sequence = all[i], .tokens = &token, .n_tokens = 1, .logits = want, .n_logits = 1};
        assert_int_equal(nb_forward(c, &item, 1, &err), NB_OK);
        assert_memory_equal(got[i], want, (size_t)model->dims.vocab_size * sizeof *want);
        free(got[i]);
    }
    free(want);
    for (int i = 0; i < 3; i++) nb_sequence_free(all[i]);
    assert_int_equal(c->states.taken, 0);
    assert_int_equal(c->states.n_free, 4);
    nb_context_free(c);
}

/* With room for two states the one goes whose loss costs the fewest tokens; without room nothing is saved. */
static void test_few_checkpoints(void **state) {
    (void)state;
    nb_error err;
    nb_context *c = new_context(2, 2);
    nb_sequence *s = new_sequence(c), *other = new_sequence(c);
    for (int64_t n = 64; n <= 320; n += 64) assert_int_equal(put(s, n, 0, NULL, &err), NB_OK);
    cut(s, 310);
    assert_true(s->n_state >= 64 && s->n_state <= 256);
    says_the_same(s, 310, 315, 1);
    assert_int_equal(put(other, 300, 0, NULL, &err), NB_OK);
    assert_int_equal(put(other, 600, 0, NULL, &err), NB_OK);
    cut(s, 310);
    says_the_same(s, 310, 320, 1);
    nb_context_free(c);
    c = new_context(1, -1);
    s = new_sequence(c);
    assert_int_equal(put(s, 200, 0, NULL, &err), NB_OK);
    cut(s, 150);
    assert_int_equal(s->n_state, 0);
    says_the_same(s, 150, 151, 1);
    nb_context_free(c);
}

/* ---- A pass that fails ------------------------------------------------------------------------------------------ */

static nb_status (*real_run)(executor *e, const batch *b, const float **logits, nb_error *err);
static int runs_left;

static nb_status run_some(executor *e, const batch *b, const float **logits, nb_error *err) {
    if (runs_left-- == 0) {
        real_run(e, b, logits, err); /* states have moved on when the fault comes */
        return err_set(err, NB_ERR_INTERNAL, "no more");
    }
    return real_run(e, b, logits, err);
}

static void test_failed_pass(void **state) {
    (void)state;
    nb_context *c = new_context(1, 0);
    nb_sequence *s = new_sequence(c);
    nb_error err;
    assert_int_equal(put(s, 90, 0, NULL, &err), NB_OK);
    real_run = c->executor->run;
    c->executor->run = run_some;
    for (runs_left = 0; runs_left < 3; runs_left++) {
        const int failing = runs_left;
        assert_int_equal(put(s, 400, 1, NULL, &err), NB_ERR_INTERNAL);
        assert_int_equal(nb_sequence_length(s), 90);
        assert_int_equal(s->n_state, 64);
        runs_left = failing;
    }
    c->executor->run = real_run;
    says_the_same(s, 90, 95, 2);
    nb_context_free(c);
}

static void test_bad_options(void **state) {
    (void)state;
    nb_context_options o = {.n_checkpoints = 65};
    nb_context *c;
    nb_error err;
    assert_int_equal(nb_context_new(model, &o, &c, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "saved recurrent states"));
}

static int open_model(void **state) {
    (void)state;
    char path[1200];
    nb_error err;
    snprintf(path, sizeof path, "%s/models/qwen3_5-f16", getenv("NB_TEST_DATA"));
    return nb_model_open(path, &model, &err);
}

static int close_model(void **state) {
    (void)state;
    nb_model_free(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),      cmocka_unit_test(test_long_prompt), cmocka_unit_test(test_forks),
        cmocka_unit_test(test_few_checkpoints), cmocka_unit_test(test_failed_pass), cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
