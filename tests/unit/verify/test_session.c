/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole verifications of small models on a device with one wrong row (support/planted.h): each level finds what is its
 * to find and names the row, what is used instead is told, the verdict is remembered, and a model that has nothing left
 * to trust is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/planted.h"

static const char *const PLAIN = "tests/data/models/llama-f32-minimal";
static const char *const QUANTIZED = "tests/data/models/qwen3-q4-g64-bf16";

static char lines[16384];

static void take_line(void *user, nb_log_level level, const char *line) {
    (void)user, (void)level;
    const size_t n = strlen(lines);
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

static int set_up(void **state) {
    (void)state;
    home_make();
    planted_now = (planted){0};
    planted_count_reset();
    lines[0] = 0;
    nb_log_set(take_line, NULL, NB_LOG_WARN);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    nb_log_set(NULL, NULL, NB_LOG_WARN);
    home_remove();
    return 0;
}

static verify_options options_for(const subject *s) {
    return (verify_options){.backend = &planted_backend,
                            .host = engine_host,
                            .model = &s->m,
                            .depth = CHECK_LEAN,
                            .seed = 3,
                            .silence = 60,
                            .n_children = 1};
}

static report run(const verify_options *o) {
    report r;
    nb_error err;
    must(verify_run(o, &r, &err), &err);
    return r;
}

static report run_level(const subject *s, verify_level level) {
    verify_options o = options_for(s);
    o.levels[level] = true;
    return run(&o);
}

static const report_row *row_named(const report *r, const char *name) {
    for (size_t i = 0; i < r->n_rows; i++)
        if (strcmp(r->rows[i].name, name) == 0) return &r->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

/* All findings are of this row. Returns the first. */
static const finding *only_names(const report *r, const char *row) {
    if (r->n_findings == 0) fail_msg("%s was not found", row);
    for (size_t i = 0; i < r->n_findings; i++)
        if (strcmp(r->findings[i].kernel, row) != 0)
            fail_msg("%s is named instead of %s: %s", r->findings[i].kernel, row, r->findings[i].what);
    assert_int_equal(row_named(r, row)->n_findings, r->n_findings);
    assert_false(report_ok(r));
    return &r->findings[0];
}

/* Something that is right is used in its place, and it was found out how much that costs. */
static void has_substitute(const report *r, const char *row) {
    const report_row *wrong = row_named(r, row);
    assert_string_not_equal(wrong->instead, "");
    const report_row *other = row_named(r, wrong->instead);
    assert_int_equal(other->op, wrong->op);
    assert_int_equal(other->n_findings, 0);
    assert_true(wrong->slowdown > 0);
}

/* ---- Levels ----------------------------------------------------------------------------------------------------- */

static void test_nothing_wrong(void **state) {
    (void)state;
    subject s;
    subject_open(&s, QUANTIZED);
    verify_options o = options_for(&s);
    for (int level = 0; level < VERIFY_LEVELS; level++) o.levels[level] = true;
    report r = run(&o);
    if (r.n_findings) fail_msg("%s: %s", r.findings[0].kernel, r.findings[0].what);
    assert_true(report_ok(&r));
    int n_used = 0;
    for (size_t i = 0; i < r.n_rows; i++) {
        n_used += r.rows[i].used;
        if (r.rows[i].used && r.rows[i].cases[VERIFY_KERNELS] == 0) fail_msg("%s was not checked", r.rows[i].name);
    }
    assert_true(n_used >= 8);
    for (int level = 0; level < VERIFY_LEVELS; level++) {
        assert_true(r.levels[level].ran);
        assert_true(r.levels[level].cases > 0);
    }
    assert_true(r.levels[VERIFY_PLAN].cases >= 4 * s.m.plan->n_steps);
    report_free(&r);
    subject_close(&s);
}

/* A row that is always wrong: every level but the last names it by itself. */
static void test_always_wrong(void **state) {
    (void)state;
    subject s;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, NULL);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row};
    for (verify_level level = VERIFY_KERNELS; level <= VERIFY_PLAN; level++) {
        report r = run_level(&s, level);
        const finding *f = only_names(&r, row);
        assert_int_equal(f->level, level);
        assert_int_equal(f->op, KOP_MATMUL);
        assert_string_not_equal(f->where, "");
        assert_true(level == VERIFY_KERNELS ? f->layer == -1 : f->step[0] != 0);
        has_substitute(&r, row);
        report_free(&r);
    }
    subject_close(&s);
}

