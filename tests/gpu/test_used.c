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
#include "verify/check.h"
#include "verify/used.h"

static void must(nb_status status, const nb_error *err) {
    if (status) fail_msg("%s", err->text);
}

/* Operands of a case end where memory does: where a row of codes is no multiple of 16 bytes, as of no real model, they
 * may not begin where a kernel wants them. */
static bool has_odd_rows(const check_spec *s) {
    return s->k * s->bits % 128 != 0;
}

typedef struct looking {
    device *device;
    int n_unchecked; /* rows that do not take their own cases */
} looking;

static void look_at(const char *path, void *user) {
    enum { N_BATCH = 512 };
    looking *l = user;
    nb_error err;
    nb_model *m;
    check *c;
    must(nb_model_open(path, &m, &err), &err);
    const executor_options options = {.n_threads = 1, .n_batch = N_BATCH, .kv_type = DT_F16};
    const plan_on_device p = {&cuda_backend, l->device, m->plan, m->files, options};
    used_calls calls = {0};
    must(used_find(&p, &calls, &err), &err);
    must(check_new(&c, &err), &err);
    for (size_t i = 0; i < calls.n; i++) {
        check_spec spec = calls.items[i].spec;
        if (has_odd_rows(&spec)) continue;
        spec.pattern = CHECK_NORMAL;
        spec.seed = 1;
        must(check_load(c, &spec, &err), &err);
        if (check_takes(c, calls.items[i].row)) continue;
        char text[400];
        check_spec_text(&spec, text, sizeof text);
        print_error("%s: %s does not take its case: %s\n", path, calls.items[i].row->name, text);
        l->n_unchecked++;
    }
    check_free(c);
    used_free(&calls);
    nb_model_free(m);
}

static void look_at_all(const char *folder, int at_least) {
    nb_error err;
    looking l = {0};
    must(cuda_backend.open(0, &(device_options){0}, &l.device, &err), &err);
    assert_true(each_model(folder, "config.json", look_at, &l) >= at_least);
    assert_int_equal(l.n_unchecked, 0);
    l.device->free(l.device);
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
