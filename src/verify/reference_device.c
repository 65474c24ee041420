/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/reference_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "ref/ref.h"
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
    const kcall part = call_tokens(c, begin, end - begin);
    run_whole(row, &part, 0, 1, scratch);
}

static int64_t product_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, OUTPUTS);
}

static void run_product(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t first = begin * OUTPUTS, last = min_i64(end * OUTPUTS, c->w->n), n = last - first;
    const int64_t places = c->w->experts ? c->n_chosen : 1;
    call_view v;
    if (n <= 0) return;
    double *y = malloc((size_t)(c->y.rows * places * n) * sizeof *y);
    if (!y || !call_view_make(c, first, last, &v)) {
        write_nothing(c);
        free(y);
        return;
    }
    ref_run(&v.call, y, NULL);
    for (int64_t p = 0; p < places; p++) write_columns(&c->y, p * c->w->n + first, c->y.rows, n, places * n, y + p * n);
    call_view_free(&v);
    free(y);
}

#define PRODUCT(of)                                                                                                    \
    {                                                                                                                  \
        .name = #of ".reference", .backend = "reference", .op = of, .x_type = DT_F32, .takes = takes,                  \
        .tasks = product_tasks, .run = run_product                                                                     \
    }
#define ROW(of, its_tasks, its_run)                                                                                    \
    { .name = #of ".reference", .backend = "reference", .op = of, .takes = takes, .tasks = its_tasks, .run = its_run }
static const krow rows[] = {
    ROW(KOP_EMBED, token_tasks, run_tokens),
    ROW(KOP_RMSNORM, token_tasks, run_tokens),
    PRODUCT(KOP_MATMUL),
    ROW(KOP_ROPE_TABLE, token_tasks, run_tokens),
    ROW(KOP_ROPE, token_tasks, run_tokens),
    ROW(KOP_KV_STORE, one_task, run_whole),
    ROW(KOP_ATTENTION, token_tasks, run_tokens),
    ROW(KOP_ACT_MUL, token_tasks, run_tokens),
    ROW(KOP_ADD, token_tasks, run_tokens),
    ROW(KOP_SELECT_ROWS, token_tasks, run_tokens),
    ROW(KOP_SELECT_COLS, token_tasks, run_tokens),
    ROW(KOP_SCALE, token_tasks, run_tokens),
    ROW(KOP_SOFTCAP, token_tasks, run_tokens),
    ROW(KOP_ROUTE, token_tasks, run_tokens),
    PRODUCT(KOP_MATMUL_EXPERTS),
    ROW(KOP_SUM_EXPERTS, token_tasks, run_tokens),
    ROW(KOP_CONV1D, one_task, run_whole),
    ROW(KOP_DELTA_GATES, token_tasks, run_tokens),
    ROW(KOP_DELTA, one_task, run_whole),
};

/* ---- The device ------------------------------------------------------------------------------------------------- */

nb_status reference_device_new(device **out, nb_error *err) {
    nb_status status = device_new_host(out, err);
    if (status) return status;
    device *d = *out;
    d->info.backend = "reference";
    strcpy(d->info.name, "definitions in double precision");
    strcpy(d->info.features, "reference");
    status = kreg_add(d->registry, rows, sizeof rows / sizeof rows[0], err);
    if (!status) return NB_OK;
    d->free(d);
    *out = NULL;
    return status;
}