/* Whole registry, no model. */
static void test_without_model(void **state) {
    (void)state;
    subject s;
    subject_open(&s, PLAIN);
    const char *row = subject_row(&s, KOP_ROPE_TABLE, NULL);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row};
    verify_options o = options_for(&s);
    o.model = NULL;
    o.levels[VERIFY_KERNELS] = true;
    report r = run(&o);
    only_names(&r, row);
    assert_string_equal(r.model, "");
    for (size_t i = 0; i < r.n_rows; i++) assert_false(r.rows[i].used);
    report_free(&r);
    subject_close(&s);
}

/* A product that is wrong with one matrix of the model only: nothing that is made up has those bytes. */
static void test_wrong_with_real_weights(void **state) {
    (void)state;
    subject s;
    int step;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, &step);
    const plan_step *meant = &s.m.plan->steps[step];
    planted_now = (planted){
        .fault = PLANTED_WRONG, .op = KOP_MATMUL, .row = row, .weight = s.m.plan->weights[meant->weight].w.codes};
    report r = run_level(&s, VERIFY_KERNELS);
    assert_int_equal(r.n_findings, 0);
    report_free(&r);
    r = run_level(&s, VERIFY_PATHS);
    const finding *f = only_names(&r, row);
    assert_int_equal(f->level, VERIFY_PATHS);
    assert_string_equal(f->step, meant->name);
    assert_int_equal(f->layer, meant->layer);
    has_substitute(&r, row);
    report_free(&r);
    subject_close(&s);
}

/* No product, and wrong in one step of the model only: the plan finds it, and the answer follows with another row. */
static void test_wrong_in_one_step(void **state) {
    (void)state;
    subject s;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_RMSNORM, NULL);
    int step = 0;
    for (int i = 0; i < s.m.plan->n_steps; i++)
        if (s.m.plan->steps[i].op == KOP_RMSNORM) step = i; /* the last one */
    const plan_step *meant = &s.m.plan->steps[step];
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row, .weight = meant->vec.data};
    report r = run_level(&s, VERIFY_KERNELS);
    if (r.n_findings) fail_msg("%s %s", r.findings[0].what, r.findings[0].where);
    report_free(&r);
    /* The answer alone is seen to be off, which names nobody: the plan is asked, and the answer follows without it. */
    r = run_level(&s, VERIFY_ANSWER);
    assert_int_equal(only_names(&r, row)->level, VERIFY_PLAN);
    assert_true(r.levels[VERIFY_PLAN].ran);
    assert_int_equal(r.n_answers, 1);
    assert_true(r.answers[0].ok);
    assert_false(report_ok(&r));
    report_free(&r);
    verify_options o = options_for(&s);
    o.levels[VERIFY_PLAN] = o.levels[VERIFY_ANSWER] = true;
    r = run(&o);
    const finding *f = only_names(&r, row);
    assert_int_equal(f->level, VERIFY_PLAN);
    assert_string_equal(f->step, meant->name);
    assert_int_equal(f->layer, meant->layer);
    assert_int_equal(f->row, 0);
    assert_int_equal(f->col, 0);
    assert_true(r.answers[0].ok); /* without it */
    has_substitute(&r, row);
    report_free(&r);
    subject_close(&s);
}

/* What a wrong row makes is what others read: they are not to blame for NaN that comes out of NaN, or for what they
 * make of a form whose parts contradict each other. */
static void test_innocent_rows(void **state) {
    (void)state;
    static const char *const models[] = {"tests/data/models/qwen3-q4-g64-bf16", "models/tiny/qwen3_5_moe",
                                         "tests/data/models/gemma4-moe-q4", "tests/data/models/gpt_oss-mxfp4"};
    for (size_t i = 0; i < 4 * 2; i++) {
        subject s;
        subject_open(&s, models[i / 2]);
        const char *row = subject_row(&s, i % 2 ? KOP_RMSNORM : KOP_MATMUL, NULL);
        planted_now = (planted){.fault = i % 2 ? PLANTED_MIXED : PLANTED_NAN, .row = row};
        report r = run_level(&s, VERIFY_PLAN);
        only_names(&r, row);
        report_free(&r);
        subject_close(&s);
    }
}

/* ---- Rows that end the process ---------------------------------------------------------------------------------- */

