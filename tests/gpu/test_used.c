/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows that plans use on a GPU, as cases: each case of every small model, with prompts long enough for the rows of
 * large batches, is one that the very row of the plan takes, so that none goes unchecked when the model is loaded. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "gpu/device.h"
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

/* Rows that do not take their own cases. */
static int look_at(const char *path, device *d) {
    enum { N_BATCH = 512 };
    nb_error err;
    nb_model *m;
    check *c;
    int n_unchecked = 0;
    must(nb_model_open(path, &m, &err), &err);
    const executor_options options = {.n_threads = 1, .n_batch = N_BATCH, .kv_type = DT_F16};
    const plan_on_device p = {&cuda_backend, d, m->plan, m->files, options};
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
        n_unchecked++;
    }
    check_free(c);
    used_free(&calls);
    nb_model_free(m);
    return n_unchecked;
}

static void look_at_all(const char *folder, int at_least) {
    char root[1024];
    struct dirent **entries;
    nb_error err;
    device *d;
    int n_models = 0, n_unchecked = 0;
    must(cuda_backend.open(0, &(device_options){0}, &d, &err), &err);
    snprintf(root, sizeof root, "%s/%s", getenv("NB_SOURCE_DIR"), folder);
    const int n = scandir(root, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char dir[1400], file[1500];
        snprintf(dir, sizeof dir, "%s/%s", root, entries[i]->d_name);
        snprintf(file, sizeof file, "%s/config.json", dir);
        FILE *config = entries[i]->d_name[0] == '.' ? NULL : fopen(file, "rb");
        if (config) {
            fclose(config);
            n_unchecked += look_at(dir, d);
            n_models++;
        }
        free(entries[i]);
    }
    free(entries);
    d->free(d);
    assert_true(n_models >= at_least);
    assert_int_equal(n_unchecked, 0);
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
