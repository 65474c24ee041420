/* SPDX-License-Identifier: Apache-2.0
 *
 * Every small model of tests/data/models on a GPU ($NIBBLE_DEVICE, or cuda:0) against its float64 results: token by
 * token, where rows compute as exactly as on a CPU, and as a whole, where products may round their operands to 16 bits;
 * and tokens that the device draws.
 */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"

/* Of the logits' spread: the largest error where rows are exact; their root mean square where operands are rounded,
 * since a router with two experts as good may choose the other one, which moves a token's logits by more than roundings
 * do. */
static const double EXACT = 1e-4, ROUNDED = 0.03;

enum { DRAWS = 4 };

typedef struct fixture {
    const char *dir;
    nb_model *model;
    nb_context *context;
    weights *golden;
    int32_t *tokens;
    float *want, *got; /* [n, vocab] */
    int64_t n, vocab;
} fixture;

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

static void *golden_copy(const fixture *f, const char *name, int64_t shape[2]) {
    const tensor *t = weights_find(f->golden, name);
    assert_non_null(t);
    shape[0] = t->shape[0];
    shape[1] = t->n_dims > 1 ? t->shape[1] : 1;
    void *copy = malloc(t->bytes);
    assert_non_null(copy);
    return memcpy(copy, t->data, t->bytes);
}

static fixture open_fixture(const char *dir, nb_kv_type kv_type) {
    fixture f = {.dir = dir};
    nb_error err;
    char path[1600];
    int64_t shape[2];
    check_ok(nb_model_open(dir, &f.model, &err), &err, dir);
    const char *wanted = getenv("NIBBLE_DEVICE");
    nb_context_options o = {.n_threads = 1, .n_sequences = 3, .kv_type = kv_type, .device = wanted ? wanted : "cuda:0"};
    check_ok(nb_context_new(f.model, &o, &f.context, &err), &err, dir);
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    check_ok(weights_open_file(path, &f.golden, &err), &err, path);
    f.tokens = golden_copy(&f, "tokens", shape);
    f.n = shape[0];
    f.want = golden_copy(&f, "logits", shape);
    f.vocab = shape[1];
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

/* Errors over the spread (standard deviation) of what it should be. */
typedef struct errors {
    double largest, mean; /* mean: root of the mean square */
} errors;

static errors errors_of(const fixture *f) {
    const int64_t n = f->n * f->vocab;
    double mean = 0, square = 0, largest = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)f->want[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double e = isfinite(f->got[i]) ? fabs((double)f->got[i] - (double)f->want[i]) : INFINITY;
        square += ((double)f->want[i] - mean) * ((double)f->want[i] - mean) / (double)n;
        largest = fmax(largest, e);
        sum += e * e / (double)n;
    }
    return (errors){largest / sqrt(square), sqrt(sum / square)};
}

static nb_sequence *new_sequence(const fixture *f) {
    nb_error err;
    nb_sequence *s;
    check_ok(nb_sequence_new(f->context, &s, &err), &err, "sequence");
    return s;
}

/* Tokens [from, from + n) in pieces. */
static void forward(const fixture *f, nb_sequence *s, int64_t from, int64_t n, int64_t piece) {
    nb_error err;
    for (int64_t t = from; t < from + n; t += piece) {
        nb_batch_item item = {.sequence = s,
                              .tokens = f->tokens + t,
                              .n_tokens = piece < from + n - t ? piece : from + n - t,
                              .logits = f->got + t * f->vocab};
        item.n_logits = item.n_tokens;
        check_ok(nb_forward(f->context, &item, 1, &err), &err, f->dir);
    }
}

static void expect(const fixture *f, const char *how, bool exact) {
    const errors e = errors_of(f);
    printf("  %-28s %-16s %.1e of the logits' spread at most, %.1e on average\n", strrchr(f->dir, '/') + 1, how,
           e.largest, e.mean);
    if (exact && !(e.largest <= EXACT))
        fail_msg("%s, %s: logits are off by %.2e of their spread", f->dir, how, e.largest);
    if (!(e.mean <= ROUNDED)) fail_msg("%s, %s: logits are off by %.2e on average", f->dir, how, e.mean);
}

