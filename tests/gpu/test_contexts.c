/* SPDX-License-Identifier: Apache-2.0
 *
 * Several contexts of one process on a GPU (the simulated one, whose driver survives a fork as little as a real one).
 * Once the driver runs, kernels of a further model are checked by a fresh process of the command; where that is not at
 * hand, or leaves nothing, there is no context, and nobody is harmed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/engine.h"

static char home[64];

static nb_model *open_model(const char *name) {
    char path[1200];
    nb_error err;
    nb_model *m;
    snprintf(path, sizeof path, "%s/models/%s", getenv("NB_TEST_DATA"), name);
    if (nb_model_open(path, &m, &err)) fail_msg("%s: %s", path, err.text);
    return m;
}

static nb_status open_context(nb_model *m, const char *where, int gpu_layers, nb_context **out, nb_error *err) {
    const nb_context_options o = {.n_threads = 1,
                                  .n_batch = 4,
                                  .context_length = 64,
                                  .kv_type = NB_KV_F32,
                                  .gpu_layers = gpu_layers,
                                  .device = where,
                                  .verify = NB_VERIFY_QUICK};
    return nb_context_new(m, &o, out, err);
}

static void must_open(nb_model *m, int gpu_layers, nb_context **out) {
    nb_error err;
    if (open_context(m, "cuda:0", gpu_layers, out, &err)) fail_msg("%s: %s", m->dir, err.text);
}

/* The logits behind a few tokens. */
static float *forward(nb_context *c) {
    static const int32_t tokens[] = {1, 2, 3};
    nb_error err;
    nb_sequence *s;
    float *logits = calloc((size_t)c->model->dims.vocab_size, sizeof *logits);
    assert_non_null(logits);
    assert_int_equal(nb_sequence_new(c, &s, &err), NB_OK);
    const nb_batch_item item = {.sequence = s, .tokens = tokens, .n_tokens = 3, .logits = logits, .n_logits = 1};
    if (nb_forward(c, &item, 1, &err)) fail_msg("%s", err.text);
    nb_sequence_free(s);
    return logits;
}

/* As the CPU computes it. */
static void is_right(nb_context *c) {
    nb_context *host;
    nb_error err;
    if (open_context(c->model, "cpu", 0, &host, &err)) fail_msg("%s", err.text);
    float *got = forward(c), *want = forward(host);
    float low = want[0], high = want[0], worst = 0;
    for (int64_t i = 0; i < c->model->dims.vocab_size; i++) {
        low = fminf(low, want[i]);
        high = fmaxf(high, want[i]);
        worst = fmaxf(worst, fabsf(got[i] - want[i]));
    }
    assert_true(high > low);
    if (!(worst <= 1e-4f * (high - low))) fail_msg("off by %g of %g", (double)worst, (double)(high - low));
    free(got);
    free(want);
    nb_context_free(host);
}

