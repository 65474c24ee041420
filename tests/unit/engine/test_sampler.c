/* SPDX-License-Identifier: Apache-2.0
 *
 * The sampler against the distributions that mlx-lm's filters and penalties make (tools/make_sampling_goldens.py): many
 * draws must have the expected frequencies, and never a token that is filtered out. Against the definitions of PENALIZE
 * and DRAW, which devices' kernels are held against: each token is the same. And its promises about seeds and broken
 * logits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "engine/engine.h"
#include "kernels/sampler.h"
#include "ref/ref.h"

enum { MAX_VOCAB = 64, DRAWS = 20000 };

/* A model of which the sampler needs only this. */
static nb_model bare_model(int vocab) {
    nb_model m = {0};
    m.dims.vocab_size = vocab;
    m.generation.eos_ids[0] = 3;
    m.generation.n_eos = 1;
    return m;
}

static int numbers(const cJSON *array, double *out) {
    int n = 0;
    for (const cJSON *item = array->child; item; item = item->next) out[n++] = item->valuedouble;
    return n;
}

static double param(const cJSON *params, const char *name, double fallback) {
    const cJSON *item = cJSON_GetObjectItem(params, name);
    return item ? item->valuedouble : fallback;
}

static nb_sampling read_params(const cJSON *p, int32_t *ids, float *values) {
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = (float)param(p, "temperature", 1);
    s.top_p = (float)param(p, "top_p", 0);
    s.min_p = (float)param(p, "min_p", 0);
    s.min_tokens_to_keep = (int)param(p, "min_tokens_to_keep", 1);
    s.top_k = (int)param(p, "top_k", 0);
    s.xtc_probability = (float)param(p, "xtc_probability", 0);
    s.xtc_threshold = (float)param(p, "xtc_threshold", 0.1);
    s.repetition_penalty = (float)param(p, "repetition_penalty", 0);
    s.repetition_context_size = (int)param(p, "repetition_context_size", 20);
    s.presence_penalty = (float)param(p, "presence_penalty", 0);
    s.presence_context_size = (int)param(p, "presence_context_size", 20);
    s.frequency_penalty = (float)param(p, "frequency_penalty", 0);
    s.frequency_context_size = (int)param(p, "frequency_context_size", 20);
    const cJSON *bias = cJSON_GetObjectItem(p, "logit_bias");
    for (const cJSON *item = bias ? bias->child : NULL; item; item = item->next) {
        ids[s.n_logit_bias] = atoi(item->string);
        values[s.n_logit_bias++] = (float)item->valuedouble;
    }
    s.logit_bias_ids = ids;
    s.logit_bias_values = values;
    return s;
}

static void check_case(const cJSON *item, int number) {
    double logits[MAX_VOCAB], want[MAX_VOCAB], history[MAX_VOCAB];
    const int vocab = numbers(cJSON_GetObjectItem(item, "logits"), logits);
    numbers(cJSON_GetObjectItem(item, "probabilities"), want);
    const int n_history = numbers(cJSON_GetObjectItem(item, "history"), history);
    int32_t tokens[MAX_VOCAB], bias_ids[8];
    float bias_values[8];
    for (int i = 0; i < n_history; i++) tokens[i] = (int32_t)history[i];
    nb_model m = bare_model(vocab);
    nb_sampling s = read_params(cJSON_GetObjectItem(item, "params"), bias_ids, bias_values);
    int seen[MAX_VOCAB] = {0};
    nb_error err;
    for (int d = 0; d < DRAWS; d++) {
        nb_sampler *sampler;
        s.seed = (uint64_t)d * 7919 + 1;
        assert_int_equal(nb_sampler_new(&m, &s, &sampler, &err), NB_OK);
        assert_int_equal(nb_sampler_accept(sampler, tokens, (size_t)n_history, &err), NB_OK);
        float now[MAX_VOCAB];
        for (int i = 0; i < vocab; i++) now[i] = (float)logits[i];
        int32_t token;
        assert_int_equal(nb_sampler_draw(sampler, now, &token, &err), NB_OK);
        seen[token]++;
        nb_sampler_free(sampler);
    }
    for (int i = 0; i < vocab; i++) {
        double expected = want[i] * DRAWS, deviation = sqrt(expected * (1 - want[i]));
        if (want[i] == 0 && seen[i] > 0)
            fail_msg("case %d: token %d was drawn %d times, it is filtered out", number, i, seen[i]);
        if (fabs(seen[i] - expected) > 5 * deviation + 3)
            fail_msg("case %d: token %d was drawn %d times, expected %.0f +- %.0f", number, i, seen[i], expected,
                     deviation);
    }
}