/* A fork takes up half of a sequence's tokens: pages and states are copied on the device. */
static void check_fork(const fixture *f, nb_sequence *whole) {
    nb_error err;
    nb_sequence *fork;
    const int64_t half = f->n / 2;
    check_ok(nb_sequence_fork(whole, half, &fork, &err), &err, "fork");
    forward(f, fork, half, f->n - half, 1);
    expect(f, "forked", false);
    nb_sequence_free(fork);
}

/* Two sequences in one pass, the second one token behind. */
static void check_two(const fixture *f) {
    nb_error err;
    nb_sequence *a = new_sequence(f), *b = new_sequence(f);
    float *aside = calloc((size_t)f->vocab, sizeof *aside);
    assert_non_null(aside);
    forward(f, a, 0, 1, 1);
    for (int64_t t = 1; t < f->n; t++) {
        nb_batch_item items[2] = {
            {.sequence = b, .tokens = f->tokens + t - 1, .n_tokens = 1, .logits = aside, .n_logits = 1},
            {.sequence = a, .tokens = f->tokens + t, .n_tokens = 1, .logits = f->got + t * f->vocab, .n_logits = 1}};
        check_ok(nb_forward(f->context, items, 2, &err), &err, f->dir);
    }
    expect(f, "two sequences", true);
    free(aside);
    nb_sequence_free(a);
    nb_sequence_free(b);
}

/* Two sequences that draw, one of them at random, on the device or on the host. */
static void draw_tokens(const fixture *f, bool there, int32_t drawn[2][DRAWS]) {
    nb_error err;
    nb_batch_item items[2] = {0};
    executor *e = f->context->executor;
    nb_status (*const draw)(executor *, executor_draw *, int64_t, nb_error *) = e->draw;
    if (!there) e->draw = NULL;
    for (int i = 0; i < 2; i++) {
        nb_sampling how;
        nb_sampling_defaults(&how);
        if (i) how.temperature = 0.9f, how.top_p = 0.95f, how.repetition_penalty = 1.1f;
        items[i] = (nb_batch_item){.sequence = new_sequence(f), .tokens = f->tokens, .n_tokens = 2};
        check_ok(nb_sampler_new(f->model, &how, &items[i].sampler, &err), &err, "sampler");
    }
    for (int t = 0; t < DRAWS; t++) {
        for (int i = 0; i < 2; i++) items[i].next = &drawn[i][t];
        check_ok(nb_forward(f->context, items, 2, &err), &err, "drawing");
        for (int i = 0; i < 2; i++) items[i].tokens = &drawn[i][t], items[i].n_tokens = 1;
    }
    e->draw = draw;
    for (int i = 0; i < 2; i++) {
        nb_sampler_free(items[i].sampler);
        nb_sequence_free(items[i].sequence);
    }
}

static void check_drawn(const fixture *f) {
    int32_t host[2][DRAWS], there[2][DRAWS];
    assert_non_null(f->context->executor->draw);
    draw_tokens(f, false, host);
    draw_tokens(f, true, there);
    assert_memory_equal(host, there, sizeof host);
}

static void check_model(const char *dir) {
    fixture f = open_fixture(dir, NB_KV_F32);
    nb_sequence *single = new_sequence(&f);
    forward(&f, single, 0, f.n, 1);
    expect(&f, "token by token", true);
    nb_sequence_free(single);
    check_two(&f);
    check_drawn(&f);
    close_fixture(&f);
    f = open_fixture(dir, NB_KV_DEFAULT);
    nb_sequence *whole = new_sequence(&f);
    forward(&f, whole, 0, f.n, f.n);
    expect(&f, "whole", false);
    check_fork(&f, whole);
    nb_sequence_free(whole);
    close_fixture(&f);
}

static void all_models(void **state) {
    (void)state;
    char root[1024], dir[1400];
    const char *only = getenv("NB_ONLY_MODEL");
    snprintf(root, sizeof root, "%s/models", getenv("NB_TEST_DATA"));
    DIR *d = opendir(root);
    assert_non_null(d);
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        snprintf(dir, sizeof dir, "%s/%s/golden.safetensors", root, entry->d_name);
        FILE *f = fopen(dir, "rb");
        if (!f) continue;
        fclose(f);
        if (only && !strstr(entry->d_name, only)) continue;
        snprintf(dir, sizeof dir, "%s/%s", root, entry->d_name);
        check_model(dir);
        n++;
    }
    closedir(d);
    assert_true(n > 0);
    printf("%d models\n", n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
