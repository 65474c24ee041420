/* SPDX-License-Identifier: Apache-2.0
 *
 * What no row of the CPU does: fused calls, activations of 16 bits, products that round their operands. Rows of this
 * test compute them in fp32, straight from the operations' meaning; a walk finds nothing wrong with them. With errors
 * four times as large, or where a row does not say that it rounds, it does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/half.h"
#include "kernels/host_device.h"
#include "ref/ref_ops.h"
#include "verify/check.h"

static struct {
    dtype rounds_to;
    double factor; /* of the errors */
    bool quiet;
} now;

static float at(const kmat *m, int64_t i, int64_t j) {
    return (float)ref_at(m, i, j);
}

static float rounded(dtype type, float x) {
    return type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : type == DT_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

static void store(const kmat *y, int64_t i, int64_t j, float value) {
    const int64_t place = i * y->stride + j;
    if (y->type == DT_F32)
        ((float *)y->data)[place] = value;
    else
        ((uint16_t *)y->data)[place] = y->type == DT_F16 ? f32_to_f16(value) : f32_to_bf16(value);
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

static float gated(kact act, float x, float z) {
    const float u = 1.5957691f * (x + 0.044715f * x * x * x), a = fminf(x, 7);
    switch (act) {
    case ACT_SILU:
        return x * sigmoid(x) * z;
    case ACT_GELU:
        return x * sigmoid(u) * z;
    case ACT_SIGMOID:
        return sigmoid(x) * z;
    case ACT_SWIGLU_OAI:
        return a * sigmoid(1.702f * a) * (fminf(fmaxf(z, -7), 7) + 1);
    default:
        return x * z;
    }
}

/* In eight chains, as every kernel at least. */
static float dot(const float *x, const float *w, int64_t n) {
    float sums[8] = {0};
    for (int64_t j = 0; j < n; j++) sums[j % 8] += x[j] * w[j];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* x of a token, normed in parts where the call is. */
static void input(const kcall *c, const kvec *weight, int64_t part, int64_t t, float *x) {
    for (int64_t j = 0; j < c->x.cols; j++) x[j] = at(&c->x, t, j);
    for (int64_t first = 0; c->normed && first < c->x.cols; first += part) {
        const float inverse = 1 / sqrtf(dot(x + first, x + first, part) / (float)part + c->eps);
        for (int64_t j = 0; j < part; j++) {
            const float factor = weight->data ? float_at_f32(weight->data, weight->type, j) : 1;
            x[first + j] = x[first + j] * inverse * (c->offset + factor);
        }
    }
}

static void rotate(const kcall *c, int64_t t, float *head) {
    const int64_t half = c->z.cols / 2;
    for (int64_t i = 0; i < half; i++) {
        const int64_t ja = c->interleaved ? 2 * i : i, jb = c->interleaved ? ja + 1 : i + half;
        const float a = head[ja], b = head[jb], cosine = at(&c->z, t, i), sine = at(&c->z, t, half + i);
        head[ja] = a * cosine - b * sine;
        head[jb] = b * cosine + a * sine;
    }
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static bool takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type != DT_XI8X3 && c->y.type != DT_XI8X3;
}

static int64_t one_task(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

/* The reference's result plus so many times the row's error. */
static float blamed(const double *ref, int64_t i, float value) {
    return now.factor == 1 || !isfinite(value) ? value : (float)(ref[i] + now.factor * ((double)value - ref[i]));
}

/* The call's matrices one after the other, dequantized: [matrices, n, k]. */
static float *dequantized(const kcall *c) {
    const int64_t n_matrices = c->w->experts ? c->w->n_experts : 1, n = c->w->n, k = c->w->k;
    float *to = malloc((size_t)(n_matrices * n * k) * sizeof *to);
    double *row = malloc((size_t)(2 * k) * sizeof *row);
    assert_true(to && row);
    for (int64_t i = 0; i < n_matrices * n; i++) {
        ref_weight_row(c->w->experts ? &c->w->experts[i / n] : c->w, i % n, row, row + k);
        for (int64_t j = 0; j < k; j++) to[i * k + j] = rounded(now.rounds_to, (float)row[j]);
    }
    free(row);
    return to;
}

/* Output i of matrix e. */
static float product_of(const kcall *c, const float *weights, int64_t e, int64_t i, const float *x) {
    const float sum = dot(x, weights + (e * c->w->n + i) * c->w->k, c->w->k);
    return c->weight.data ? sum + float_at_f32(c->weight.data, c->weight.type, e * c->w->n + i) : sum;
}

static void product_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    const int64_t places = c->w->experts ? c->n_chosen : 1, cols = c->y.cols / places;
    double *ref = malloc((size_t)ref_count(c) * sizeof *ref);
    float *x = malloc((size_t)c->x.cols * sizeof *x), *weights = dequantized(c);
    assert_true(ref && x);
    if (now.factor != 1) ref_run(c, ref, NULL);
    for (int64_t t = 0; t < c->y.rows; t++) {
        input(c, &c->weight2, c->w->k, t, x);
        for (int64_t j = 0; j < c->x.cols; j++) x[j] = rounded(now.rounds_to, x[j]);
        for (int64_t j = 0; j < c->y.cols; j++) {
            const int64_t s = j / cols, i = j % cols, e = c->w->experts ? (int64_t)at(&c->z, t, s) : 0;
            const float *from = x + (c->x.cols == c->w->k ? 0 : s * c->w->k);
            float value = product_of(c, weights, e, i, from);
            if (c->act != ACT_NONE) value = gated(c->act, value, product_of(c, weights, e, c->w->n / 2 + i, from));
            if (c->residual.data) value += at(&c->residual, t, j);
            store(&c->y, t, j, blamed(ref, t * c->y.cols + j, value));
        }
    }
    free(ref);
    free(x);
    free(weights);
}

static void rmsnorm_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    float *x = malloc((size_t)c->x.cols * sizeof *x);
    kcall normed = *c;
    normed.normed = true;
    assert_non_null(x);
    for (int64_t t = 0; t < c->y.rows; t++) {
        input(&normed, &c->weight, c->x.cols / c->n_parts, t, x);
        for (int64_t j = 0; j < c->y.cols; j++)
            store(&c->y, t, j,
                  (c->residual.data ? x[j] + at(&c->residual, t, j) : x[j]) * (c->scale != 0 ? c->scale : 1));
    }
    free(x);
}

static void rope_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    const int64_t head = c->x.cols / c->n_parts;
    float *x = malloc((size_t)c->x.cols * sizeof *x);
    assert_non_null(x);
    for (int64_t t = 0; t < c->y.rows; t++) {
        input(c, &c->weight, head, t, x);
        for (int64_t j = 0; j < c->x.cols; j += head) rotate(c, t, x + j);
        for (int64_t j = 0; j < c->y.cols; j++) store(&c->y, t, j, x[j]);
    }
    free(x);
}

static void kv_store_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    const kpages *p = &c->keys;
    float *x = malloc((size_t)c->x.cols * sizeof *x);
    assert_non_null(x);
    for (int64_t t = 0; t < c->x.rows; t++) {
        input(c, &c->weight, p->head_dim, t, x);
        for (int64_t head = 0; head < p->n_heads; head++) {
            const int64_t page = c->tables[t][c->positions[t] / p->page_size], slot = c->positions[t] % p->page_size;
            kmat to = {.data = p->data, .type = p->type};
            if (c->z.data) rotate(c, t, x + head * p->head_dim);
            for (int64_t d = 0; d < p->head_dim; d++)
                store(&to, 0, ((page * p->n_heads + head) * p->page_size + slot) * p->head_dim + d,
                      x[head * p->head_dim + d]);
        }
    }
    free(x);
}

