/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn by the executor's device, here one that has the CPU's rows and draws by the reference: the same as those
 * that the host draws from the same logits, also where the two take turns, several sequences draw at once, or one
 * cannot. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "gpu/executor.h"
#include "support/host_gpu.h"
#include "verify/used.h"

enum { N_BATCH = 8, N_SEQUENCES = 3, STEPS = 12, PROMPT = 19 };

static void check_ok(nb_status status, const nb_error *err, const char *what) {
    if (status) fail_msg("%s: %s", what, err->text);
}

static nb_model *open_model(const char *name) {
    char dir[1024];
    nb_model *m;
    nb_error err;
    snprintf(dir, sizeof dir, "%s/models/%s", getenv("NB_TEST_DATA"), name);
    check_ok(nb_model_open(dir, &m, &err), &err, dir);
    return m;
}

static nb_sampling sampling(float temperature, uint64_t seed) {
    nb_sampling s;
    nb_sampling_defaults(&s);
    s.temperature = temperature;
    s.seed = seed;
    return s;
}

/* ---- Generation -------------------------------------------------------------------------------------------------- */

/* Who draws: bit i of it is of step i, 1 the device. */
enum { HOST = 0, DEVICE = ~0, TURNS = 0x35 };

typedef nb_status (*draw_fn)(executor *e, executor_draw *draws, int64_t n, nb_error *err);

typedef struct answer {
    int32_t tokens[N_SEQUENCES][STEPS];
} answer;

/* All sequences at once, each with its sampler; the prompts are longer than a batch. */
static void generate(nb_context *c, const nb_sampling *how, int n, int who, answer *out) {
    const draw_fn draw = c->executor->draw;
    int32_t prompt[N_SEQUENCES][PROMPT];
    nb_sampler *samplers[N_SEQUENCES];
    nb_batch_item items[N_SEQUENCES] = {0};
    nb_error err;
    assert_non_null(draw);
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < PROMPT; t++) prompt[i][t] = (int32_t)((t * 7 + i * 5) % c->model->dims.vocab_size);
        check_ok(nb_sampler_new(c->model, &how[i], &samplers[i], &err), &err, "a sampler");
        check_ok(nb_sampler_accept(samplers[i], prompt[i], PROMPT, &err), &err, "a prompt");
        items[i] = (nb_batch_item){.tokens = prompt[i], .n_tokens = PROMPT - i, .sampler = samplers[i]};
        check_ok(nb_sequence_new(c, &items[i].sequence, &err), &err, "a sequence");
    }
    for (int step = 0; step < STEPS; step++) {
        c->executor->draw = who >> step % 8 & 1 ? draw : NULL;
        for (int i = 0; i < n; i++) items[i].next = &out->tokens[i][step];
        check_ok(nb_forward(c, items, (size_t)n, &err), &err, "a step");
        for (int i = 0; i < n; i++) {
            items[i].tokens = &out->tokens[i][step];
            items[i].n_tokens = 1;
        }
    }
    c->executor->draw = draw;
    for (int i = 0; i < n; i++) {
        nb_sequence_free(items[i].sequence);
        nb_sampler_free(samplers[i]);
    }
}

static void same_everywhere(nb_context *c, const nb_sampling *how, int n) {
    static const int ways[] = {DEVICE, TURNS};
    answer want = {0};
    generate(c, how, n, HOST, &want);
    for (int i = 0; i < 2; i++) {
        answer got = {0};
        generate(c, how, n, ways[i], &got);
        assert_memory_equal(got.tokens, want.tokens, sizeof got.tokens);
    }
}

