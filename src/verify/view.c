/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static const void *advance(const void *data, int64_t bytes) {
    return data ? (const char *)data + bytes : NULL;
}

/* Bytes of a row of a weight: its codes, its scales. */
typedef struct row_bytes {
    int64_t codes, scales;
} row_bytes;

static row_bytes bytes_of_row(const kweight *w) {
    const int64_t element = (int64_t)dtype_size(w->type);
    if (w->mode == W_PLAIN) return (row_bytes){w->k * element, 0};
    return (row_bytes){w->k * w->bits / 8, w->k / w->group_size * element};
}

/* Rows [begin, end) of a weight as it is stored. */
static kweight weight_rows(const kweight *w, int64_t begin, int64_t end) {
    const row_bytes row = bytes_of_row(w);
    kweight part = *w;
    part.n = end - begin;
    part.layout = NULL;
    part.packed = NULL;
    part.codes = advance(w->codes, begin * row.codes);
    part.scales = advance(w->scales, begin * row.scales);
    part.biases = advance(w->biases, begin * row.scales);
    return part;
}

/* Elements [begin, end) of both halves of n to `to`; returns where that ends. */
static char *copy_halves(const void *from, int64_t element, int64_t n, int64_t begin, int64_t end, char *to) {
    const size_t bytes = (size_t)((end - begin) * element);
    memcpy(to, advance(from, begin * element), bytes);
    memcpy(to + bytes, advance(from, (n / 2 + begin) * element), bytes);
    return to + 2 * bytes;
}

/* Rows [begin, end) of both halves, which go to *to. */
static kweight weight_halves(const kweight *w, int64_t begin, int64_t end, char **to) {
    const row_bytes row = bytes_of_row(w);
    kweight part = weight_rows(w, begin, end);
    part.n = 2 * (end - begin);
    part.codes = *to;
    *to = copy_halves(w->codes, row.codes, w->n, begin, end, *to);
    if (w->scales) part.scales = *to, *to = copy_halves(w->scales, row.scales, w->n, begin, end, *to);
    if (w->biases) part.biases = *to, *to = copy_halves(w->biases, row.scales, w->n, begin, end, *to);
    return part;
}

static bool is_gated(const kcall *c) {
    return c->act != ACT_NONE;
}

/* [matrices, n] to [matrices, end - begin], or of both halves. */
static bool gather_bias(const kcall *c, int64_t begin, int64_t end, call_view *out) {
    const int64_t element = (int64_t)dtype_size(c->weight.type), n = c->w->n;
    const size_t row = (size_t)((end - begin) * element);
    const int64_t matrices = c->w->experts ? c->w->n_experts : 1;
    char *to = out->bias = malloc((size_t)matrices * row * (is_gated(c) ? 2 : 1));
    out->call.weight.data = to;
    for (int64_t e = 0; to && e < matrices; e++) {
        const void *from = advance(c->weight.data, e * n * element);
        if (is_gated(c))
            to = copy_halves(from, element, n, begin, end, to);
        else
            to = (char *)memcpy(to, advance(from, begin * element), row) + row;
    }
    return to != NULL;
}

/* The weight, or each expert's. */
static bool take_rows(const kcall *c, int64_t begin, int64_t end, call_view *out) {
    const int64_t matrices = c->w->experts ? c->w->n_experts : 1;
    const row_bytes row = bytes_of_row(c->w);
    char *to = NULL;
    if (is_gated(c)) {
        to = out->rows = malloc((size_t)(matrices * 2 * (end - begin) * (row.codes + 2 * row.scales)) + 1);
        if (!to) return false;
    }
    if (!c->w->experts) {
        out->w = is_gated(c) ? weight_halves(c->w, begin, end, &to) : weight_rows(c->w, begin, end);
        return true;
    }
    out->experts = malloc((size_t)matrices * sizeof *out->experts);
    for (int64_t e = 0; out->experts && e < matrices; e++)
        out->experts[e] = is_gated(c) ? weight_halves(&c->w->experts[e], begin, end, &to)
                                      : weight_rows(&c->w->experts[e], begin, end);
    out->w.n = (end - begin) * (is_gated(c) ? 2 : 1);
    out->w.experts = out->experts;
    return out->experts != NULL;
}

bool call_view_make(const kcall *c, int64_t begin, int64_t end, call_view *out) {
    *out = (call_view){.call = *c, .w = *c->w};
    out->w.layout = NULL;
    out->w.packed = NULL;
    kcall *call = &out->call;
    const int64_t n = end - begin;
    call->w = &out->w;
    call->y.cols = n * (c->w->experts ? c->n_chosen : 1);
    call->y.data = NULL;
    if (call->residual.data) {
        call->residual.data = (char *)c->residual.data + begin * (int64_t)dtype_size(c->residual.type);
        call->residual.cols = n;
    }
    if (take_rows(c, begin, end, out) && (!c->weight.data || gather_bias(c, begin, end, out))) return true;
    call_view_free(out);
    return false;
}

void call_view_free(call_view *v) {
    free(v->experts);
    free(v->bias);
    free(v->rows);
    v->experts = NULL;
    v->bias = v->rows = NULL;
}

static void move_mat(kmat *m, int64_t from, int64_t n) {
    if (!m->data) return;
    m->data = (char *)m->data + from * m->stride * (int64_t)dtype_size(m->type);
    m->rows = n;
}

kcall call_tokens(const kcall *c, int64_t from, int64_t n) {
    kcall part = *c;
    if (c->op != KOP_SELECT_ROWS) move_mat(&part.x, from, n);
    move_mat(&part.z, from, n);
    move_mat(&part.residual, from, n);
    move_mat(&part.y, from, n);
    if (c->tokens) part.tokens += from;
    if (c->positions) part.positions += from;
    if (c->rows) part.rows += from;
    if (c->tables) part.tables += from;
    return part;
}
