/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows that a plan uses, as cases: each case of every small model is one that the very row of the plan takes, so
 * that none goes unchecked when the model is loaded. And the hash that verdicts are remembered by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/cpu.h"
#include "support/each_model.h"
#include "support/planted.h"
#include "support/taken_cases.h"

static device *open_device(const char *cpu) {
    const device_options options = {.cpu = cpu};
    nb_error err;
    device *d;
    must(cpu_backend.open(0, &options, &d, &err), &err);
    return d;
}

/* ---- Cases ------------------------------------------------------------------------------------------------------ */

/* No operation of the plan is left out. */
static void covers_plan(const used_calls *calls, const plan *p) {
    for (int i = 0; i < p->n_steps; i++) {
        bool covered = false;
        for (size_t c = 0; c < calls->n && !covered; c++) covered = calls->items[c].spec.op == p->steps[i].op;
        if (!covered) fail_msg("no call of %s is used", kop_name(p->steps[i].op));
    }
}

static void look_at(const char *path, const char *cpu) {
    subject s;
    nb_error err;
    device *d = open_device(cpu);
    subject_open(&s, path);
    s.m.executor.n_batch = engine_default_batch(engine_host);
    const plan_on_device p = {&cpu_backend, d, s.m.plan, s.m.files, s.m.executor};
    used_calls calls = {0};
    must(used_find(&p, &calls, &err), &err);
    covers_plan(&calls, s.m.plan);
    assert_int_equal(count_not_taken(&calls, s.m.plan, path, NULL), 0);
    /* Asked once more it finds nothing new. */
    const size_t n = calls.n;
    must(used_find(&p, &calls, &err), &err);
    assert_int_equal(calls.n, n);
    used_free(&calls);
    subject_close(&s);
    d->free(d);
}

static void look_twice(const char *path, void *user) {
    (void)user;
    look_at(path, NULL);
    look_at(path, "scalar");
}

static void test_small_models(void **state) {
    (void)state;
    assert_true(each_model("tests/data/models", "config.json", look_twice, NULL) >= 50);
}

static void test_tiny_models(void **state) {
    (void)state;
    assert_true(each_model("models/tiny", "config.json", look_twice, NULL) >= 5);
}

static void test_demo_model(void **state) {
    (void)state;
    look_at(getenv("NB_TEST_MODEL"), NULL);
    look_at(getenv("NB_TEST_MODEL"), "avx2");
    look_at(getenv("NB_TEST_MODEL"), "scalar");
}

/* ---- Nothing left ----------------------------------------------------------------------------------------------- */

static void test_nothing_left(void **state) {
    (void)state;
    subject s;
    nb_error err;
    used_calls calls = {0};
    device *d = open_device(NULL);
    subject_open(&s, "tests/data/models/llama-f32-minimal");
    const plan_on_device p = {&cpu_backend, d, s.m.plan, s.m.files, s.m.executor};
    const krow *last = NULL;
    /* One row after another goes, and another one takes its place, until there is none. */
    for (;;) {
        const nb_status status = used_find(&p, &calls, &err);
        if (status) {
            assert_int_equal(status, NB_ERR_UNSUPPORTED);
            break;
        }
        const krow *row = NULL;
        for (size_t i = 0; i < calls.n; i++)
            if (calls.items[i].spec.op == KOP_RMSNORM) row = calls.items[i].row;
        assert_non_null(row);
        assert_ptr_not_equal(row, last);
        kreg_set_aside(d->registry, row, true);
        last = row;
        used_free(&calls);
    }
    assert_non_null(last);
    assert_int_equal(last->rank, 0); /* a scalar row was the last resort */
    assert_non_null(strstr(err.text, "norm"));
    used_free(&calls);
    subject_close(&s);
    d->free(d);
}

/* ---- The set ---------------------------------------------------------------------------------------------------- */

static uint64_t set_of(const subject *s) {
    return subject_set(s, s->m.plan);
}

static uint64_t set_of_model(const char *path) {
    subject s;
    subject_open(&s, path);
    const uint64_t set = set_of(&s);
    subject_close(&s);
    return set;
}

static void test_sets_of_models(void **state) {
    (void)state;
    const uint64_t set = set_of_model("tests/data/models/qwen3-q4-g64-bf16");
    assert_int_equal(set, set_of_model("tests/data/models/qwen3-q4-g64-bf16"));
    assert_int_not_equal(set, set_of_model("tests/data/models/qwen3-q4-g128-f32"));
    assert_int_not_equal(set, set_of_model("tests/data/models/qwen2-q4-g64-f16"));
    assert_int_not_equal(set, 0);
}

