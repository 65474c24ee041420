/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/reference_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "ref/ref_ops.h"
#include "verify/view.h"

enum { OUTPUTS = 32 }; /* of a product, in one task */

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

/* [rows, cols] doubles to columns [first, first + cols) of y. */
static void write_columns(const kmat *y, int64_t first, int64_t rows, int64_t cols, int64_t stride,
                          const double *from) {
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < cols; j++) ((float *)y->data)[t * y->stride + first + j] = (float)from[t * stride + j];
}

static void write_pages(const kcall *c, const double *from) {
    const kpages *p = &c->keys;
    for (int64_t t = 0; t < c->x.rows; t++) {
        const int64_t page = c->tables[t][c->positions[t] / p->page_size], slot = c->positions[t] % p->page_size;
        for (int64_t j = 0; j < c->x.cols; j++) {
            const int64_t head = j / p->head_dim;
            const int64_t at = ((page * p->n_heads + head) * p->page_size + slot) * p->head_dim + j % p->head_dim;
            const float x = (float)from[t * c->x.cols + j];
            if (p->type == DT_F32)
                ((float *)p->data)[at] = x;
            else
                ((uint16_t *)p->data)[at] = p->type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
        }
    }
}

static void write_states(const kcall *c, const double *from) {
    for (int64_t t = 0; t < c->x.rows; t = kcall_sequence_end(c, t)) {
        float *to = c->states.data + c->slots[t] * c->states.size;
        for (int64_t i = 0; i < c->states.size; i++) to[i] = (float)*from++;
    }
}

/* Without memory: NaN, which agrees with nothing. */
static void write_nothing(const kcall *c) {
    for (int64_t t = 0; c->y.data && t < c->y.rows; t++)
        for (int64_t j = 0; j < c->y.cols; j++) ((float *)c->y.data)[t * c->y.stride + j] = NAN;
}

/* ---- Rounding --------------------------------------------------------------------------------------------------- */

/* To nearest, but never to an infinity: what does not fit would spoil all that follows. */
static float rounded(dtype type, double value) {
    static const double f16_max = 65504;
    const float x = (float)(type == DT_F16 ? fmin(fmax(value, -f16_max), f16_max) : value);
    return type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : type == DT_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

/* A copy of x with its elements rounded; data NULL: out of memory. */
static kmat rounded_matrix(dtype type, const kmat *x) {
    kmat to = {.type = DT_F32, .rows = x->rows, .cols = x->cols, .stride = x->cols};
    float *data = malloc((size_t)(x->rows * x->cols) * sizeof *data + 1);
    for (int64_t i = 0; data && i < x->rows * x->cols; i++)
        data[i] = rounded(type, ref_at(x, i / x->cols, i % x->cols));
    to.data = data;
    return to;
}

/* A weight as a plain one in fp32, its elements rounded, of which `to` has room for n * k. */
static bool round_weight(dtype type, kweight *w, float *to) {
    double *row = malloc((size_t)(2 * w->k) * sizeof *row);
    for (int64_t i = 0; row && i < w->n; i++) {
        ref_weight_row(w, i, row, row + w->k);
        for (int64_t j = 0; j < w->k; j++) to[i * w->k + j] = rounded(type, row[j]);
    }
    free(row);
    *w = (kweight){.mode = W_PLAIN, .type = DT_F32, .n = w->n, .k = w->k, .codes = to};
    return row != NULL;
}

/* Operands of a product that is a view. *x and *weights are the caller's to free, also after a failure. */
static bool round_product(dtype type, call_view *v, void **x, float **weights) {
    const int64_t matrices = v->w.experts ? v->w.n_experts : 1, n_experts = v->w.n_experts;
    const int64_t each = v->w.n * v->w.k;
    v->call.x = rounded_matrix(type, &v->call.x);
    *x = v->call.x.data;
    *weights = malloc((size_t)(matrices * each) * sizeof **weights);
    bool good = *x && *weights;
    for (int64_t e = 0; good && e < matrices; e++)
        good = round_weight(type, v->w.experts ? &v->experts[e] : &v->w, *weights + e * each);
    if (good && v->w.experts)
        v->w = (kweight){.mode = W_PLAIN, .type = DT_F32, .n = v->w.n, .k = v->w.k, .n_experts = n_experts};
    if (good && n_experts > 0) v->w.experts = v->experts;
    return good;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------- */

static bool takes(const krow *row, const kcall *c) {
    (void)row;
    const bool y = c->op == KOP_KV_STORE || c->y.type == DT_F32;
    return y && (!c->x.data || c->x.type == DT_F32) && c->op != KOP_QUANTIZE;
}

static int64_t one_task(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

static void run_whole(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    if (begin == end) return;
    double *y = malloc((size_t)ref_count(c) * sizeof *y);
    if (!y) {
        write_nothing(c);
        return;
    }
    ref_run(c, y, NULL);
    if (c->op == KOP_KV_STORE)
        write_pages(c, y);
    else
        write_columns(&c->y, 0, c->y.rows, c->y.cols, c->y.cols, y);
    if (c->states.data) write_states(c, y + c->y.rows * c->y.cols);
    free(y);
}

static int64_t token_tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->y.rows);
}

/* Operations that treat each token alone: a task is a token. */
static void run_tokens(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    end = min_i64(end, c->y.rows);
    if (begin >= end) return;
    kcall part = call_tokens(c, begin, end - begin);
    const bool rounds = c->op == KOP_ATTENTION && row->rounds_to != DT_NONE;
    if (rounds) part.x = rounded_matrix(row->rounds_to, &part.x);
    if (rounds && !part.x.data)
        write_nothing(&part);
    else
        run_whole(row, &part, 0, 1, scratch);
    if (rounds) free(part.x.data);
}

/* Columns that each matrix gives y. */
static int64_t product_cols(const kcall *c) {
    return c->act == ACT_NONE ? c->w->n : c->w->n / 2;
}

static int64_t product_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(product_cols(c), OUTPUTS);
}

