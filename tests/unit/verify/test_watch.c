/* SPDX-License-Identifier: Apache-2.0
 *
 * Re-checks of a running model with attention, experts and delta nets: right rows are never blamed, whatever step is
 * looked at and however many tokens there are; a row that becomes wrong while the model runs is found within few looks,
 * with its name and its step. A new watch looks at a step of its first run, so none of this depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/planted.h"
#include "verify/forward.h"
#include "verify/watch.h"

enum { LOOKS = 2000 };

typedef struct running {
    subject s;
    device *device;
    forward f;
} running;

/* The planted row is in the registry from here on; its fault comes and goes with planted_now. */
static void start(running *r, const planted *fault) {
    const device_options all = {0};
    nb_error err;
    subject_open(&r->s, "models/tiny/qwen3_5_moe");
    planted_now = *fault;
    must(planted_backend.open(0, &all, &r->device, &err), &err);
    planted_now.fault = PLANTED_NOTHING;
    must(forward_new(&planted_backend, r->device, r->s.m.plan, r->s.m.files, &r->s.m.executor, &r->f, &err), &err);
}

static void stop(running *r) {
    forward_free(&r->f);
    r->device->free(r->device);
    subject_close(&r->s);
}

/* n tokens of each of n_sequences sequences, from the beginning when there is no more room. */
static void run(running *r, int64_t n_sequences, int64_t n) {
    const float *logits;
    nb_error err;
    int32_t tokens[48];
    for (int i = 0; i < 48; i++) tokens[i] = r->s.tokens[i % 24];
    for (int32_t s = 0; s < FORWARD_SEQUENCES; s++) {
        if (r->f.n_tokens[s] + n <= 256) continue;
        r->f.n_tokens[s] = 0;
        must(r->f.executor->copy_state(r->f.executor, -1, s, &err), &err);
    }
    must(forward_run(&r->f, n_sequences, tokens, n, 1, &logits, &err), &err);
}

/* One run under a watch of its own, whose choice follows from the seed. *n_checked: steps that it looked at. */
static nb_status look(running *r, uint64_t seed, int64_t n_sequences, int64_t n, finding *f, int64_t *n_checked,
                      nb_error *err) {
    watch *w;
    must(watch_new(r->device, r->f.executor, r->s.m.plan, seed, &w, err), err);
    watch_before(w, n_sequences * n);
    run(r, n_sequences, n);
    const nb_status status = watch_after(w, f, err);
    *n_checked = watch_count(w);
    assert_null(r->f.executor->observer);
    assert_int_equal(r->f.executor->observed_step, PLAN_NONE);
    watch_free(w);
    return status;
}

/* ---- Right rows ------------------------------------------------------------------------------------------------- */

static void test_right_rows(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {1, 24}, {2, 1}, {2, 5}, {1, 3}};
    running r = {0};
    const planted none = {0};
    start(&r, &none);
    int64_t n_looked = 0;
    for (uint64_t i = 0; i < LOOKS; i++) {
        finding f;
        nb_error err;
        int64_t n;
        const int64_t *shape = shapes[i % 5];
        if (look(&r, i, shape[0], shape[1], &f, &n, &err)) fail_msg("seed %d: %s", (int)i, err.text);
        assert_int_equal(f.kind, FOUND_NOTHING);
        n_looked += n;
    }
    /* It leaves out little: states of many tokens, and steps that only move what others have made. */
    if (n_looked < LOOKS / 2) fail_msg("it looked at %d of %d steps", (int)n_looked, LOOKS);
    stop(&r);
}

/* One watch over a long run, which skips most runs, gives no alarm either. */
static void test_one_watch(void **state) {
    (void)state;
    running r = {0};
    const planted none = {0};
    watch *w;
    nb_error err;
    start(&r, &none);
    must(watch_new(r.device, r.f.executor, r.s.m.plan, 5, &w, &err), &err);
    for (int i = 0; i < 500; i++) {
        finding f;
        watch_before(w, 1);
        run(&r, 1, 1);
        must(watch_after(w, &f, &err), &err);
        assert_int_equal(f.kind, FOUND_NOTHING);
    }
    assert_true(watch_count(w) >= 1);
    assert_true(watch_count(w) < 500); /* a check takes longer than a hundredth of a run */
    watch_free(w);
    stop(&r);
}

/* ---- Wrong ones ------------------------------------------------------------------------------------------------- */