static void ends_process(planted_fault fault, double silence, finding_kind kind) {
    subject s;
    subject_open(&s, PLAIN);
    const char *row = subject_row(&s, KOP_ACT_MUL, NULL);
    planted_now = (planted){.fault = fault, .row = row};
    verify_options o = options_for(&s);
    o.silence = silence;
    for (verify_level level = 0; level < VERIFY_LEVELS; level++) o.levels[level] = level != VERIFY_PATHS;
    report r = run(&o);
    const finding *f = only_names(&r, row);
    assert_int_equal(f->kind, kind);
    assert_int_equal(f->level, VERIFY_KERNELS);
    assert_string_not_equal(f->where, "");
    assert_int_equal(r.n_findings, 1); /* once is enough: it is not run again */
    assert_string_not_equal(row_named(&r, row)->instead, "");
    assert_true(r.answers[0].ok);
    /* Where no case came before it, the plan names the step. */
    report_free(&r);
    memset(o.levels, 0, sizeof o.levels);
    o.levels[VERIFY_PLAN] = true;
    r = run(&o);
    f = only_names(&r, row);
    assert_int_equal(f->kind, kind);
    assert_int_equal(f->level, VERIFY_PLAN);
    assert_string_not_equal(f->step, "");
    report_free(&r);
    subject_close(&s);
}

static void test_crash(void **state) {
    (void)state;
    ends_process(PLANTED_CRASH, 60, FOUND_CRASHED);
}

static void test_hang(void **state) {
    (void)state;
    ends_process(PLANTED_HANG, 3, FOUND_HUNG);
}

/* A kernel that takes long, but no longer than what it took before lets one expect, is none that hangs; nor does the
 * time count that a driver takes to make it ready. */
static void test_slow(void **state) {
    (void)state;
    subject s;
    nb_error err;
    device *d;
    const device_options all = {0};
    subject_open(&s, PLAIN);
    const char *row = subject_row(&s, KOP_ACT_MUL, NULL);
    planted_now = (planted){.fault = PLANTED_SLOW, .row = row, .seconds = 0.12};
    verify_options o = options_for(&s);
    o.depth = CHECK_QUICK;
    o.silence = 0.5; /* for many tokens it takes more than twice as long */
    must(planted_backend.open(0, &all, &d, &err), &err);
    must(verify_at_load(&o, d, 0.01, &err), &err);
    assert_string_equal(lines, "");
    assert_false(kreg_is_aside(d->registry, kreg_named(d->registry, row)));
    d->free(d);
    subject_close(&s);
}

/* ---- Nothing left ----------------------------------------------------------------------------------------------- */

static void test_nothing_left(void **state) {
    (void)state;
    subject s;
    subject_open(&s, PLAIN);
    planted_now = (planted){.fault = PLANTED_WRONG, .op = KOP_RMSNORM};
    for (verify_level level = VERIFY_KERNELS; level <= VERIFY_PLAN; level += 2) {
        report r = run_level(&s, level);
        assert_false(report_ok(&r));
        assert_true(r.n_findings >= 1);
        for (size_t i = 0; i < r.n_findings; i++) assert_int_equal(r.findings[i].op, KOP_RMSNORM);
        assert_string_not_equal(r.impossible, "");
        assert_non_null(strstr(r.impossible, "norm"));
        report_free(&r);
    }
    subject_close(&s);
}

/* ---- At load ---------------------------------------------------------------------------------------------------- */

static device *open_device(void) {
    const device_options all = {0};
    nb_error err;
    device *d;
    must(planted_backend.open(0, &all, &d, &err), &err);
    return d;
}

/* Loads: whether `row` is set aside afterwards. *opened: devices that this took, children's included. */
static bool load(const subject *s, const char *row, int *opened) {
    verify_options o = options_for(s);
    nb_error err;
    device *d = open_device();
    o.depth = CHECK_QUICK;
    planted_count_reset();
    lines[0] = 0;
    must(verify_at_load(&o, d, 0.01, &err), &err);
    *opened = planted_count();
    const bool aside = kreg_is_aside(d->registry, kreg_named(d->registry, row));
    d->free(d);
    return aside;
}