static void test_same_tokens(void **state) {
    (void)state;
    static const char *const models[] = {"llama-f32-minimal", "qwen3_5-f16"};
    const int32_t ids[] = {3, 7};
    const float values[] = {2, -1.5f};
    nb_sampling greedy = sampling(0, 1), hot = sampling(1.2f, 2), all = sampling(0.8f, 3), xtc = sampling(1, 4);
    hot.top_p = 0.9f;
    all.top_k = 20;
    all.repetition_penalty = 1.2f;
    all.presence_penalty = 0.3f;
    all.presence_context_size = 5;
    all.logit_bias_ids = ids;
    all.logit_bias_values = values;
    all.n_logit_bias = 2;
    xtc.xtc_probability = 0.5f;
    for (int i = 0; i < 2; i++) {
        nb_model *m = open_model(models[i]);
        nb_context *c = host_gpu_context(m, N_BATCH, N_SEQUENCES, 0);
        const nb_sampling of_three[] = {greedy, hot, all}, twice[] = {greedy, greedy}, not_there[] = {xtc, hot};
        same_everywhere(c, &greedy, 1);
        same_everywhere(c, &hot, 1);
        same_everywhere(c, &all, 1);
        same_everywhere(c, twice, 2);
        same_everywhere(c, of_three, 3);
        same_everywhere(c, not_there, 2);
        nb_context_free(c);
        c = host_gpu_context(m, N_BATCH, N_SEQUENCES, 1);
        same_everywhere(c, of_three, 3);
        nb_context_free(c);
        nb_model_free(m);
    }
}

/* ---- Single steps ------------------------------------------------------------------------------------------------ */

typedef struct bench {
    nb_model *model;
    nb_context *context;
    nb_sequence *sequence;
    nb_sampler *sampler;
} bench;

static bench bench_new(float temperature) {
    bench b = {.model = open_model("llama-f32-minimal")};
    const nb_sampling s = sampling(temperature, 5);
    nb_error err;
    b.context = host_gpu_context(b.model, N_BATCH, N_SEQUENCES, 0);
    check_ok(nb_sequence_new(b.context, &b.sequence, &err), &err, "a sequence");
    check_ok(nb_sampler_new(b.model, &s, &b.sampler, &err), &err, "a sampler");
    return b;
}

static void bench_free(bench *b) {
    nb_sampler_free(b->sampler);
    nb_sequence_free(b->sequence);
    nb_context_free(b->context);
    nb_model_free(b->model);
}

static nb_status step(const bench *b, float *logits, int32_t *next, nb_error *err) {
    const int32_t token = 3;
    nb_batch_item item = {.sequence = b->sequence,
                          .tokens = &token,
                          .n_tokens = 1,
                          .logits = logits,
                          .n_logits = 1,
                          .sampler = b->sampler,
                          .next = next};
    return nb_forward(b->context, &item, 1, err);
}

/* Launches of a step once the graph is there. */
static int launches_of_step(const bench *b) {
    int32_t next;
    nb_error err;
    for (int i = 0; i < 3; i++) check_ok(step(b, NULL, &next, &err), &err, "a step");
    const int before = host_gpu_launches();
    check_ok(step(b, NULL, &next, &err), &err, "a step");
    return host_gpu_launches() - before;
}

/* A greedy token is the model's graph and one call. What is set aside is not used: the host draws. Penalties are an
 * operation of their own. */
static void test_set_aside(void **state) {
    (void)state;
    bench b = bench_new(0);
    kregistry *r = b.context->device->registry;
    const executor *e = b.context->executor;
    nb_sampling plain = sampling(0, 1), penalized = plain;
    penalized.presence_penalty = 1;
    assert_true(e->can_draw(e, &plain) && e->can_draw(e, &penalized));
    assert_int_equal(launches_of_step(&b), 2);
    kreg_set_aside(r, kreg_named(r, "penalize.host"), true);
    assert_true(e->can_draw(e, &plain) && !e->can_draw(e, &penalized));
    assert_int_equal(launches_of_step(&b), 2);
    kreg_set_aside(r, kreg_named(r, "draw.host"), true);
    assert_false(e->can_draw(e, &plain));
    assert_int_equal(launches_of_step(&b), 1);
    bench_free(&b);
}

