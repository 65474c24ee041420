/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowering: without fused rows the program is the plan step by step; with them steps are merged, only where the row is
 * there and no worse, and only where nobody else reads what would be gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/models.h"
#include "plan/lower.h"

static const char qwen3[] =
    "{\"model_type\":\"qwen3\",\"hidden_size\":64,\"num_hidden_layers\":1,\"intermediate_size\":96,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,\"vocab_size\":50,\"rms_norm_eps\":1e-6,"
    "\"rope_theta\":10000,\"max_position_embeddings\":64,\"tie_word_embeddings\":false}";

static bool takes(const krow *row, const kcall *c) {
    return row->param[0] == 0 || c->x.rows <= row->param[0];
}

static int64_t one_task(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

static void run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)c, (void)begin, (void)end, (void)scratch;
}

#define ROW(its_name, its_op, ...)                                                                                     \
    { .name = its_name, .backend = "test", .op = its_op, .takes = takes, .tasks = one_task, .run = run, __VA_ARGS__ }

static const krow plain_rows[] = {
    ROW("embed", KOP_EMBED, .rank = 0),
    ROW("rmsnorm", KOP_RMSNORM, .rank = 0),
    ROW("quantize", KOP_QUANTIZE, .rank = 0),
    ROW("matmul", KOP_MATMUL, .rank = 1, .x_type = DT_F32),
    ROW("rope_table", KOP_ROPE_TABLE, .rank = 0),
    ROW("rope", KOP_ROPE, .rank = 0),
    ROW("kv_store", KOP_KV_STORE, .rank = 0),
    ROW("attention", KOP_ATTENTION, .rank = 0),
    ROW("act_mul", KOP_ACT_MUL, .rank = 0),
    ROW("add", KOP_ADD, .rank = 0),
    ROW("select_rows", KOP_SELECT_ROWS, .rank = 0),
};

/* For 8 tokens at most. */
static const krow fused_rows[] = {
    ROW("matmul.fused", KOP_MATMUL, .rank = 2, .x_type = DT_F32, .param = {8}, .fused = KFUSED_NORM | KFUSED_ACT),
    ROW("rope.fused", KOP_ROPE, .rank = 0, .param = {8}, .fused = KFUSED_NORM),
    ROW("kv_store.fused", KOP_KV_STORE, .rank = 0, .param = {8}, .fused = KFUSED_NORM | KFUSED_ROPE),
};

static const krow half_rows[] = {
    ROW("matmul.half", KOP_MATMUL, .rank = 5, .x_type = DT_BF16, .rounds_to = DT_BF16),
};

typedef struct fixture {
    plan *p;
    kregistry *registry;
    kweight *weights, *experts;
    weight_pair *pairs;
    lower_target target;
} fixture;

static const kpages pages = {LOWER_SOMEWHERE, DT_F32, 4, 2, 64, 16};

static fixture make(bool pairs) {
    fixture f = {0};
    nb_error err;
    model_config config;
    const plan_spec *specs;
    size_t n;
    int gate, up;
    assert_int_equal(config_parse(qwen3, sizeof qwen3 - 1, "config.json", &config, &err), NB_OK);
    if (model_specs(&config, &f.p, &specs, &n, &err)) fail_msg("%s", err.text);
    config_close(&config);
    plan_fuse(f.p);
    assert_int_equal(kreg_new(&f.registry, &err), NB_OK);
    assert_int_equal(kreg_add(f.registry, plain_rows, sizeof plain_rows / sizeof *plain_rows, &err), NB_OK);
    assert_int_equal(plan_copy_weights(f.p, &f.weights, &f.experts, &err), NB_OK);
    for (int i = 0; i < f.p->n_weights; i++) f.weights[i].codes = LOWER_SOMEWHERE;
    f.pairs = calloc((size_t)f.p->n_steps + 1, sizeof *f.pairs);
    for (int i = 0; i < f.p->n_steps && pairs; i++) {
        f.pairs[i] = lower_pair(f.p, i, &gate, &up);
        if (f.pairs[i].w.n) f.pairs[i].w.codes = LOWER_SOMEWHERE;
    }
    f.target = (lower_target){.plan = f.p,
                              .steps = f.p->steps,
                              .name = "test",
                              .registry = f.registry,
                              .weights = f.weights,
                              .pairs = f.pairs,
                              .keys = &pages,
                              .values = &pages,
                              .tokens = LOWER_SOMEWHERE,
                              .positions = LOWER_SOMEWHERE,
                              .slots = LOWER_SOMEWHERE,
                              .outputs = LOWER_SOMEWHERE,
                              .tables = LOWER_SOMEWHERE};
    return f;
}

static void add_rows(fixture *f, const krow *rows, size_t n) {
    nb_error err;
    assert_int_equal(kreg_add(f->registry, rows, n, &err), NB_OK);
}

