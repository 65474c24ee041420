/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows that plans use on a GPU, as cases: each case of every small model, with prompts long enough for the rows of
 * large batches, is one that the very row of the plan takes, so that none goes unchecked when the model is loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "gpu/device.h"
#include "gpu/launch.h"
#include "support/each_model.h"
#include "support/taken_cases.h"
#include "verify/check_case.h"

static void must(nb_status status, const nb_error *err) {
    if (status) fail_msg("%s", err->text);
}

/* Operands of a case end where memory does: where a row of codes is no multiple of 16 bytes, as of no real model, they
 * may not begin where a kernel wants them. */
static bool has_odd_rows(const check_spec *s) {
    return s->k * s->bits % 128 != 0;
}

/* The calls of a model's plan, which is the caller's. */
static used_calls calls_of(const char *path, device *d, nb_model **m) {
    enum { N_BATCH = 512 };
    nb_error err;
    used_calls calls = {0};
    must(nb_model_open(path, m, &err), &err);
    const executor_options options = {.n_threads = 1, .n_batch = N_BATCH, .kv_type = DT_F16};
    const plan_on_device p = {&cuda_backend, d, (*m)->plan, (*m)->files, options};
    must(used_find(&p, &calls, &err), &err);
    return calls;
}

static void look_at(const char *path, void *user) {
    nb_model *m;
    used_calls calls = calls_of(path, user, &m);
    assert_int_equal(count_not_taken(&calls, m->plan, path, has_odd_rows), 0);
    used_free(&calls);
    nb_model_free(m);
}

static void look_at_all(const char *folder, void (*look)(const char *path, void *device), int at_least) {
    nb_error err;
    device *d;
    must(cuda_backend.open(0, &(device_options){0}, &d, &err), &err);
    assert_true(each_model(folder, "config.json", look, d) >= at_least);
    d->free(d);
}

static void test_small_models(void **state) {
    (void)state;
    look_at_all("tests/data/models", look_at, 50);
}

static void test_tiny_models(void **state) {
    (void)state;
    look_at_all("models/tiny", look_at, 5);
}

/* ---- What takes the step behind it along ---------------------------------------------------------------------------
 */

static int n_sums, n_scaled;

/* Of a mixture without shared experts, the addition behind the experts' sum; of Gemma 4, whose layers end in a scale of
 * all columns (routers' logits have one of their own), that scale. */
static void look_at_fused(const char *path, void *user) {
    const bool mixture = strstr(path, "models/tiny/qwen3_moe") != NULL;
    const bool gemma = strstr(path, "models/tiny/gemma4") != NULL;
    nb_model *m;
    if (!mixture && !gemma) return;
    used_calls calls = calls_of(path, user, &m);
    for (size_t i = 0; i < calls.n; i++) {
        const check_spec *s = &calls.items[i].spec;
        if (mixture) assert_true(s->op != KOP_ADD && (s->op != KOP_SUM_EXPERTS || s->residual));
        if (gemma) assert_true(s->op != KOP_SCALE || s->cols != calls.items[0].spec.cols);
        n_sums += mixture && s->op == KOP_SUM_EXPERTS;
        n_scaled += s->scaled;
    }
    used_free(&calls);
    nb_model_free(m);
}

static void test_fused(void **state) {
    (void)state;
    look_at_all("models/tiny", look_at_fused, 5);
    assert_true(n_sums > 0 && n_scaled > 0);
}

/* ---- Large products ------------------------------------------------------------------------------------------------
 */

/* The kernel that row computes a call with. */
static const char *kernel_of(device *d, const krow *row, const kcall *c, gpu_launches *l) {
    nb_error err;
    must(gpu_launches_of(gpu_device_traits(d), row, c, NULL, l, &err), &err);
    assert_true(l->n > 0);
    return l->at[0].kernel->name;
}

/* A case is small, but is computed by the kernel of what it stands for. */
static void test_same_kernel(void **state) {
    (void)state;
    static const struct {
        int bits, group;
        int64_t n, k;
        const char *row, *kernel;
    } products[] = {{4, 64, 1024, 4096, "matmul.affine4.one.gpu", "qmv_one_affine4_bf16_64_2"},
                    {4, 64, 248320, 1024, "matmul.affine4.one.gpu", "qmv_one_affine4_bf16_64_4"},
                    {4, 64, 4096, 12288, "matmul.affine4.one.gpu", "qmv_one_affine4_bf16_64_4"},
                    {4, 32, 4096, 17408, "matmul.affine4.one.gpu", "qmv_one_affine4_bf16_32_2"},
                    {4, 64, 5376, 21504, "matmul.affine4.one_long.gpu", "qmv_one_affine4_bf16_64_4"},
                    {8, 64, 4096, 3072, "matmul.affine8.one.gpu", "qmv_one_affine8_bf16_64_2"},
                    {8, 64, 4096, 6144, "matmul.affine8.one.gpu", "qmv_one_affine8_bf16_64_4"},
                    {8, 32, 5376, 22528, "matmul.affine8.one.gpu", "qmv_one_affine8_bf16_32_4"}};
    static _Alignas(64) uint8_t nowhere[64]; /* operands are not looked at */
    nb_error err;
    device *d;
    check *c;
    gpu_launches *l = malloc(sizeof *l);
    assert_non_null(l);
    must(cuda_backend.open(0, &(device_options){0}, &d, &err), &err);
    must(check_new(&c, &err), &err);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const krow *row = kreg_named(d->registry, products[i].row);
        const kweight w = {.mode = W_AFFINE,
                           .type = DT_BF16,
                           .bits = products[i].bits,
                           .group_size = products[i].group,
                           .n = products[i].n,
                           .k = products[i].k,
                           .codes = nowhere,
                           .scales = nowhere,
                           .biases = nowhere};
        const kcall large = {.op = KOP_MATMUL,
                             .w = &w,
                             .x = {.data = nowhere, .type = DT_F32, .rows = 1, .cols = w.k, .stride = w.k},
                             .y = {.data = nowhere, .type = DT_F32, .rows = 1, .cols = w.n, .stride = w.n}};
        assert_ptr_equal(kreg_find(d->registry, &large), row);
        load_case(c, used_spec(&large));
        assert_true(check_takes(c, row));
        kcall small = c->call;
        small.y.data = nowhere;
        assert_true(small.w->n <= 256 && small.w->k <= 4096);
        assert_string_equal(kernel_of(d, row, &large, l), products[i].kernel);
        assert_true(l->at[0].shared <= (row->needs & GPU_SHARED_128K ? 128u << 10 : 99u << 10));
        assert_string_equal(kernel_of(d, row, &small, l), products[i].kernel);
    }
    check_free(c);
    d->free(d);
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_models), cmocka_unit_test(test_tiny_models),
                                       cmocka_unit_test(test_fused), cmocka_unit_test(test_same_kernel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