/* The check at load is told of these calls, with all the logits that the model has. */
static void test_used(void **state) {
    (void)state;
    bench b = bench_new(0);
    const executor_options o = {.n_threads = 1, .n_batch = N_BATCH, .kv_type = DT_F32};
    const plan_on_device p = {&host_gpu_backend, b.context->device, b.model->plan, b.model->files, o};
    used_calls calls = {0};
    nb_error err;
    int greedy = 0, random = 0, penalties = 0;
    check_ok(used_find(&p, &calls, &err), &err, "the calls of a plan");
    for (size_t i = 0; i < calls.n; i++) {
        const check_spec *s = &calls.items[i].spec;
        greedy += s->op == KOP_DRAW && !s->samplers && s->k == b.model->dims.vocab_size;
        random += s->op == KOP_DRAW && s->samplers && s->k == b.model->dims.vocab_size;
        penalties += s->op == KOP_PENALIZE && s->cols == b.model->dims.vocab_size;
    }
    assert_true(greedy == 1 && random == 1 && penalties == 1);
    used_free(&calls);
    bench_free(&b);
}

/* Who wants logits gets them, as they are without penalties; the host draws. */
static void test_logits_too(void **state) {
    (void)state;
    bench b = bench_new(0);
    float *logits = calloc((size_t)b.model->dims.vocab_size, sizeof *logits);
    int32_t next = 0, best = 0;
    nb_error err;
    assert_non_null(logits);
    check_ok(step(&b, logits, &next, &err), &err, "a step");
    for (int32_t i = 0; i < b.model->dims.vocab_size; i++)
        if (logits[i] > logits[best]) best = i;
    assert_int_equal(next, best);
    free(logits);
    bench_free(&b);
}

/* No memory for drawing: the host draws the same. */
static void test_no_memory(void **state) {
    (void)state;
    for (int left = 0; left < 2; left++) {
        bench b = bench_new(1), other = bench_new(1);
        int32_t next = -1, want = -2;
        nb_error err;
        const int32_t token = 5;
        const bench *both[] = {&b, &other};
        for (int i = 0; i < 2; i++) {
            nb_batch_item item = {.sequence = both[i]->sequence, .tokens = &token, .n_tokens = 1};
            check_ok(nb_forward(both[i]->context, &item, 1, &err), &err, "a pass");
        }
        check_ok(step(&other, NULL, &want, &err), &err, "a step");
        host_gpu_fail_after(left);
        check_ok(step(&b, NULL, &next, &err), &err, "a step");
        host_gpu_fail_after(-1);
        assert_int_equal(next, want);
        bench_free(&b);
        bench_free(&other);
    }
}

/* ---- Broken logits ----------------------------------------------------------------------------------------------- */

static nb_status (*real_run)(executor *e, const batch *b, const float **logits, nb_error *err);

static nb_status run_with_nan(executor *base, const batch *b, const float **logits, nb_error *err) {
    const gpu_executor *e = (gpu_executor *)base;
    nb_status status = real_run(base, b, NULL, err);
    if (status) return status;
    ((float *)(void *)(e->work + e->last->p->logits_offset))[7] = NAN;
    return logits ? base->fetch(base, logits, err) : NB_OK;
}

static void test_broken_logits(void **state) {
    (void)state;
    nb_error errors[2];
    for (int host = 0; host < 2; host++) {
        bench b = bench_new(0);
        executor *e = b.context->executor;
        int32_t next = -5;
        real_run = e->run;
        e->run = run_with_nan;
        if (host) e->draw = NULL;
        assert_int_equal(step(&b, NULL, &next, &errors[host]), NB_ERR_INTERNAL);
        assert_int_equal(next, -5);
        assert_int_equal(nb_sequence_length(b.sequence), 0);
        bench_free(&b);
    }
    assert_string_equal(errors[0].text, errors[1].text);
    assert_non_null(strstr(errors[0].text, "the logit of token 7 is"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_tokens), cmocka_unit_test(test_set_aside),
                                       cmocka_unit_test(test_used),        cmocka_unit_test(test_logits_too),
                                       cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_broken_logits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