static void quantize_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++)
        store(&c->y, i / c->y.cols, i % c->y.cols, at(&c->x, i / c->y.cols, i % c->y.cols));
}

static float page_at(const kcall *c, const kpages *p, int64_t t, int64_t position, int64_t head, int64_t d) {
    return rounded(now.rounds_to, (float)ref_page_at(c, p, t, position, head, d));
}

static void attend(const kcall *c, int64_t t, int64_t head, const double *ref, float *weights) {
    const int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    const int64_t last = c->positions[t], first = c->window > 0 && last >= c->window ? last - c->window + 1 : 0;
    const float sink = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, head) : -INFINITY;
    float q[512], k[512], largest = sink, sum;
    for (int64_t d = 0; d < dim; d++) q[d] = rounded(now.rounds_to, at(&c->x, t, head * dim + d));
    for (int64_t p = first; p <= last; p++) {
        for (int64_t d = 0; d < dim; d++) k[d] = page_at(c, &c->keys, t, p, kv_head, d);
        weights[p] = c->scale * dot(q, k, dim);
        if (c->softcap > 0) weights[p] = c->softcap * tanhf(weights[p] / c->softcap);
        largest = fmaxf(largest, weights[p]);
    }
    sum = expf(sink - largest);
    for (int64_t p = first; p <= last; p++) sum += weights[p] = expf(weights[p] - largest);
    for (int64_t d = 0; d < dim; d++) {
        float y = 0;
        for (int64_t p = first; p <= last; p++)
            y += rounded(now.rounds_to, weights[p]) * page_at(c, &c->values, t, p, kv_head, d);
        store(&c->y, t, head * dim + d, blamed(ref, t * c->y.cols + head * dim + d, y / sum));
    }
}

