/* SPDX-License-Identifier: Apache-2.0
 *
 * Every small model of tests/data/models against its float64 results: all layers and all logits within 1e-4 of their
 * spread, whatever way the tokens went in, and bit for bit the same when another sequence runs beside it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "support/each_model.h"

static const char *const cpus[] = {"scalar", "avx2", "avx512", "neon"};
static const double TOLERANCE = 1e-4;

/* A model, its context, and what it must compute. */
typedef struct fixture {
    nb_model *model;
    nb_context *context;
    weights *golden;
    int32_t *tokens;
    float *want; /* [n, vocab] */
    int64_t n, vocab;
    float *got;
} fixture;

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

static const tensor *golden_tensor(const fixture *f, const char *name) {
    const tensor *t = weights_find(f->golden, name);
    assert_non_null(t);
    return t;
}

/* A copy of its data, aligned. */
static void *copy_of(const tensor *t) {
    void *copy = malloc(t->bytes);
    assert_non_null(copy);
    return memcpy(copy, t->data, t->bytes);
}

static fixture open_fixture(const char *dir, const char *cpu, int64_t n_batch) {
    fixture f = {0};
    nb_error err;
    char path[1600];
    check_ok(nb_model_open(dir, &f.model, &err), &err, dir);
    nb_context_options o = {.n_threads = 2, .n_batch = n_batch, .n_sequences = 3, .cpu = cpu};
    check_ok(nb_context_new(f.model, &o, &f.context, &err), &err, dir);
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    check_ok(weights_open_file(path, &f.golden, &err), &err, path);
    const tensor *tokens = golden_tensor(&f, "tokens"), *logits = golden_tensor(&f, "logits");
    f.tokens = copy_of(tokens);
    f.n = tokens->shape[0];
    f.want = copy_of(logits);
    f.vocab = logits->shape[1];
    f.got = calloc((size_t)(f.n * f.vocab), sizeof *f.got);
    assert_non_null(f.got);
    return f;
}

static void close_fixture(fixture *f) {
    free(f->got);
    free(f->tokens);
    free(f->want);
    weights_close(f->golden);
    nb_context_free(f->context);
    nb_model_free(f->model);
}

/* Largest error over the spread (standard deviation) of what it should be. */
static double worst(const float *got, const float *want, int64_t n) {
    double mean = 0, square = 0, error = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)want[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        square += ((double)want[i] - mean) * ((double)want[i] - mean) / (double)n;
        error = fmax(error, isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY);
    }
    return error / sqrt(square);
}

static void forward(const fixture *f, nb_sequence *s, int64_t from, int64_t n, float *logits) {
    nb_error err;
    nb_batch_item item = {.sequence = s, .tokens = f->tokens + from, .n_tokens = n, .logits = logits, .n_logits = n};
    check_ok(nb_forward(f->context, &item, 1, &err), &err, "forward");
}

static nb_sequence *new_sequence(const fixture *f) {
    nb_error err;
    nb_sequence *s;
    check_ok(nb_sequence_new(f->context, &s, &err), &err, "sequence");
    return s;
}

/* ---- One model under one instruction set ------------------------------------------------------------------------- */

/* The step that makes what goes out of a layer: its last one whose value is as wide as the residual stream. PLAN_NONE:
 * of those before the first layer. */
static int last_of_layer(const nb_model *model, int layer) {
    const plan *p = model->plan;
    int last = PLAN_NONE;
    for (int i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        if (layer == PLAN_NONE && s->layer != PLAN_NONE) break;
        const plan_value *y = s->y == PLAN_NONE ? NULL : &p->values[s->y];
        if (s->op == KOP_ROPE_TABLE) continue; /* its columns are the head's, by chance as many */
        if (s->layer == layer && y && y->rows == PLAN_TOKENS && y->cols == model->dims.hidden_size) last = i;
    }
    return last;
}

/* Compares the residual stream after each layer with hidden.<i>. */
typedef struct layer_check {
    const fixture *f;
    const char *dir;
    int64_t from, to; /* tokens of this pass: the engine cuts long inputs of models with recurrent states */
    int seen, passes;
} layer_check;

static void check_layer(void *user, int number, bool done, const krow *row, const kcall *c) {
    (void)row;
    layer_check *check = user;
    const plan_step *s = &check->f->model->plan->steps[number];
    if (!done || c->op != s->op) return; /* another call of the step: its input brought into another form */
    char name[32];
    if (number == last_of_layer(check->f->model, PLAN_NONE)) {
        snprintf(name, sizeof name, "hidden.embed");
        check->from = check->to;
        check->to += c->y.rows;
        check->passes++;
    } else if (s->layer != PLAN_NONE && number == last_of_layer(check->f->model, s->layer)) {
        snprintf(name, sizeof name, "hidden.%d", s->layer);
    } else {
        return;
    }
    const tensor *want = golden_tensor(check->f, name);
    assert_int_equal(c->y.type, DT_F32);
    assert_int_equal(c->y.stride, c->y.cols);
    assert_int_equal(c->y.rows, check->to - check->from);
    float *hidden = copy_of(want);
    double e = worst(c->y.data, hidden + check->from * c->y.cols, c->y.rows * c->y.cols);
    free(hidden);
    if (e > TOLERANCE) fail_msg("%s: %s is off by %.2e of its spread", check->dir, name, e);
    check->seen++;
}

