/* SPDX-License-Identifier: Apache-2.0
 *
 * The samplers' and logits' memory is written by the host, that of tokens and scratch by kernels only. */
#include "gpu/sample_draws.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "gpu/sample.h"
#include "gpu/sim/sim.h"

static const sim_device_kind *kind;

/* A device's, as it is told. */
static void *device_alloc(size_t bytes) {
    void *p = sim_alloc(bytes);
    assert_non_null(p);
    if (kind->added) kind->added(p, bytes);
    return p;
}

static void device_release(void *p) {
    if (kind->removed) kind->removed(p);
    sim_release(p);
}

static void host_wrote(const void *p, size_t bytes) {
    if (kind->wrote) kind->wrote(p, bytes);
}

enum { DRAWS = 2, ROWS = 2 };

static uint64_t noise_state = 1;
static double noise(void) {
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(noise_state >> 11) * 0x1p-53;
}

/* As a model's: a few likely tokens, many unlikely ones, equal ones among them. */
static void fill_logits(float *logits, int vocab, double width) {
    for (int i = 0; i < vocab; i++) {
        const double sum = noise() + noise() + noise() + noise() - 2;
        logits[i] = (float)(width * sum);
        if (i % 7 == 0) logits[i] = roundf(logits[i]);
        if (i % 97 == 0) logits[i] = -INFINITY;
    }
}

typedef struct bench {
    void *samplers[ROWS];
    uint64_t *addresses;
    float *logits;
    int32_t *tokens;
    void *scratch;
} bench;

static bench bench_new(const nb_sampling *s, int vocab, const int32_t *prompt, size_t n) {
    bench b = {.addresses = device_alloc(ROWS * sizeof(uint64_t)),
               .logits = device_alloc(ROWS * (size_t)vocab * sizeof(float)),
               .tokens = device_alloc(ROWS * sizeof(int32_t)),
               .scratch = device_alloc(gpu_draw_scratch(ROWS, vocab, true))};
    for (int r = 0; r < ROWS; r++) {
        b.samplers[r] = device_alloc(gpu_sampler_bytes(s));
        gpu_sampler_fill(s, prompt, n, b.samplers[r]);
        host_wrote(b.samplers[r], gpu_sampler_bytes(s));
        b.addresses[r] = (uint64_t)(uintptr_t)b.samplers[r];
    }
    host_wrote(b.addresses, ROWS * sizeof(uint64_t));
    return b;
}

static void bench_free(bench *b) {
    for (int r = 0; r < ROWS; r++) device_release(b->samplers[r]);
    device_release(b->addresses);
    device_release(b->logits);
    device_release(b->tokens);
    device_release(b->scratch);
}

static void bench_draw(const bench *b, const nb_sampling *s, int vocab) {
    gpu_launches list = {0};
    const gpu_draw d = {.rows = ROWS,
                        .vocab = vocab,
                        .stride = vocab,
                        .logits = b->logits,
                        .samplers = b->addresses,
                        .tokens = b->tokens,
                        .scratch = b->scratch,
                        .penalties = gpu_has_penalties(s),
                        .random = s->temperature > 0};
    char error[SIM_ERROR_TEXT];
    gpu_draw_launches(&d, &list);
    host_wrote(b->logits, ROWS * (size_t)vocab * sizeof(float));
    for (int i = 0; i < list.n; i++)
        if (!kind->launch(&list.at[i], error)) fail_msg("%s", error);
}