/* Runs well, becomes wrong, is found; runs well again when the fault has gone. */
static void finds(kop op) {
    running r = {0};
    subject s;
    subject_open(&s, "models/tiny/qwen3_5_moe");
    const char *row = subject_row(&s, op, NULL);
    subject_close(&s);
    start(&r, &(planted){.fault = PLANTED_WRONG, .row = row});
    finding f;
    nb_error err;
    int64_t n;
    for (uint64_t seed = 0; seed < 50; seed++) must(look(&r, seed, 1, 1, &f, &n, &err), &err);
    planted_now = (planted){.fault = PLANTED_WRONG};
    nb_status status = NB_OK;
    uint64_t seed = 0;
    for (; seed < LOOKS && !status; seed++) status = look(&r, seed, 1, 1, &f, &n, &err);
    if (!status) fail_msg("%s was not found", row);
    assert_int_equal(status, NB_ERR_INTERNAL);
    if (strcmp(f.kernel, row) != 0) fail_msg("%s is wrong, but this is said: %s", row, err.text);
    assert_int_equal(f.op, op);
    assert_int_equal(f.level, VERIFY_PLAN);
    assert_non_null(strstr(err.text, row));
    assert_non_null(strstr(err.text, "step "));
    bool is_step = false;
    for (int i = 0; i < r.s.m.plan->n_steps; i++) {
        const plan_step *step = &r.s.m.plan->steps[i];
        is_step |= step->op == op && step->layer == f.layer && strcmp(step->name ? step->name : "", f.step) == 0;
    }
    if (!is_step) fail_msg("\"%s\" of layer %d is no step %s", f.step, f.layer, kop_name(op));
    planted_now.fault = PLANTED_NOTHING;
    for (seed = 0; seed < 50; seed++) must(look(&r, seed, 1, 1, &f, &n, &err), &err);
    stop(&r);
}

/* NaN spreads through the model, but only one row has made it. */
static void test_nan(void **state) {
    (void)state;
    running r = {0};
    subject s;
    finding f;
    nb_error err;
    int64_t n;
    subject_open(&s, "models/tiny/qwen3_5_moe");
    const char *row = subject_row(&s, KOP_RMSNORM, NULL);
    subject_close(&s);
    start(&r, &(planted){.fault = PLANTED_NAN, .row = row});
    planted_now = (planted){.fault = PLANTED_NAN};
    int n_found = 0;
    for (uint64_t seed = 0; seed < LOOKS; seed++) {
        if (look(&r, seed, 1, 1, &f, &n, &err) == NB_OK) continue;
        if (strcmp(f.kernel, row) != 0) fail_msg("%s is wrong, but this is said: %s", row, err.text);
        n_found++;
    }
    assert_true(n_found > 0);
    stop(&r);
}

static void test_wrong_product(void **state) {
    (void)state;
    finds(KOP_MATMUL);
}

static void test_wrong_experts(void **state) {
    (void)state;
    finds(KOP_MATMUL_EXPERTS);
}

static void test_wrong_attention(void **state) {
    (void)state;
    finds(KOP_ATTENTION);
}

static void test_wrong_delta(void **state) {
    (void)state;
    finds(KOP_DELTA);
}

static void test_wrong_norm(void **state) {
    (void)state;
    finds(KOP_RMSNORM);
}

/* After the first alarm it stays one: the state of the sequence is spoilt. */
static void test_alarm_stays(void **state) {
    (void)state;
    running r = {0};
    watch *w;
    nb_error err;
    finding f;
    nb_status status = NB_OK;
    start(&r, &(planted){.fault = PLANTED_WRONG, .op = KOP_RMSNORM});
    planted_now = (planted){.fault = PLANTED_WRONG, .op = KOP_RMSNORM};
    uint64_t seed = 0;
    for (; seed < LOOKS && !status; seed++) {
        must(watch_new(r.device, r.f.executor, r.s.m.plan, seed, &w, &err), &err);
        watch_before(w, 1);
        run(&r, 1, 1);
        status = watch_after(w, &f, &err);
        if (!status) watch_free(w);
    }
    assert_int_equal(status, NB_ERR_INTERNAL);
    planted_now.fault = PLANTED_NOTHING;
    watch_before(w, 1);
    run(&r, 1, 1);
    assert_int_equal(watch_after(w, &f, &err), NB_ERR_INTERNAL);
    watch_free(w);
    stop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_right_rows),      cmocka_unit_test(test_one_watch),
                                       cmocka_unit_test(test_wrong_product),   cmocka_unit_test(test_wrong_experts),
                                       cmocka_unit_test(test_wrong_attention), cmocka_unit_test(test_wrong_delta),
                                       cmocka_unit_test(test_wrong_norm),      cmocka_unit_test(test_nan),
                                       cmocka_unit_test(test_alarm_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
