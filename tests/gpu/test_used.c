/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows that plans use on a GPU, as cases: each case of every small model, with prompts long enough for the rows of
 * large batches, is one that the very row of the plan takes, so that none goes unchecked when the model is loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "gpu/device.h"
#include "support/each_model.h"
#include "support/taken_cases.h"

static void must(nb_status status, const nb_error *err) {
    if (status) fail_msg("%s", err->text);
}

/* Operands of a case end where memory does: where a row of codes is no multiple of 16 bytes, as of no real model, they
 * may not begin where a kernel wants them. */
static bool has_odd_rows(const check_spec *s) {
    return s->k * s->bits % 128 != 0;
}

static void look_at(const char *path, void *user) {
    enum { N_BATCH = 512 };
    device *d = user;
    nb_error err;
    nb_model *m;
    must(nb_model_open(path, &m, &err), &err);
    const executor_options options = {.n_threads = 1, .n_batch = N_BATCH, .kv_type = DT_F16};
    const plan_on_device p = {&cuda_backend, d, m->plan, m->files, options};
    used_calls calls = {0};
    must(used_find(&p, &calls, &err), &err);
    assert_int_equal(count_not_taken(&calls, m->plan, path, has_odd_rows), 0);
    used_free(&calls);
    nb_model_free(m);
}

static void look_at_all(const char *folder, int at_least) {
    nb_error err;
    device *d;
    must(cuda_backend.open(0, &(device_options){0}, &d, &err), &err);
    assert_true(each_model(folder, "config.json", look_at, d) >= at_least);
    d->free(d);
}

static void test_small_models(void **state) {
    (void)state;
    look_at_all("tests/data/models", 50);
}

static void test_tiny_models(void **state) {
    (void)state;
    look_at_all("models/tiny", 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_models), cmocka_unit_test(test_tiny_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