static void attention_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)begin, (void)end, (void)scratch;
    double *ref = malloc((size_t)ref_count(c) * sizeof *ref);
    float *weights = malloc(1 << 20);
    assert_true(ref && weights);
    if (now.factor != 1) ref_run(c, ref, NULL);
    for (int64_t t = 0; t < c->y.rows; t++)
        for (int64_t head = 0; head < c->x.cols / c->keys.head_dim; head++) attend(c, t, head, ref, weights);
    free(ref);
    free(weights);
}

#define ALL_FUSED (KFUSED_NORM | KFUSED_ACT | KFUSED_RESIDUAL | KFUSED_ROPE | KFUSED_SCALE)
#define ROW(of, text, its_run)                                                                                         \
    { .name = text, .backend = "test", .op = of, .fused = ALL_FUSED, .takes = takes, .tasks = one_task, .run = its_run }
static const krow rows[] = {
    ROW(KOP_RMSNORM, "rmsnorm", rmsnorm_run),       ROW(KOP_ROPE, "rope", rope_run),
    ROW(KOP_KV_STORE, "kv_store", kv_store_run),    ROW(KOP_QUANTIZE, "quantize", quantize_run),
    ROW(KOP_MATMUL, "matmul", product_run),         ROW(KOP_MATMUL_EXPERTS, "matmul_experts", product_run),
    ROW(KOP_ATTENTION, "attention", attention_run),
};
enum { FIRST_PRODUCT = 4, N_ROWS = sizeof rows / sizeof rows[0] };

/* ---- Walks ----------------------------------------------------------------------------------------------------- */

static void count(void *user, const finding *f) {
    size_t *kinds = user;
    kinds[f->kind]++;
    if (!now.quiet) print_error("%s: %s: %s (%s)\n", f->kernel, finding_kind_name(f->kind), f->what, f->where);
}

/* Findings of wrong values or of inaccurate ones in a walk over one row. */
static size_t walk(const krow *of, dtype rounds_to, bool says_so, double factor, check_level level, uint64_t seed) {
    nb_error err;
    kregistry *r;
    krow row = *of;
    size_t kinds[FOUND_KINDS] = {0};
    if (says_so) row.rounds_to = rounds_to;
    now.rounds_to = rounds_to;
    now.factor = factor;
    now.quiet = factor != 1 || !says_so;
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(kreg_add(r, &row, 1, &err), NB_OK);
    device d = host_device(r);
    check_tally tally;
    const check_report report = {.user = kinds, .found = count};
    if (check_walk(&d, level, seed, &report, &tally, &err) != NB_OK) fail_msg("%s", err.text);
    kreg_free(r);
    size_t n = 0;
    for (int kind = FOUND_NOTHING + 1; kind < FOUND_KINDS; kind++) n += kinds[kind];
    return n;
}

static void test_right_rows(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < (getenv("NB_SANITIZED") ? 1 : 2); seed++)
        for (size_t i = 0; i < N_ROWS; i++) assert_int_equal(walk(&rows[i], DT_NONE, true, 1, CHECK_LEAN, seed), 0);
}

static void test_rounding_rows(void **state) {
    (void)state;
    const dtype types[] = {DT_F16, DT_BF16};
    if (getenv("NB_SANITIZED")) skip();
    for (size_t i = FIRST_PRODUCT; i < N_ROWS; i++) {
        for (size_t type = 0; type < 2; type++) {
            for (uint64_t seed = 0; seed < 2; seed++)
                assert_int_equal(walk(&rows[i], types[type], true, 1, CHECK_LEAN, seed), 0);
            assert_true(walk(&rows[i], types[type], false, 1, CHECK_LEAN, 0) > 0);
        }
    }
}

/* Errors of four times a good row's are found, rounded operands or not. */
static void test_large_errors(void **state) {
    (void)state;
    if (getenv("NB_SANITIZED")) skip();
    const dtype types[] = {DT_NONE, DT_F16, DT_BF16};
    for (size_t i = FIRST_PRODUCT; i < N_ROWS; i++) {
        for (size_t type = 0; type < 3; type++) {
            size_t found = 0;
            for (uint64_t seed = 0; seed < 8 && found == 0; seed++)
                found = walk(&rows[i], types[type], true, 4, CHECK_LEAN, seed);
            if (found == 0) fail_msg("%s: errors of four times the real ones are not found", rows[i].name);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_right_rows), cmocka_unit_test(test_rounding_rows),
                                       cmocka_unit_test(test_large_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