static void check_whole(fixture *f, const char *dir) {
    layer_check check = {.f = f, .dir = dir};
    f->context->executor->observer = check_layer;
    f->context->executor->observer_user = &check;
    nb_sequence *s = new_sequence(f);
    forward(f, s, 0, f->n, f->got);
    f->context->executor->observer = NULL;
    double e = worst(f->got, f->want, f->n * f->vocab);
    printf("  %-60s %-8s %.1e of the logits' spread\n", f->context->executor->device, strrchr(dir, '/') + 1, e);
    if (e > TOLERANCE) fail_msg("%s: logits are off by %.2e of their spread", dir, e);
    assert_int_equal(check.seen, check.passes * ((int)f->model->dims.n_layers + 1));
    assert_int_equal(check.to, f->n);
    nb_sequence_free(s);
}

/* In pieces of 7, and token by token: the same within the tolerance of the first; our kernels promise the same bits. */
static void check_pieces(fixture *f, const char *dir, int64_t piece) {
    float *got = calloc((size_t)(f->n * f->vocab), sizeof *got);
    assert_non_null(got);
    nb_sequence *s = new_sequence(f);
    for (int64_t t = 0; t < f->n; t += piece) forward(f, s, t, t + piece < f->n ? piece : f->n - t, got + t * f->vocab);
    if (memcmp(got, f->got, (size_t)(f->n * f->vocab) * sizeof *got) != 0)
        fail_msg("%s: pieces of %lld tokens give other bits than one piece (%.2e of the spread)", dir, (long long)piece,
                 worst(got, f->got, f->n * f->vocab));
    nb_sequence_free(s);
    free(got);
}

/* Two sequences in the same batches, one a fork of the other's beginning: each as it is alone. */
static void check_interleaved(fixture *f, const char *dir) {
    const int64_t shared = f->n / 3, rest = f->n - shared;
    float *a = calloc((size_t)(rest * f->vocab), sizeof *a), *b = calloc((size_t)(rest * f->vocab), sizeof *b);
    assert_true(a && b);
    nb_sequence *s = new_sequence(f), *fork;
    nb_error err;
    forward(f, s, 0, shared, a);
    check_ok(nb_sequence_fork(s, shared, &fork, &err), &err, "fork");
    for (int64_t t = 0; t < rest; t++) {
        /* the fork reads other tokens, so that a mix-up shows */
        int32_t other = f->tokens[f->n - 1 - t];
        nb_batch_item items[2] = {
            {.sequence = s, .tokens = f->tokens + shared + t, .n_tokens = 1, .logits = a + t * f->vocab, .n_logits = 1},
            {.sequence = fork, .tokens = &other, .n_tokens = 1, .logits = b + t * f->vocab, .n_logits = 1}};
        check_ok(nb_forward(f->context, items, 2, &err), &err, "forward");
    }
    if (memcmp(a, f->got + shared * f->vocab, (size_t)(rest * f->vocab) * sizeof *a) != 0)
        fail_msg("%s: a sequence beside another gives other bits than alone", dir);
    /* and the fork alone, after the other is gone */
    nb_sequence_free(s);
    check_ok(nb_sequence_truncate(fork, shared, &err), &err, "truncate");
    for (int64_t t = 0; t < rest; t++) {
        int32_t other = f->tokens[f->n - 1 - t];
        nb_batch_item item = {
            .sequence = fork, .tokens = &other, .n_tokens = 1, .logits = a + t * f->vocab, .n_logits = 1};
        check_ok(nb_forward(f->context, &item, 1, &err), &err, "forward");
    }
    assert_memory_equal(a, b, (size_t)(rest * f->vocab) * sizeof *a);
    nb_sequence_free(fork);
    free(a);
    free(b);
}

static void check_model(const char *dir, void *user) {
    (void)user;
    char last[128] = "";
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        fixture f = open_fixture(dir, cpus[i], 0);
        if (strcmp(last, f.context->executor->device) != 0) { /* a name that this machine lacks narrows nothing */
            snprintf(last, sizeof last, "%s", f.context->executor->device);
            check_whole(&f, dir);
            check_pieces(&f, dir, 7);
            check_pieces(&f, dir, 1);
            check_interleaved(&f, dir);
        }
        close_fixture(&f);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static void test_goldens(void **state) {
    (void)state;
    assert_true(each_model("tests/data/models", "golden.safetensors", check_model, NULL) >= 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