static void fails_with(nb_model *m, const char *text) {
    nb_context *c = NULL;
    nb_error err;
    assert_int_equal(open_context(m, "cuda:0", 0, &c, &err), NB_ERR_INTERNAL);
    assert_null(c);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void test_further_models(void **state) {
    (void)state;
    nb_context *first, *again, *second, *parts;
    nb_model *plain = open_model("llama-f32-minimal"), *other = open_model("qwen2-q8-g128-f32");
    setenv("NIBBLE_COMMAND", "/bin/false", 1); /* the first one needs nobody */
    must_open(plain, 0, &first);
    must_open(plain, 0, &again); /* neither does what is remembered */
    fails_with(other, "left no verdict");
    setenv("NIBBLE_COMMAND", "/no/such/command", 1);
    fails_with(other, "/no/such/command cannot be run: No such file");
    setenv("NIBBLE_COMMAND", "ls", 1);
    fails_with(other, "failed: "); /* ls: unrecognized option ... */
    unsetenv("NIBBLE_COMMAND");
    fails_with(other, "qwen2-q8-g128-f32 --at-load --device cuda:0 --kv-type f32 --batch 4 --quick`");
    setenv("NIBBLE_COMMAND", getenv("NB_BIN"), 1);
    must_open(other, 0, &second);
    must_open(other, 1, &parts); /* a part of the plan has a verdict of its own */
    setenv("NIBBLE_COMMAND", "/bin/false", 1);
    nb_context_free(parts);
    must_open(other, 1, &parts);
    nb_context *const all[] = {first, again, second, parts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) is_right(all[i]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) nb_context_free(all[i]);
    nb_model_free(plain);
    nb_model_free(other);
}

/* The device breaks in the middle of a request: who uses it hears so, now and from then on, and the CPU goes on, in
 * contexts that there were and in new ones. Nothing works on the device after this test. */
static void test_lost(void **state) {
    (void)state;
    static const int32_t token = 4;
    nb_context *here, *split, *host, *fresh = NULL;
    nb_model *m = open_model("llama-f32-minimal");
    nb_error err;
    nb_sequence *asks, *goes_on, *other;
    float *logits = calloc((size_t)m->dims.vocab_size, sizeof *logits);
    assert_non_null(logits);
    setenv("NIBBLE_COMMAND", getenv("NB_BIN"), 1);
    must_open(m, 0, &here);
    must_open(m, 1, &split);
    if (open_context(m, "cpu", 0, &host, &err)) fail_msg("%s", err.text);
    assert_int_equal(nb_sequence_new(here, &asks, &err), NB_OK);
    assert_int_equal(nb_sequence_new(host, &goes_on, &err), NB_OK);
    nb_batch_item item = {.sequence = asks, .tokens = &token, .n_tokens = 1, .logits = logits, .n_logits = 1};
    for (int i = 0; i < 3; i++)
        if (nb_forward(here, &item, 1, &err)) fail_msg("%s", err.text);
    setenv("NB_SIM_LOST", "5", 1); /* some kernels later */
    assert_int_equal(nb_forward(here, &item, 1, &err), NB_ERR_INTERNAL);
    if (!strstr(err.text, "cuda:0 (simulated GPU): ") || !strstr(err.text, "a kernel faulted, or the device was reset"))
        fail_msg("%s", err.text);
    assert_int_equal(nb_sequence_length(asks), 3);
    assert_int_equal(nb_forward(here, &item, 1, &err), NB_ERR_INTERNAL);
    if (!strstr(err.text, "cannot be used any more in this process: cuda:0")) fail_msg("%s", err.text);
    item.sequence = goes_on;
    if (nb_forward(host, &item, 1, &err)) fail_msg("%s", err.text);
    assert_int_equal(nb_sequence_new(split, &other, &err), NB_OK);
    item.sequence = other;
    assert_int_equal(nb_forward(split, &item, 1, &err), NB_ERR_INTERNAL);
    if (!strstr(err.text, "cuda:0")) fail_msg("%s", err.text);
    assert_int_equal(open_context(m, "cuda:0", 0, &fresh, &err), NB_ERR_INTERNAL);
    if (!strstr(err.text, "cuda:0")) fail_msg("%s", err.text);
    nb_context_free(here);
    nb_context_free(split);
    nb_sequence_free(goes_on);
    is_right(host);
    if (open_context(m, "cpu", 0, &fresh, &err)) fail_msg("%s", err.text);
    is_right(fresh);
    nb_context_free(fresh);
    nb_context_free(host);
    nb_model_free(m);
    free(logits);
}

static int make_home(void **state) {
    (void)state;
    snprintf(home, sizeof home, "/tmp/nibble-home-XXXXXX");
    if (!mkdtemp(home)) return 1;
    unsetenv("NIBBLE_KERNELS");
    return setenv("NIBBLE_HOME", home, 1);
}

static int remove_home(void **state) {
    (void)state;
    nb_error err;
    return dir_remove(home, &err) != NB_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_further_models, make_home, remove_home),
                                       cmocka_unit_test_setup_teardown(test_lost, make_home, remove_home)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