/* Columns [first, last) of each matrix, to y. */
static bool compute_columns(const krow *row, const kcall *c, int64_t first, int64_t last, double *y) {
    call_view v;
    void *x = NULL;
    float *weights = NULL;
    if (!y || !call_view_make(c, first, last, &v)) return false;
    const bool good = row->rounds_to == DT_NONE || round_product(row->rounds_to, &v, &x, &weights);
    if (good) ref_run(&v.call, y, NULL);
    free(x);
    free(weights);
    call_view_free(&v);
    return good;
}

static void run_product(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const int64_t cols = product_cols(c), first = begin * OUTPUTS, last = min_i64(end * OUTPUTS, cols);
    const int64_t n = last - first, places = c->w->experts ? c->n_chosen : 1;
    if (n <= 0) return;
    double *y = malloc((size_t)(c->y.rows * places * n) * sizeof *y);
    if (compute_columns(row, c, first, last, y)) {
        for (int64_t p = 0; p < places; p++)
            write_columns(&c->y, p * cols + first, c->y.rows, n, places * n, y + p * n);
    } else {
        write_nothing(c);
    }
    free(y);
}

#define PRODUCT(of, to)                                                                                                \
    {                                                                                                                  \
        .name = #of ".reference", .backend = "reference", .op = of, .x_type = DT_F32, .rounds_to = to, .takes = takes, \
        .tasks = product_tasks, .run = run_product                                                                     \
    }
#define ROW(of, to, its_tasks, its_run)                                                                                \
    {                                                                                                                  \
        .name = #of ".reference", .backend = "reference", .op = of, .rounds_to = to, .takes = takes,                   \
        .tasks = its_tasks, .run = its_run                                                                             \
    }
#define ROWS(to)                                                                                                       \
    {                                                                                                                  \
        ROW(KOP_EMBED, to, token_tasks, run_tokens), ROW(KOP_RMSNORM, to, token_tasks, run_tokens),                    \
            PRODUCT(KOP_MATMUL, to), ROW(KOP_ROPE_TABLE, to, token_tasks, run_tokens),                                 \
            ROW(KOP_ROPE, to, token_tasks, run_tokens), ROW(KOP_KV_STORE, to, one_task, run_whole),                    \
            ROW(KOP_ATTENTION, to, token_tasks, run_tokens), ROW(KOP_ACT_MUL, to, token_tasks, run_tokens),            \
            ROW(KOP_ADD, to, token_tasks, run_tokens), ROW(KOP_SELECT_ROWS, to, token_tasks, run_tokens),              \
            ROW(KOP_SELECT_COLS, to, token_tasks, run_tokens), ROW(KOP_SCALE, to, token_tasks, run_tokens),            \
            ROW(KOP_SOFTCAP, to, token_tasks, run_tokens), ROW(KOP_ROUTE, to, token_tasks, run_tokens),                \
            PRODUCT(KOP_MATMUL_EXPERTS, to), ROW(KOP_SUM_EXPERTS, to, token_tasks, run_tokens),                        \
            ROW(KOP_CONV1D, to, one_task, run_whole), ROW(KOP_DELTA_GATES, to, token_tasks, run_tokens),               \
            ROW(KOP_DELTA, to, one_task, run_whole),                                                                   \
    }
static const krow exact_rows[] = ROWS(DT_NONE), f16_rows[] = ROWS(DT_F16), bf16_rows[] = ROWS(DT_BF16);

/* ---- The device ------------------------------------------------------------------------------------------------- */

nb_status reference_device_new(dtype rounds_to, device **out, nb_error *err) {
    const krow *rows = rounds_to == DT_F16 ? f16_rows : rounds_to == DT_BF16 ? bf16_rows : exact_rows;
    nb_status status = device_new_host(out, err);
    if (status) return status;
    device *d = *out;
    d->info.backend = "reference";
    strcpy(d->info.name, "definitions in double precision");
    strcpy(d->info.features, "reference");
    status = kreg_add(d->registry, rows, sizeof exact_rows / sizeof exact_rows[0], err);
    if (!status) return NB_OK;
    d->free(d);
    *out = NULL;
    return status;
}