/* Each row's first draw has the same generator, and its own logits. */
static void same_tokens(const nb_sampling *s, int vocab, double width) {
    nb_model model = {.dims = {.vocab_size = vocab}};
    nb_sampler *cpu[ROWS];
    nb_error err = {0};
    const int32_t prompt[] = {1, 5, 9, 5, 3, 1, 1, 8, 2, 4};
    bench b = bench_new(s, vocab, prompt, 10);
    float *copy = malloc((size_t)vocab * sizeof *copy);
    assert_true(gpu_sampler_ok(s) && copy);
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(nb_sampler_new(&model, s, &cpu[r], &err), NB_OK);
        assert_int_equal(nb_sampler_accept(cpu[r], prompt, 10, &err), NB_OK);
    }
    for (int i = 0; i < DRAWS; i++) {
        int32_t expected[ROWS];
        for (int r = 0; r < ROWS; r++) {
            fill_logits(b.logits + r * vocab, vocab, width);
            memcpy(copy, b.logits + r * vocab, (size_t)vocab * sizeof *copy);
            assert_int_equal(nb_sampler_draw(cpu[r], copy, &expected[r], &err), NB_OK);
        }
        bench_draw(&b, s, vocab);
        for (int r = 0; r < ROWS; r++) {
            assert_int_equal(b.tokens[r], expected[r]);
            assert_int_equal(gpu_sampler_drawn(b.samplers[r]).token, expected[r]);
            assert_int_equal(gpu_sampler_drawn(b.samplers[r]).bad, 0);
        }
    }
    for (int r = 0; r < ROWS; r++) nb_sampler_free(cpu[r]);
    free(copy);
    bench_free(&b);
}

/* Sharp, usual and flat distributions; a vocabulary smaller than the number of slices, and larger ones. */
static void everywhere(const nb_sampling *s) {
    same_tokens(s, 11, 5);
    same_tokens(s, 1000, 0.5);
    same_tokens(s, 3001, 12);
}

static nb_sampling sampling(float temperature) {
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = temperature;
    s.seed = 42;
    return s;
}

static void test_greedy(void **state) {
    (void)state;
    const nb_sampling s = sampling(0);
    everywhere(&s);
}

static void test_penalties(void **state) {
    (void)state;
    nb_sampling s = sampling(0);
    const int32_t ids[] = {3, 7, 3, 10};
    const float values[] = {2, -1.5f, 0.25f, 3};
    s.repetition_penalty = 1.3f;
    s.repetition_context_size = 7;
    s.presence_penalty = 0.7f;
    s.frequency_penalty = 0.4f;
    s.frequency_context_size = 3;
    s.logit_bias_ids = ids;
    s.logit_bias_values = values;
    s.n_logit_bias = 4;
    everywhere(&s);
    s.temperature = 0.8f;
    everywhere(&s);
}

static void test_temperature(void **state) {
    (void)state;
    const nb_sampling s = sampling(0.7f), hot = sampling(1.5f);
    everywhere(&s);
    everywhere(&hot);
}

static void test_filters(void **state) {
    (void)state;
    for (int which = 1; which < 8; which += which < 4 ? 1 : 3) { /* one, two, all of them */
        nb_sampling s = sampling(0.9f);
        if (which & 1) s.top_p = 0.9f;
        if (which & 2) s.min_p = 0.05f, s.min_tokens_to_keep = which & 4 ? 5 : 1;
        if (which & 4) s.top_k = 8;
        everywhere(&s);
    }
    nb_sampling s = sampling(1);
    s.min_p = 0.9f;
    s.min_tokens_to_keep = 6;
    everywhere(&s);
}

static void test_broken_logits(void **state) {
    (void)state;
    static const float wrong[] = {NAN, INFINITY};
    const nb_sampling s = sampling(1);
    for (int i = 0; i < 2; i++) {
        bench b = bench_new(&s, 1000, NULL, 0);
        fill_logits(b.logits, 1000, 5);
        fill_logits(b.logits + 1000, 1000, 5);
        b.logits[0] = 0;
        b.logits[97] = 0;
        b.logits[1000 + 95] = wrong[i];
        b.logits[1000] = 0;
        bench_draw(&b, &s, 1000);
        assert_int_equal(gpu_sampler_drawn(b.samplers[0]).bad, 0);
        assert_int_equal(gpu_sampler_drawn(b.samplers[1]).bad, 96);
        assert_true(b.tokens[0] >= 0 && b.tokens[1] == -1);
        bench_free(&b);
    }
}

int sample_draws(const sim_device_kind *on) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_greedy), cmocka_unit_test(test_penalties),
                                       cmocka_unit_test(test_temperature), cmocka_unit_test(test_filters),
                                       cmocka_unit_test(test_broken_logits)};
    kind = on;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
