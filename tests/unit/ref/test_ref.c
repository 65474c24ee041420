/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference against what mlx and mlx-lm compute (tests/data/ref, made by tools/make_ref_goldens.py), and the small
 * floats of microscaling weights against the tables of their specifications. All kernels are measured by the reference,
 * so it needs a measure of its own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "files/safetensors.h"
#include "quant/quantize.h"
#include "ref/ref.h"

static weights *golden;

static int open_golden(void **state) {
    (void)state;
    char path[600];
    nb_error err = {0};
    snprintf(path, sizeof path, "%s/ref/golden.safetensors", getenv("NB_TEST_DATA"));
    if (weights_open_file(path, &golden, &err)) fail_msg("%s", err.text);
    return 0;
}

static int close_golden(void **state) {
    (void)state;
    weights_close(golden);
    return 0;
}

static const tensor *find(const char *name) {
    const tensor *t = weights_find(golden, name);
    if (!t) fail_msg("the golden file has no %s", name);
    return t;
}

/* ---- Weights ------------------------------------------------------------------------------------------------- */

static void test_e2m1(void **state) {
    (void)state;
    static const double sizes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    for (uint32_t code = 0; code < 16; code++) {
        assert_true(ref_e2m1(code) == (code & 8 ? -sizes[code & 7] : sizes[code & 7]));
        assert_true((double)quant_fp4_values[code] == ref_e2m1(code));
    }
}

/* The named values of OCP FP8 1.0, table 2, and that each code is above the one before it. */
static void test_e4m3(void **state) {
    (void)state;
    assert_true(ref_e4m3(0x00) == 0 && ref_e4m3(0x80) == 0);
    assert_true(ref_e4m3(0x01) == 0x1p-9 && ref_e4m3(0x07) == 0.875 * 0x1p-6); /* subnormal: smallest, largest */
    assert_true(ref_e4m3(0x08) == 0x1p-6 && ref_e4m3(0x7e) == 448);            /* normal */
    assert_true(ref_e4m3(0x38) == 1 && ref_e4m3(0xb8) == -1);
    assert_true(isnan(ref_e4m3(0x7f)) && isnan(ref_e4m3(0xff)));
    for (uint32_t code = 0; code < 0x7f; code++) {
        if (code > 0) assert_true(ref_e4m3(code) > ref_e4m3(code - 1));
        assert_true(ref_e4m3(code | 0x80) == -ref_e4m3(code));
    }
    for (uint32_t code = 0; code < 256; code++) {
        double x = ref_e4m3(code), quick = (double)quant_from_fp8((uint8_t)code);
        assert_true(isnan(x) ? isnan(quick) : quick == x);
    }
}

static void test_e8m0(void **state) {
    (void)state;
    assert_true(ref_e8m0(0) == 0x1p-127 && ref_e8m0(127) == 1 && ref_e8m0(254) == 0x1p127);
    assert_true(isnan(ref_e8m0(255)));
}

static void check_weight(wmode mode, int bits, int group) {
    char name[64], part[80];
    snprintf(name, sizeof name, "%s.%d.%d", wmode_name(mode), bits, group);
    const tensor *want = find(name);
    kweight w = {.mode = mode, .bits = bits, .group_size = group, .n = want->shape[0], .k = want->shape[1]};
    snprintf(part, sizeof part, "%s.codes", name);
    w.codes = find(part)->data;
    snprintf(part, sizeof part, "%s.scales", name);
    w.scales = find(part)->data;
    w.type = find(part)->type;
    snprintf(part, sizeof part, "%s.biases", name);
    if (mode == W_AFFINE) w.biases = find(part)->data;
    for (int64_t i = 0; i < w.n * w.k; i++) {
        double got = ref_weight(&w, i / w.k, i % w.k), expected = (double)load_f32(want->data, i);
        double most = mode == W_AFFINE ? 1e-6 * (fabs(got) + fabs(float_at(w.biases, w.type, i / group))) : 0;
        if (!(fabs(got - expected) <= most)) fail_msg("%s: element %d is %g, mlx has %g", name, (int)i, got, expected);
    }
}

static void test_weights(void **state) {
    (void)state;
    static const int widths[] = {2, 3, 4, 5, 6, 8}, groups[] = {32, 64, 128};
    for (int i = 0; i < 18; i++) check_weight(W_AFFINE, widths[i / 3], groups[i % 3]);
    check_weight(W_MXFP4, 4, 32);
    check_weight(W_MXFP8, 8, 32);
    check_weight(W_NVFP4, 4, 16);
}

/* ---- Operations ---------------------------------------------------------------------------------------------- */

static kmat mat(const char *name) {
    const tensor *t = find(name);
    return (kmat){(void *)(uintptr_t)t->data, DT_F32, t->shape[0], t->shape[1], t->shape[1], 0};
}

static kvec vec(const char *name) {
    return (kvec){find(name)->data, DT_F32};
}