/* The order of steps, and how often they come, do not matter; nor do names. */
static void test_same_set(void **state) {
    (void)state;
    subject s;
    subject_open(&s, "tests/data/models/qwen3-q4-g64-bf16");
    const uint64_t set = set_of(&s);
    plan *p = s.model->plan;
    const plan_step last = p->steps[p->n_steps - 1];
    p->steps[p->n_steps - 1] = p->steps[0];
    p->steps[0] = last;
    assert_int_equal(set_of(&s), set);
    plan twice = *p;
    plan_step *steps = malloc(2 * (size_t)p->n_steps * sizeof *steps);
    assert_non_null(steps);
    for (int i = 0; i < 2; i++) memcpy(steps + i * p->n_steps, p->steps, (size_t)p->n_steps * sizeof *steps);
    for (int i = 0; i < 2 * p->n_steps; i++) steps[i].name = "another", steps[i].layer = i;
    twice.steps = steps;
    twice.n_steps = 2 * p->n_steps;
    assert_int_equal(subject_set(&s, &twice), set);
    free(steps);
    s.m.executor.n_threads = 7;
    assert_int_equal(set_of(&s), set);
    subject_close(&s);
}

/* A change of *field makes another set, and changing it back the same one. */
#define CHANGES(s, field, value)                                                                                       \
    do {                                                                                                               \
        const uint64_t before = set_of(s);                                                                             \
        const __typeof__(field) old = (field);                                                                         \
        (field) = (value);                                                                                             \
        if (set_of(s) == before) fail_msg("%s is no part", #field);                                                    \
        (field) = old;                                                                                                 \
        assert_int_equal(set_of(s), before);                                                                           \
    } while (0)

static int step_with(const plan *p, kop op) {
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == op) return i;
    fail_msg("no step %s", kop_name(op));
    return PLAN_NONE;
}

static void test_other_set(void **state) {
    (void)state;
    subject s;
    subject_open(&s, "tests/data/models/qwen3-q4-g64-bf16");
    plan *p = s.model->plan;
    plan_step *product = &p->steps[step_with(p, KOP_MATMUL)], *norm = &p->steps[step_with(p, KOP_RMSNORM)];
    plan_step *attention = &p->steps[step_with(p, KOP_ATTENTION)], *act = &p->steps[step_with(p, KOP_ACT_MUL)];
    kweight *w = &p->weights[product->weight].w;
    CHANGES(&s, w->n, w->n + 1);
    CHANGES(&s, w->k, 2 * w->k);
    CHANGES(&s, w->bits, 8);
    CHANGES(&s, w->group_size, 32);
    CHANGES(&s, w->type, DT_F16);
    CHANGES(&s, w->mode, W_MXFP4);
    CHANGES(&s, w->biases, NULL);
    CHANGES(&s, product->residual, product->residual == PLAN_NONE ? 0 : PLAN_NONE);
    CHANGES(&s, p->values[product->x].cols, 12345);
    CHANGES(&s, norm->vec.type, DT_F32);
    CHANGES(&s, norm->offset, 1);
    CHANGES(&s, norm->n_parts, 17);
    CHANGES(&s, act->act, ACT_GELU);
    CHANGES(&s, attention->window, 5);
    CHANGES(&s, attention->softcap, 50);
    CHANGES(&s, p->caches[attention->cache].head_dim, 7);
    CHANGES(&s, s.m.executor.kv_type, DT_F16);
    CHANGES(&s, s.m.executor.n_batch, 63);
    subject_close(&s);
}

/* What the user sets aside decides which rows are used. */
static void test_environment_is_part_of_set(void **state) {
    (void)state;
    subject s;
    subject_open(&s, "tests/data/models/llama-f32-minimal");
    unsetenv("NIBBLE_KERNELS");
    unsetenv("MLX_ROCM_QMM_DEQUANT_GEMM");
    const uint64_t set = set_of(&s);
    setenv("NIBBLE_KERNELS", "-*avx2*", 1);
    assert_int_not_equal(set_of(&s), set);
    unsetenv("NIBBLE_KERNELS");
    setenv("MLX_ROCM_QMM_DEQUANT_GEMM", "0", 1);
    assert_int_not_equal(set_of(&s), set);
    unsetenv("MLX_ROCM_QMM_DEQUANT_GEMM");
    assert_int_equal(set_of(&s), set);
    subject_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_models),   cmocka_unit_test(test_tiny_models),
        cmocka_unit_test(test_demo_model),     cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_sets_of_models), cmocka_unit_test(test_same_set),
        cmocka_unit_test(test_other_set),      cmocka_unit_test(test_environment_is_part_of_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