static void test_load_without_fault(void **state) {
    (void)state;
    subject s;
    int opened;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, NULL);
    assert_false(load(&s, row, &opened));
    assert_int_equal(opened, 1);
    assert_string_equal(lines, "");
    assert_false(load(&s, row, &opened)); /* remembered */
    assert_int_equal(opened, 0);
    /* Another type of the cache is another set. */
    s.m.executor.kv_type = DT_F16;
    assert_false(load(&s, row, &opened));
    assert_int_equal(opened, 1);
    subject_close(&s);
}

static void test_load_with_fault(void **state) {
    (void)state;
    subject s;
    int opened;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, NULL);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row};
    assert_true(load(&s, row, &opened));
    assert_true(opened > 0);
    /* The log says which kernel, how wrong, what instead and at what cost, how to report it: once, in one line. */
    static const char *const said[] = {"is set aside", "cpu:0", "nibble uses ", " instead", "times slower", "--json"};
    assert_non_null(strstr(lines, row));
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (!strstr(lines, said[i])) fail_msg("the log does not say \"%s\": %s", said[i], lines);
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1);
    /* Remembered: no check, and a shorter word. */
    assert_true(load(&s, row, &opened));
    assert_int_equal(opened, 0);
    assert_non_null(strstr(lines, row));
    assert_null(strstr(lines, "is set aside"));
    subject_close(&s);
}

static void test_load_with_crash(void **state) {
    (void)state;
    subject s;
    int opened;
    subject_open(&s, PLAIN);
    const char *row = subject_row(&s, KOP_ATTENTION, NULL);
    planted_now = (planted){.fault = PLANTED_CRASH, .row = row};
    assert_true(load(&s, row, &opened));
    assert_non_null(strstr(lines, "crashed"));
    subject_close(&s);
}

/* What a whole verification has found holds at the next load. */
static void test_verdict_of_report(void **state) {
    (void)state;
    subject s;
    int opened;
    verdict v;
    nb_error err;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, NULL);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row};
    report r = run_level(&s, VERIFY_KERNELS);
    must(verify_judge(&r, subject_set(&s, s.m.plan), &v, &err), &err);
    assert_int_equal(v.n_aside, 1);
    assert_string_equal(v.aside[0].kernel, row);
    assert_string_equal(v.aside[0].instead, row_named(&r, row)->instead);
    assert_true(v.aside[0].slowdown > 0);
    assert_int_equal(v.aside[0].kind, r.findings[0].kind);
    assert_true(v.n_kernels > 0);
    must(verdict_write(&v, &err), &err);
    planted_now = (planted){0}; /* even if the row is right just now */
    assert_true(load(&s, row, &opened));
    assert_int_equal(opened, 0);
    verdict_free(&v);
    report_free(&r);
    subject_close(&s);
}

/* A verification that left the level kernels out has not done what the check at load does: it does not stand for it,
 * and what it has found is kept beside what the check finds. */
static void test_verdict_of_one_level(void **state) {
    (void)state;
    subject s;
    int opened;
    verdict v;
    nb_error err;
    bool found;
    subject_open(&s, QUANTIZED);
    const uint64_t set = subject_set(&s, s.m.plan);
    const char *product = subject_row(&s, KOP_MATMUL, NULL), *norm = subject_row(&s, KOP_RMSNORM, NULL);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = norm};
    report r = run_level(&s, VERIFY_PLAN);
    must(verify_judge(&r, set, &v, &err), &err);
    assert_false(v.full);
    assert_int_equal(v.n_kernels, 0);
    must(verdict_write(&v, &err), &err);
    verdict_free(&v);
    report_free(&r);
    planted_now = (planted){.fault = PLANTED_WRONG, .row = product};
    assert_true(load(&s, product, &opened));
    assert_true(opened > 0);
    assert_non_null(strstr(lines, norm)); /* known */
    assert_non_null(strstr(lines, product));
    device *d = open_device();
    must(verdict_read(&d->info, set, &v, &found, &err), &err);
    assert_true(found);
    assert_int_equal(v.n_aside, 2);
    assert_true(v.n_kernels > 0);
    verdict_free(&v);
    d->free(d);
    assert_true(load(&s, norm, &opened));
    assert_int_equal(opened, 0);
    subject_close(&s);
}

/* A kernel that is known to be wrong is used by no other model either, nor by the same one with another cache; what
 * then takes its place is checked once, also where a verdict was made before. */