/* What the call gives: `name`, and its new states, where it has any: `after`. Both are fp32 results. */
static void check_call(kcall *c, const char *name, const char *after) {
    c->y = mat(name);
    assert_true(kcall_ok(c));
    int64_t n = c->y.rows * c->y.cols, count = ref_count(c);
    double *y = malloc((size_t)count * sizeof *y);
    assert_int_equal(count, n + c->states.size);
    ref_run(c, y, NULL);
    for (int64_t i = 0; i < count; i++) {
        const tensor *t = find(i < n ? name : after);
        double expected = (double)load_f32(t->data, i < n ? i : i - n);
        if (!(fabs(y[i] - expected) <= 3e-6 * (1 + fabs(expected))))
            fail_msg("%s: element %d of %s is %.9g, mlx has %.9g", kop_name(c->op), (int)(i < n ? i : i - n), t->name,
                     y[i], expected);
    }
    free(y);
}

static void test_act_mul(void **state) {
    (void)state;
    for (kact act = ACT_NONE; act < ACT_COUNT; act++) {
        kcall c = {.op = KOP_ACT_MUL, .act = act, .x = mat("act.x"), .z = mat("act.z")};
        char name[40];
        snprintf(name, sizeof name, "act.%s", kact_name(act));
        check_call(&c, name, NULL);
    }
}

/* One page of all 5 tokens. */
static void test_sinks(void **state) {
    (void)state;
    static const int32_t positions[] = {0, 1, 2, 3, 4}, table[] = {0};
    static const int32_t *const tables[] = {table, table, table, table, table};
    kcall c = {.op = KOP_ATTENTION, .x = mat("attention.q"), .weight = vec("attention.sinks"), .scale = 0.25f};
    c.keys = c.values = (kpages){.type = DT_F32, .n_pages = 1, .n_heads = 2, .page_size = 5, .head_dim = 16};
    c.keys.data = (void *)(uintptr_t)find("attention.k")->data;
    c.values.data = (void *)(uintptr_t)find("attention.v")->data;
    c.positions = positions;
    c.tables = tables;
    check_call(&c, "attention.y", NULL);
}

/* Four positions of one column: the scores are the keys. */
static void test_attention_softcap(void **state) {
    (void)state;
    static const int32_t positions[] = {3}, table[] = {0};
    static const int32_t *const tables[] = {table};
    float q = 1, keys[] = {-0.5f, 3, 40, 0}, values[] = {5, -7, 2, 11};
    kcall c = {.op = KOP_ATTENTION, .scale = 1, .softcap = 2.5f, .positions = positions, .tables = tables};
    c.x = c.y = (kmat){&q, DT_F32, 1, 1, 1, 0};
    c.keys = c.values = (kpages){keys, DT_F32, 1, 1, 4, 1};
    c.values.data = values;
    double sum = 0, expected = 0, y;
    for (int p = 0; p < 4; p++) {
        const double weight = exp(2.5 * tanh((double)keys[p] / 2.5));
        sum += weight;
        expected += weight * (double)values[p];
    }
    ref_run(&c, &y, NULL);
    assert_true(fabs(y - expected / sum) < 1e-12);
}

static void test_route(void **state) {
    (void)state;
    kcall c = {.op = KOP_ROUTE, .x = mat("route.x"), .n_chosen = 3};
    check_call(&c, "route.all", NULL);
    c.normalize = true;
    check_call(&c, "route.chosen", NULL);
}

static void test_delta_net(void **state) {
    (void)state;
    static const int32_t slots[7] = {0};
    kcall gates = {.op = KOP_DELTA_GATES, .x = mat("gates.a"), .z = mat("gates.b")};
    gates.weight = vec("gates.a_log");
    gates.weight2 = vec("gates.dt");
    check_call(&gates, "gates.y", NULL);

    kcall delta = {.op = KOP_DELTA, .x = mat("delta.x"), .z = mat("gates.y"), .eps = 1e-6f};
    delta.n_parts = 4;
    delta.n_keys = 2;
    delta.key_dim = 32;
    delta.states = (kstates){(float *)(uintptr_t)find("delta.before")->data, 1, 4 * 24 * 32};
    delta.slots = slots;
    check_call(&delta, "delta.y", "delta.after");

    kweight w = {.mode = W_PLAIN, .type = DT_F32, .n = 3, .k = 4, .codes = find("conv.w")->data};
    kcall conv = {.op = KOP_CONV1D, .x = mat("conv.x"), .w = &w, .act = ACT_SILU, .slots = slots};
    conv.states = (kstates){(float *)(uintptr_t)find("conv.before")->data, 1, 3 * 3};
    check_call(&conv, "conv.y", "conv.after");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_e2m1),    cmocka_unit_test(test_e4m3),      cmocka_unit_test(test_e8m0),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_act_mul),   cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_route),   cmocka_unit_test(test_delta_net), cmocka_unit_test(test_attention_softcap),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