static void drop(fixture *f) {
    kreg_free(f->registry);
    free(f->weights);
    free(f->experts);
    free(f->pairs);
    plan_free(f->p);
}

/* The names of a program's rows, with what is fused in each. */
static void expect(const fixture *f, int64_t n_tokens, const char *want) {
    char got[2000] = "";
    nb_error err;
    program *p;
    if (program_new(&f->target, n_tokens, 1, &p, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < p->n_calls; i++) {
        const program_call *c = &p->calls[i];
        assert_true(kcall_ok(&c->call));
        const size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%s%s%s%s%s", i ? " " : "", c->row->name, c->call.normed ? "+norm" : "",
                 c->call.op == KOP_KV_STORE && c->call.z.data ? "+rope" : "",
                 kop_is_product(c->call.op) && c->call.act ? "+act" : "", c->call.residual.data ? "+residual" : "");
    }
    program_free(p);
    assert_string_equal(got, want);
}

static void step_by_step(void **state) {
    (void)state;
    fixture f = make(true);
    expect(&f, 3,
           "embed rope_table rmsnorm matmul matmul matmul rmsnorm rmsnorm rope rope kv_store kv_store attention "
           "matmul+residual rmsnorm matmul matmul act_mul matmul+residual select_rows rmsnorm matmul");
    drop(&f);
}

#define FUSED                                                                                                          \
    "embed rope_table matmul.fused+norm matmul.fused+norm matmul.fused+norm rope.fused+norm kv_store.fused+norm+rope " \
    "kv_store attention matmul.fused+residual "

static void merged(void **state) {
    (void)state;
    fixture f = make(true);
    add_rows(&f, fused_rows, sizeof fused_rows / sizeof *fused_rows);
    expect(&f, 3, FUSED "matmul.fused+norm+act matmul.fused+residual select_rows matmul.fused+norm");
    kreg_set_aside(f.registry, kreg_named(f.registry, "kv_store.fused"), true);
    expect(&f, 3,
           "embed rope_table matmul.fused+norm matmul.fused+norm matmul.fused+norm rope.fused+norm rope.fused+norm "
           "kv_store kv_store attention matmul.fused+residual matmul.fused+norm+act matmul.fused+residual "
           "select_rows matmul.fused+norm");
    drop(&f);
    f = make(false);
    add_rows(&f, fused_rows, sizeof fused_rows / sizeof *fused_rows);
    expect(&f, 3,
           FUSED "matmul.fused+norm matmul.fused+norm act_mul matmul.fused+residual select_rows "
                 "matmul.fused+norm");
    drop(&f);
}

/* Nine tokens are too many for the fused rows; but for the head, which has one row. */
static void not_where_a_row_is_missing(void **state) {
    (void)state;
    fixture f = make(true);
    add_rows(&f, fused_rows, sizeof fused_rows / sizeof *fused_rows);
    expect(&f, 9,
           "embed rope_table rmsnorm matmul matmul matmul rmsnorm rmsnorm rope rope kv_store kv_store attention "
           "matmul+residual rmsnorm matmul matmul act_mul matmul+residual select_rows matmul.fused+norm");
    drop(&f);
}

/* A better row without the fused part is worth more; and who makes a value writes it as it is read. */
static void not_where_it_is_worse(void **state) {
    (void)state;
    fixture f = make(true);
    add_rows(&f, fused_rows, sizeof fused_rows / sizeof *fused_rows);
    add_rows(&f, half_rows, 1);
    expect(&f, 3,
           "embed rope_table rmsnorm matmul.half matmul.half matmul.half rope.fused+norm kv_store.fused+norm+rope "
           "kv_store attention matmul.half+residual rmsnorm matmul.half matmul.half act_mul matmul.half+residual "
           "select_rows rmsnorm matmul.half");
    drop(&f);
}

/* Calls that wait for nothing since the last barrier do not depend on one another. */
static void barriers(void **state) {
    (void)state;
    fixture f = make(true);
    nb_error err;
    program *p;
    add_rows(&f, fused_rows, sizeof fused_rows / sizeof *fused_rows);
    assert_int_equal(program_new(&f.target, 3, 1, &p, &err), NB_OK);
    const bool want[] = {false, false, true, false, false, true, false, false, true, true, true, true, true, true};
    assert_int_equal(p->n_calls, sizeof want);
    for (int i = 0; i < p->n_calls; i++)
        if (p->calls[i].barrier != want[i]) fail_msg("call %d, %s", i, p->calls[i].row->name);
    program_free(p);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(step_by_step), cmocka_unit_test(merged),
                                       cmocka_unit_test(not_where_a_row_is_missing),
                                       cmocka_unit_test(not_where_it_is_worse), cmocka_unit_test(barriers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
