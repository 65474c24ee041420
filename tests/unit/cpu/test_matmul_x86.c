/* SPDX-License-Identifier: Apache-2.0
 *
 * What the walk over the registry cannot say of the x86 rows: a token's result is the same bits alone, in any batch and
 * for any spread of the tasks; the portable and the vector QUANTIZE agree in every bit; norms and gates that write a
 * form give what the separate steps give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/num.h"
#include "cpu/caps.h"
#include "quant/xform.h"

static uint64_t state = 88172645463325252u;

static uint32_t random_bits(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* In [-1, 1); now and then ten times that. */
static float random_float(void) {
    float f = (float)((double)random_bits() / 0x1p31 - 1);
    return random_bits() % 16 ? f : 10 * f;
}

static void *room(size_t bytes) {
    size_t size = round_up(bytes + 1, 64);
    void *p = aligned_alloc(64, size);
    assert_non_null(p);
    memset(p, 0, size);
    return p;
}

static void *random_values(dtype type, int64_t n, float size) {
    char *p = room((size_t)n * dtype_size(type));
    for (int64_t i = 0; i < n; i++) {
        float f = size * random_float();
        uint16_t h = type == DT_F16 ? f32_to_f16(f) : f32_to_bf16(f);
        if (type == DT_F32)
            memcpy(p + 4 * i, &f, 4);
        else
            memcpy(p + 2 * i, &h, 2);
    }
    return p;
}

static kweight new_weight(const krow *row, int64_t n, int64_t k) {
    kweight w = {.mode = W_PLAIN, .type = (dtype)row->param[0], .n = n, .k = k};
    if (!row->layout) {
        w.codes = random_values(w.type, n * k, 1);
        return w;
    }
    w.mode = W_AFFINE, w.bits = row->param[0], w.group_size = row->param[1], w.type = (dtype)row->param[2];
    int64_t n_words = n * k * w.bits / 32, n_scales = n * k / w.group_size;
    uint32_t *codes = room((size_t)n_words * 4);
    for (int64_t i = 0; i < n_words; i++) codes[i] = random_bits();
    w.codes = codes, w.layout = row->layout;
    w.scales = random_values(w.type, n_scales, 0.01f), w.biases = random_values(w.type, n_scales, 0.1f);
    void *packed = room(row->layout->bytes(&w));
    row->layout->pack(&w, packed, 0, row->layout->tasks(&w));
    w.packed = packed;
    return w;
}

static void free_weight(kweight *w) {
    free((void *)w->codes), free((void *)w->scales), free((void *)w->biases), free((void *)w->packed);
}

static kmat new_matrix(dtype type, int64_t rows, int64_t cols, int64_t group) {
    kmat m = {.type = type, .rows = rows, .cols = cols, .stride = cols, .group = type == DT_F32 ? 0 : group};
    m.data = room(type == DT_F32 ? (size_t)(rows * cols) * 4 : xform_bytes(rows, cols, group));
    return m;
}

static void fill(kmat *m) {
    for (int64_t i = 0; i < m->rows * m->cols; i++) ((float *)m->data)[i] = random_float();
}

/* Runs all tasks, one by one from the last to the first or in one go. */
static void run_row(const krow *row, const kcall *c, bool backwards) {
    void *scratch = room(row->scratch ? row->scratch(row, c) : 0);
    int64_t n = row->tasks(row, c);
    if (backwards)
        for (int64_t i = n; i-- > 0;) row->run(row, c, i, i + 1, scratch);
    else
        row->run(row, c, 0, n, scratch);
    free(scratch);
}

static const krow *row_named(const kregistry *r, const char *name) {
    const krow *row = kreg_named(r, name);
    assert_non_null(row);
    return row;
}

/* x [rows, cols] as the row reads it, from row `first` of fp32 values. */
static kmat x_for(const kregistry *r, const krow *row, const kmat *values, int64_t first, int64_t rows, int64_t group) {
    kmat part = *values, x = new_matrix(row->x_type, rows, values->cols, group);
    part.data = (float *)values->data + first * values->stride, part.rows = rows;
    if (row->x_type == DT_F32)
        memcpy(x.data, part.data, (size_t)(rows * values->cols) * sizeof(float));
    else
        run_row(row_named(r, "quantize.scalar"), &(kcall){.op = KOP_QUANTIZE, .x = part, .y = x}, false);
    return x;
}