static void test_verdict_of_other_set(void **state) {
    (void)state;
    subject s;
    int opened;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_MATMUL, NULL);
    assert_false(load(&s, row, &opened));
    s.m.executor.kv_type = DT_F16;
    planted_now = (planted){.fault = PLANTED_WRONG, .row = row};
    assert_true(load(&s, row, &opened));
    planted_now = (planted){0}; /* the other set does not show it */
    s.m.executor.kv_type = DT_F32;
    for (int time = 0; time < 2; time++) {
        assert_true(load(&s, row, &opened));
        assert_int_equal(opened, time == 0);
        assert_non_null(strstr(lines, row));
        s.m.executor.kv_type = DT_F16;
        assert_true(load(&s, row, &opened)); /* this one has seen it */
        assert_int_equal(opened, 0);
        s.m.executor.kv_type = DT_F32;
    }
    subject_close(&s);
}

/* A verdict about the whole registry holds for every model; names that mean nothing here do no harm. */
static void test_verdict_of_registry(void **state) {
    (void)state;
    subject s;
    int opened;
    nb_error err;
    subject_open(&s, QUANTIZED);
    const char *row = subject_row(&s, KOP_RMSNORM, NULL);
    device *d = open_device();
    verdict v = {.device = d->info};
    snprintf(v.version, sizeof v.version, "%s", nb_version());
    finding f = {.kind = FOUND_WRONG_VALUE};
    snprintf(f.kernel, sizeof f.kernel, "no.such.kernel");
    assert_true(verdict_add(&v, &f));
    snprintf(f.kernel, sizeof f.kernel, "%s", row);
    assert_true(verdict_add(&v, &f));
    must(verdict_write(&v, &err), &err);
    assert_true(load(&s, row, &opened));
    assert_non_null(strstr(lines, row));
    assert_int_equal(opened, 1); /* the model itself was not checked before */
    verdict_free(&v);
    d->free(d);
    subject_close(&s);
}

/* Nothing is left of the norms: the plan cannot be computed any more, now or at the next load. */
static void test_load_with_nothing_left(void **state) {
    (void)state;
    subject s;
    nb_error err;
    subject_open(&s, PLAIN);
    planted_now = (planted){.fault = PLANTED_WRONG, .op = KOP_RMSNORM};
    for (int time = 0; time < 2; time++) {
        const verify_options o = options_for(&s);
        device *d = open_device();
        executor *e = NULL;
        planted_count_reset();
        must(verify_at_load(&o, d, 0.01, &err), &err);
        assert_int_equal(planted_count() > 0, time == 0);
        assert_int_equal(planted_backend.executor_new(d, s.m.plan, s.m.files, &s.m.executor, &e, &err),
                         NB_ERR_UNSUPPORTED);
        assert_null(e);
        assert_non_null(strstr(err.text, "norm"));
        d->free(d);
    }
    subject_close(&s);
}

/* Whoever watches the progress can end it, in each level; no child is left behind. */
static bool stop_it(void *user, const char *stage, double done, double total) {
    (void)done, (void)total;
    return strcmp(stage, user) != 0;
}

static void test_cancelled(void **state) {
    (void)state;
    static char stages[VERIFY_LEVELS][16];
    subject s;
    nb_error err;
    subject_open(&s, PLAIN);
    for (verify_level level = 0; level < VERIFY_LEVELS; level++) {
        verify_options o = options_for(&s);
        report r;
        snprintf(stages[level], sizeof stages[level], "%s", verify_level_name(level));
        o.levels[level] = true;
        o.progress = stop_it;
        o.progress_user = stages[level];
        assert_int_equal(verify_run(&o, &r, &err), NB_ERR_CANCELLED);
        report_free(&r);
    }
    subject_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_nothing_wrong),
                                       TEST(test_always_wrong),
                                       TEST(test_without_model),
                                       TEST(test_wrong_with_real_weights),
                                       TEST(test_wrong_in_one_step),
                                       TEST(test_innocent_rows),
                                       TEST(test_crash),
                                       TEST(test_hang),
                                       TEST(test_slow),
                                       TEST(test_nothing_left),
                                       TEST(test_load_without_fault),
                                       TEST(test_load_with_fault),
                                       TEST(test_load_with_crash),
                                       TEST(test_verdict_of_report),
                                       TEST(test_verdict_of_one_level),
                                       TEST(test_verdict_of_other_set),
                                       TEST(test_verdict_of_registry),
                                       TEST(test_load_with_nothing_left),
                                       TEST(test_cancelled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