static void test_goldens(void **state) {
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/sampling/goldens.json", getenv("NB_TEST_DATA"));
    cJSON *cases;
    nb_error err;
    assert_int_equal(json_read(path, &cases, &err), NB_OK);
    assert_true(cJSON_GetArraySize(cases) >= 22);
    int number = 0;
    for (const cJSON *item = cases->child; item; item = item->next) check_case(item, number++);
    cJSON_Delete(cases);
}

/* Draws 200 tokens in a row from one sampler. */
static void draw_many(const nb_sampling *s, int32_t *out) {
    nb_model m = bare_model(MAX_VOCAB);
    nb_sampler *sampler;
    nb_error err;
    assert_int_equal(nb_sampler_new(&m, s, &sampler, &err), NB_OK);
    for (int d = 0; d < 200; d++) {
        float logits[MAX_VOCAB];
        for (int i = 0; i < MAX_VOCAB; i++) logits[i] = (float)((i * 37 + d * 11) % 23) * 0.1f;
        assert_int_equal(nb_sampler_draw(sampler, logits, &out[d], &err), NB_OK);
    }
    nb_sampler_free(sampler);
}

static void test_seeds(void **state) {
    (void)state;
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = 1;
    s.repetition_penalty = 1.2f;
    int32_t a[200], b[200];
    s.seed = 5;
    draw_many(&s, a);
    draw_many(&s, b);
    assert_memory_equal(a, b, sizeof a);
    s.seed = 6;
    draw_many(&s, b);
    assert_memory_not_equal(a, b, sizeof a);
    s.temperature = 0; /* greedy: the seed does not matter */
    draw_many(&s, a);
    s.seed = 7;
    draw_many(&s, b);
    assert_memory_equal(a, b, sizeof a);
}

/* ---- The definitions -------------------------------------------------------------------------------------------- */

static uint64_t noise_state = 1;
static double noise(void) {
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(noise_state >> 11) * 0x1p-53;
}
static int below(int n) {
    return (int)(noise() * n);
}

enum { HISTORY = 30, BIASES = 5 };

static nb_sampling some_sampling(int32_t ids[BIASES], float values[BIASES], int vocab) {
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = below(5) ? (float)(noise() * 3) : 0;
    if (below(3) == 0) s.top_p = (float)noise();
    if (below(3) == 0) s.min_p = (float)(noise() * noise() * noise());
    if (below(2) == 0) s.min_tokens_to_keep = 1 + below(vocab);
    if (below(3) == 0) s.top_k = 1 + below(vocab);
    if (below(2) == 0) s.repetition_penalty = (float)(0.5 + noise());
    if (below(2) == 0) s.presence_penalty = (float)(2 * noise() - 1);
    if (below(2) == 0) s.frequency_penalty = (float)(2 * noise() - 1);
    s.repetition_context_size = below(HISTORY + 2);
    s.presence_context_size = below(HISTORY + 2);
    s.frequency_context_size = below(HISTORY + 2);
    s.n_logit_bias = (size_t)below(BIASES + 1);
    for (size_t i = 0; i < s.n_logit_bias; i++) {
        ids[i] = below(vocab);
        values[i] = (float)(4 * noise() - 2);
    }
    s.logit_bias_ids = ids;
    s.logit_bias_values = values;
    s.seed = noise_state;
    return s;
}

/* What the definitions make of the logits, which get the penalties; NaN: the token hangs on roundings. */
static double defined_token(const nb_sampling *s, const int32_t *history, float *logits, int vocab) {
    const size_t bytes = ksampler_bytes(s, HISTORY);
    void *sampler = malloc(bytes);
    double y[MAX_VOCAB];
    const int32_t slot = 0;
    assert_non_null(sampler);
    ksampler_fill(s, history, HISTORY, sampler);
    kcall c = {.op = KOP_PENALIZE, .slots = &slot, .samplers = sampler, .samplers_bytes = bytes};
    c.x = c.y = (kmat){logits, DT_F32, 1, vocab, vocab, 0};
    ref_run(&c, y, NULL);
    for (int i = 0; i < vocab; i++) logits[i] = (float)y[i];
    c.op = KOP_DRAW;
    c.y.cols = 1;
    if (s->temperature == 0 && below(2)) c.samplers = NULL;
    ref_run(&c, y, NULL);
    free(sampler);
    return y[0];
}

