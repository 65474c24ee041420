/* SPDX-License-Identifier: Apache-2.0
 *
 * The error model is tight: a row whose errors are four times those of a real one is found, whether its output is fp32,
 * fp16 or bf16, and the real one is not. Each row here is wrapped: its result y becomes ref + factor (y - ref), rounded
 * to the output's type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/half.h"
#include "cpu/caps.h"
#include "kernels/host_device.h"
#include "ref/ref.h"
#include "verify/check.h"

static struct {
    const krow *row;
    double factor;
    dtype type; /* of the output */
} wrapped;

/* The call as the real row knows it: with an output in fp32. */
static kcall inner(const kcall *c, void *data) {
    kcall call = *c;
    if (wrapped.type == DT_F32) return call;
    call.y.type = DT_F32;
    call.y.stride = call.y.cols;
    call.y.data = data;
    return call;
}

static bool takes(const krow *row, const kcall *c) {
    (void)row;
    kcall call = inner(c, c->y.data);
    return c->y.type == wrapped.type && wrapped.row->takes(wrapped.row, &call);
}

/* One task, so that it knows the whole output. */
static int64_t tasks(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

static void store(const kmat *y, int64_t at, double value) {
    if (y->type == DT_F32) {
        ((float *)y->data)[at] = (float)value;
        return;
    }
    ((uint16_t *)y->data)[at] = y->type == DT_F16 ? f32_to_f16((float)value) : f32_to_bf16((float)value);
}

/* The reference is asked before an operand is written over in place. */
static void run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end;
    size_t n = (size_t)ref_count(c);
    double *ref = malloc(n * sizeof *ref);
    float *data = malloc((size_t)(c->y.rows * c->y.cols) * sizeof *data);
    assert_true(ref && data);
    kcall call = inner(c, data);
    ref_run(c, ref, NULL);
    wrapped.row->run(wrapped.row, &call, 0, wrapped.row->tasks(wrapped.row, &call), scratch);
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        double y = ref_at(&call.y, i / c->y.cols, i % c->y.cols);
        double rounded = wrapped.type == DT_F16    ? (double)f16_to_f32(f32_to_f16((float)y))
                         : wrapped.type == DT_BF16 ? (double)bf16_to_f32(f32_to_bf16((float)y))
                                                   : y;
        bool finite = rounded - rounded == 0 && ref[i] - ref[i] == 0;
        double value = finite ? ref[i] + wrapped.factor * (rounded - ref[i]) : y;
        store(&c->y, i / c->y.cols * c->y.stride + i % c->y.cols, wrapped.factor == 1 ? y : value);
    }
    free(ref);
    free(data);
}

static void count(void *user, const finding *f) {
    size_t *kinds = user;
    kinds[f->kind]++;
    if (wrapped.factor == 1) print_error("%s: %s (%s)\n", f->kernel, f->what, f->where);
}

/* Walks the row with its errors times `factor`; the number of findings of each kind. */
static void walk(kregistry *all, const char *name, double factor, dtype type, size_t kinds[FOUND_KINDS]) {
    nb_error err;
    kregistry *r;
    wrapped.row = kreg_named(all, name);
    if (!wrapped.row) fail_msg("there is no row %s", name);
    wrapped.factor = factor;
    wrapped.type = type;
    krow row = *wrapped.row;
    row.takes = takes;
    row.tasks = tasks;
    row.run = run;
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(kreg_add(r, &row, 1, &err), NB_OK);
    device d = host_device(r);
    check_tally tally;
    check_report report = {.user = kinds, .found = count};
    for (int kind = 0; kind < FOUND_KINDS; kind++) kinds[kind] = 0;
    if (check_walk(&d, CHECK_QUICK, 0, &report, &tally, &err) != NB_OK) fail_msg("%s", err.text);
    kreg_free(r);
}

static const char *const rows[] = {
    "matmul.plain.f32.scalar",
    "matmul.plain.bf16.scalar",
    "matmul.affine4.scalar",
    "matmul.affine8.scalar",
    "matmul.mxfp4.scalar",
    "matmul.affine4.g64.bf16.avx2",
    "matmul.affine8.g32.f16.avx2",
    "matmul.plain.bf16.avx2",
    "matmul.nvfp4.avx2",
    "matmul.affine4.g64.bf16.avx512",
    "matmul.affine8.g128.f32.avx512",
    "matmul.plain.f16.avx512",
    "matmul.mxfp8.avx512",
    "matmul_experts.scalar",
    "matmul_experts.affine4.g32.bf16.avx2",
    "matmul_experts.affine4.g64.f16.avx512",
    "matmul_experts.plain.bf16.avx512",
    "rmsnorm.scalar",
    "rmsnorm.avx2",
    "attention.scalar",
    "attention.avx2",
    "attention.avx512",
    "embed.scalar",
    "embed.affine_r16",
    "act_mul.scalar",
    "act_mul.avx2",
    "softcap.scalar",
    "softcap.avx2",
    "rope.scalar",
    "rope.avx2",
    "add.scalar",
    "scale.avx2",
    "route.scalar",
    "route.avx2",
    "sum_experts.scalar",
    "sum_experts.avx2",
};