static void check_batch(const kregistry *r, const krow *row, int64_t n, int64_t k, int64_t m) {
    kweight w = new_weight(row, n, k);
    void *bias = random_values(DT_F16, n, 1);
    kmat values = new_matrix(DT_F32, m, k, 0), residual = new_matrix(DT_F32, m, n, 0);
    fill(&values), fill(&residual);
    kcall c = {.op = KOP_MATMUL, .w = &w, .weight = {bias, DT_F16}, .residual = residual};
    c.x = x_for(r, row, &values, 0, m, w.group_size), c.y = new_matrix(DT_F32, m, n, 0);
    assert_true(kreg_takes(row, &c));
    run_row(row, &c, false);
    for (int64_t t = 0; t < m; t++) {
        kcall one = c;
        one.x = x_for(r, row, &values, t, 1, w.group_size), one.y = new_matrix(DT_F32, 1, n, 0);
        memcpy(one.y.data, (float *)residual.data + t * n, (size_t)n * sizeof(float));
        one.residual = one.y; /* in place, as a plan does it */
        run_row(row, &one, true);
        assert_memory_equal(one.y.data, (float *)c.y.data + t * n, (size_t)n * sizeof(float));
        free(one.x.data), free(one.y.data);
    }
    free(c.x.data), free(c.y.data), free(values.data), free(residual.data), free(bias);
    free_weight(&w);
}

/* Of plain and affine weights, whose rows say in `param` what new_weight is to make. */
static bool is_vector_matmul(const krow *row) {
    if (!strstr(row->name, "plain") && !strstr(row->name, "affine")) return false;
    return row->op == KOP_MATMUL && (strstr(row->name, ".avx2") || strstr(row->name, ".avx512"));
}

static void batch_does_not_matter(void **user) {
    const kregistry *r = *user;
    for (size_t i = 0; i < kreg_count(r); i++) {
        const krow *row = kreg_at(r, i);
        if (!is_vector_matmul(row)) continue;
        int64_t unit = row->layout ? row->param[1] : 37;
        check_batch(r, row, 35, 3 * unit, 13);
        check_batch(r, row, 3, unit, 5);
        check_batch(r, row, 16, 2 * unit, 101);
    }
}

/* Groups of zeros, of the smallest numbers, with NaN and infinity stand in x too. */
static kmat odd_values(int64_t rows, int64_t cols) {
    kmat x = new_matrix(DT_F32, rows, cols, 0);
    fill(&x);
    float *f = x.data;
    for (int64_t j = 0; j < 128; j++) f[j] = 0, f[128 + j] *= 0x1p-130f;
    f[256 + 5] = f32_from_bits(0x7fc00000), f[384 + 7] = f32_from_bits(0xff800000);
    return x;
}

static void quantize_equals_scalar(void **user) {
    const kregistry *r = *user;
    const krow *row = kreg_named(r, "quantize.avx2");
    if (!row) return;
    for (int64_t group = 32; group <= 128; group *= 2) {
        kmat x = odd_values(3, 640), a = new_matrix(DT_XI8X3, 3, 640, group), b = new_matrix(DT_XI8X3, 3, 640, group);
        run_row(row, &(kcall){.op = KOP_QUANTIZE, .x = x, .y = a}, true);
        run_row(row_named(r, "quantize.scalar"), &(kcall){.op = KOP_QUANTIZE, .x = x, .y = b}, false);
        assert_memory_equal(a.data, b.data, xform_bytes(3, 640, group));
        free(x.data), free(a.data), free(b.data);
    }
}

static void forms_equal_separate_steps(void **user) {
    const kregistry *r = *user;
    if (!kreg_named(r, "rmsnorm.avx2")) return;
    kmat x = new_matrix(DT_F32, 3, 640, 0), z = new_matrix(DT_F32, 3, 640, 0), y = new_matrix(DT_F32, 3, 640, 0);
    void *weight = random_values(DT_BF16, 640, 1);
    fill(&x), fill(&z);
    kcall calls[2] = {{.op = KOP_RMSNORM, .weight = {weight, DT_BF16}, .n_parts = 1, .eps = 1e-5f},
                      {.op = KOP_ACT_MUL, .act = ACT_SILU, .z = z}};
    for (int i = 0; i < 2; i++) {
        const krow *row = row_named(r, i == 0 ? "rmsnorm.avx2" : "act_mul.avx2");
        kmat fused = new_matrix(DT_XI8X3, 3, 640, 64), apart = new_matrix(DT_XI8X3, 3, 640, 64);
        calls[i].x = x, calls[i].y = y;
        run_row(row, &calls[i], false);
        run_row(row_named(r, "quantize.avx2"), &(kcall){.op = KOP_QUANTIZE, .x = y, .y = apart}, false);
        calls[i].y = fused;
        assert_true(kreg_takes(row, &calls[i]));
        run_row(row, &calls[i], true);
        assert_memory_equal(fused.data, apart.data, xform_bytes(3, 640, 64));
        free(fused.data), free(apart.data);
    }
    free(x.data), free(z.data), free(y.data), free(weight);
}

static int set_up(void **user) {
    kregistry *r;
    nb_error err;
    if (kreg_new(&r, &err) != NB_OK || cpu_register(r, cpu_caps_detect(), &err) != NB_OK) return -1;
    *user = r;
    return 0;
}

static int tear_down(void **user) {
    kreg_free(*user);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_does_not_matter),
        cmocka_unit_test(quantize_equals_scalar),
        cmocka_unit_test(forms_equal_separate_steps),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