/* Logits of all widths, equal ones among them, some forbidden. */
static void test_definitions(void **state) {
    (void)state;
    int doubtful = 0;
    for (int i = 0; i < DRAWS; i++) {
        const int vocab = 1 + below(MAX_VOCAB);
        const double width = 8 * noise();
        const bool whole = below(4) == 0;
        float host[MAX_VOCAB], here[MAX_VOCAB];
        int32_t history[HISTORY], ids[BIASES], token;
        float values[BIASES];
        nb_model m = bare_model(vocab);
        nb_sampler *sampler;
        nb_error err;
        for (int j = 0; j < vocab; j++) {
            host[j] = j && below(20) == 0 ? -INFINITY : (float)(width * (noise() + noise() - 1));
            if (whole) host[j] = roundf(host[j]);
        }
        memcpy(here, host, (size_t)vocab * sizeof *host);
        for (int j = 0; j < HISTORY; j++) history[j] = below(vocab);
        const nb_sampling s = some_sampling(ids, values, vocab);
        assert_int_equal(nb_sampler_new(&m, &s, &sampler, &err), NB_OK);
        assert_int_equal(nb_sampler_accept(sampler, history, HISTORY, &err), NB_OK);
        assert_int_equal(nb_sampler_draw(sampler, host, &token, &err), NB_OK);
        nb_sampler_free(sampler);
        const double want = defined_token(&s, history, here, vocab);
        assert_memory_equal(here, host, (size_t)vocab * sizeof *host);
        if (!isnan(want) && want != token) fail_msg("draw %d: the sampler draws %d, defined is %g", i, token, want);
        doubtful += isnan(want);
    }
    assert_true(doubtful < DRAWS / 1000);
}

static nb_status draw_from(float *logits, int n, float temperature, int32_t *token, nb_error *err) {
    nb_model m = bare_model(n);
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = temperature;
    nb_sampler *sampler;
    assert_int_equal(nb_sampler_new(&m, &s, &sampler, err), NB_OK);
    nb_status status = nb_sampler_draw(sampler, logits, token, err);
    nb_sampler_free(sampler);
    return status;
}

static void test_broken_logits(void **state) {
    (void)state;
    nb_error err;
    int32_t token = -1;
    float ok[4] = {0, -INFINITY, 2, 1}, nan[4] = {0, 1, NAN, 2}, inf[4] = {0, INFINITY, 1, 2};
    float none[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (int t = 0; t < 2; t++) {
        assert_int_equal(draw_from(nan, 4, (float)t, &token, &err), NB_ERR_INTERNAL);
        assert_non_null(strstr(err.text, "token 2"));
        assert_int_equal(draw_from(inf, 4, (float)t, &token, &err), NB_ERR_INTERNAL);
        assert_int_equal(draw_from(none, 4, (float)t, &token, &err), NB_ERR_INTERNAL);
        assert_int_equal(draw_from(ok, 4, (float)t, &token, &err), NB_OK);
        assert_true(token != 1);
    }
}

static void test_bad_parameters(void **state) {
    (void)state;
    nb_model m = bare_model(10);
    nb_error err;
    nb_sampler *sampler;
    nb_sampling s;
#define REFUSED(field, value, name)                                                                                    \
    do {                                                                                                               \
        nb_sampling_defaults(&s);                                                                                      \
        s.field = value;                                                                                               \
        assert_int_equal(nb_sampler_new(&m, &s, &sampler, &err), NB_ERR_ARGUMENT);                                     \
        assert_null(sampler);                                                                                          \
        assert_non_null(strstr(err.text, name));                                                                       \
    } while (0)
    REFUSED(temperature, -1, "temperature");
    REFUSED(temperature, NAN, "temperature");
    REFUSED(top_p, 1.5f, "top_p");
    REFUSED(min_p, -0.1f, "min_p");
    REFUSED(top_k, 11, "top_k");
    REFUSED(min_tokens_to_keep, 0, "min_tokens_to_keep");
    REFUSED(xtc_threshold, 0.6f, "xtc_threshold");
    REFUSED(repetition_penalty, -1, "repetition_penalty");
    nb_sampling_defaults(&s);
    s.logit_bias_ids = (int32_t[]){10};
    s.logit_bias_values = (float[]){1};
    s.n_logit_bias = 1;
    assert_int_equal(nb_sampler_new(&m, &s, &sampler, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "token 10"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),       cmocka_unit_test(test_seeds),          cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_broken_logits), cmocka_unit_test(test_bad_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
