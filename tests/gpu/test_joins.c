/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one x joined into a launch give, bit for bit, what they give one by one; those of different ones are not
 * joined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/sim_device.h"

enum { K = 256, ROWS = 3, MOST_N = 40, PRODUCTS = 3, GROUP = 32 };
static const int64_t outputs[PRODUCTS] = {MOST_N, 24, 17};

static void *filled(device *d, size_t bytes, uint32_t seed, bool floats) {
    uint32_t words[MOST_N * K];
    nb_error err;
    assert_true(bytes <= sizeof words);
    for (size_t i = 0; i < bytes / 4; i++) {
        const float v = (float)((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-24f - 0.5f;
        words[i] = seed;
        if (floats) memcpy(&words[i], &v, sizeof v);
    }
    void *p = d->memory->alloc(d, bytes);
    assert_non_null(p);
    if (d->memory->write(d, p, words, bytes, &err)) fail_msg("%s", err.text);
    return p;
}

typedef struct product {
    kweight w;
    kcall call;
    float y[ROWS * MOST_N];
} product;

/* Of a plain weight or one of 3 bits; the second has a bias. */
static product product_of(device *d, bool plain, void *x, void *norm, int i) {
    const int64_t n = outputs[i];
    const uint32_t seed = (uint32_t)i + 1;
    product p = {.w = {.mode = W_AFFINE, .type = DT_F32, .bits = 3, .group_size = GROUP, .n = n, .k = K}};
    if (plain) {
        p.w = (kweight){.mode = W_PLAIN, .type = DT_F32, .n = n, .k = K};
        p.w.codes = filled(d, (size_t)(n * K) * 4, seed, true);
    } else {
        p.w.codes = filled(d, (size_t)(n * K) * 3 / 8, seed, false);
        p.w.scales = filled(d, (size_t)(n * K / GROUP) * 4, seed + 10, true);
        p.w.biases = filled(d, (size_t)(n * K / GROUP) * 4, seed + 20, true);
    }
    p.call = (kcall){.op = KOP_MATMUL, .normed = true, .eps = 1e-6f};
    p.call.x = (kmat){x, DT_F32, ROWS, K, K, 0};
    p.call.y = (kmat){filled(d, sizeof p.y, 99, false), DT_F32, ROWS, n, n, 0};
    p.call.weight2 = (kvec){norm, DT_F32};
    if (i == 1) p.call.weight = (kvec){filled(d, (size_t)n * 4, seed + 30, true), DT_F32};
    return p;
}

static void launches_of(const krow *row, const kcall *c, gpu_launches *to) {
    static const gpu_traits traits = {.caps = GPU_NVIDIA, .warp = SIM_WARP, .n_processors = 4, .shared_max = 48 << 10};
    nb_error err;
    if (gpu_launches_of(&traits, row, c, NULL, to, &err)) fail_msg("%s", err.text);
    assert_int_equal(to->n, 1);
}

static void check_row(const char *name, bool plain) {
    static gpu_launches joined, other;
    static product p[PRODUCTS];
    device *d;
    nb_error err;
    char error[SIM_ERROR_TEXT] = "";
    if (sim_device_new(name, &d, &err)) fail_msg("%s", err.text);
    assert_int_equal(kreg_count(d->registry), 1);
    const krow *row = kreg_at(d->registry, 0);
    void *x = filled(d, ROWS * K * 4, 5, true), *norm = filled(d, K * 4, 6, true);
    for (int i = 0; i < PRODUCTS; i++) {
        p[i] = product_of(d, plain, x, norm, i);
        p[i].call.w = &p[i].w;
        assert_true(row->takes(row, &p[i].call));
        if (d->run(d, row, &p[i].call, 0, 1, NULL, &err)) fail_msg("%s", err.text);
        const size_t bytes = (size_t)(ROWS * outputs[i]) * 4;
        if (d->memory->read(d, p[i].y, p[i].call.y.data, bytes, &err)) fail_msg("%s", err.text);
        p[i].call.y.data = filled(d, bytes, 98, false);
    }
    launches_of(row, &p[0].call, &joined);
    for (int i = 1; i < PRODUCTS; i++) {
        kcall apart = p[i].call;
        apart.x.data = norm;
        launches_of(row, &apart, &other);
        assert_false(gpu_can_join(&joined.at[0], &other.at[0]));
        launches_of(row, &p[i].call, &other);
        assert_true(gpu_can_join(&joined.at[0], &other.at[0]));
        gpu_join(&joined.at[0], &other.at[0]);
    }
    assert_false(gpu_can_join(&joined.at[0], &other.at[0])); /* full */
    if (!sim_launch(&joined.at[0], error)) fail_msg("%s", error);
    for (int i = 0; i < PRODUCTS; i++) {
        float y[ROWS * MOST_N];
        const size_t bytes = (size_t)(ROWS * outputs[i]) * 4;
        if (d->memory->read(d, y, p[i].call.y.data, bytes, &err)) fail_msg("%s", err.text);
        if (memcmp(y, p[i].y, bytes) != 0) fail_msg("%s: product %d is another one when joined", name, i);
    }
    d->free(d);
}

static void test_joins(void **state) {
    (void)state;
    check_row("matmul.affine3.fma.gpu", false);
    check_row("matmul.plain.fma.gpu", true);
    check_row("matmul.any.gpu", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_joins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