static size_t sum(const size_t kinds[FOUND_KINDS]) {
    size_t n = 0;
    for (int kind = FOUND_NOTHING; kind < FOUND_KINDS; kind++) n += kinds[kind];
    return n;
}

static void check_type(dtype type) {
    nb_error err;
    kregistry *all;
    size_t kinds[FOUND_KINDS], checked = 0;
    unsigned caps = cpu_caps_detect();
    assert_int_equal(kreg_new(&all, &err), NB_OK);
    assert_int_equal(cpu_register(all, caps, &err), NB_OK);
    bool slow = getenv("NB_SANITIZED") || getenv("NB_EMULATOR");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i += slow ? 3 : 1) {
        if (!kreg_named(all, rows[i])) continue;    /* this processor cannot run it */
        if (type != DT_F32 && i % 3 != 0) continue; /* rounding to 16 bits hides what is different about them */
        checked++;
        walk(all, rows[i], 1, type, kinds);
        if (sum(kinds) > 0) print_error("%s with outputs in %s: a false alarm\n", rows[i], dtype_name(type));
        size_t alarms = sum(kinds);
        walk(all, rows[i], 4, type, kinds);
        if (kinds[FOUND_WRONG_VALUE] + kinds[FOUND_INACCURATE] == 0 || alarms > 0)
            fail_msg("%s with outputs in %s: errors of four times the real ones are not found", rows[i],
                     dtype_name(type));
    }
    kreg_free(all);
    assert_true(checked >= (type == DT_F32 && !slow ? 14 : 4)); /* the scalar ones */
}

static void test_f32(void **state) {
    (void)state;
    check_type(DT_F32);
}

static void test_f16(void **state) {
    (void)state;
    check_type(DT_F16);
}

static void test_bf16(void **state) {
    (void)state;
    check_type(DT_BF16);
}

/* ---- Rows that round worse than they say ------------------------------------------------------------------------- */

/* A product in one chain, which may be worse than eight but never is by much in a single element. */
static void serial_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    for (int64_t at = 0; at < c->y.rows * c->y.cols; at++) {
        int64_t t = at / c->y.cols, i = at % c->y.cols;
        float sum = 0;
        for (int64_t j = 0; j < c->w->k; j++) sum += (float)ref_at(&c->x, t, j) * (float)ref_weight(c->w, i, j);
        if (c->weight.data) sum += float_at_f32(c->weight.data, c->weight.type, i);
        if (c->residual.data) sum += (float)ref_at(&c->residual, t, i);
        ((float *)c->y.data)[t * c->y.stride + i] = sum;
    }
}

static bool serial_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->w->mode == W_PLAIN && c->y.type == DT_F32;
}

static void test_serial_sums(void **state) {
    (void)state;
    nb_error err;
    for (int chains = 1; chains <= 8; chains += 7) {
        const krow row = {.name = "matmul.serial",
                          .backend = "cpu",
                          .op = KOP_MATMUL,
                          .x_type = DT_F32,
                          .chains = chains,
                          .takes = serial_takes,
                          .tasks = tasks,
                          .run = serial_run};
        kregistry *r;
        assert_int_equal(kreg_new(&r, &err), NB_OK);
        assert_int_equal(kreg_add(r, &row, 1, &err), NB_OK);
        device d = host_device(r);
        check_tally tally;
        size_t kinds[FOUND_KINDS] = {0};
        check_report report = {.user = kinds, .found = count};
        wrapped.factor = 0; /* nothing is printed */
        assert_int_equal(check_walk(&d, CHECK_QUICK, 0, &report, &tally, &err), NB_OK);
        assert_int_equal(kinds[FOUND_INACCURATE] > 0, chains == 8); /* all right if it says so */
        assert_int_equal(kinds[FOUND_WRONG_VALUE], 0);
        kreg_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_f16),
                                       cmocka_unit_test(test_bf16), cmocka_unit_test(test_serial_sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
