/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static const void *advance(const void *data, int64_t bytes) {
    return data ? (const char *)data + bytes : NULL;
}

/* Rows [begin, end) of a weight as it is stored. */
static kweight weight_rows(const kweight *w, int64_t begin, int64_t end) {
    const int64_t element = (int64_t)dtype_size(w->type);
    kweight part = *w;
    part.n = end - begin;
    part.layout = NULL;
    part.packed = NULL;
    if (w->mode == W_PLAIN) {
        part.codes = advance(w->codes, begin * w->k * element);
        return part;
    }
    const int64_t groups = w->k / w->group_size;
    part.codes = advance(w->codes, begin * (w->k * w->bits / 8));
    part.scales = advance(w->scales, begin * groups * element);
    part.biases = advance(w->biases, begin * groups * element);
    return part;
}

/* [n_experts, n] to [n_experts, end - begin]. */
static bool gather_bias(const kcall *c, int64_t begin, int64_t end, call_view *out) {
    const size_t element = dtype_size(c->weight.type), row = (size_t)(end - begin) * element;
    char *to = out->bias = malloc((size_t)c->w->n_experts * row);
    for (int64_t e = 0; to && e < c->w->n_experts; e++)
        memcpy(to + (size_t)e * row, advance(c->weight.data, (e * c->w->n + begin) * (int64_t)element), row);
    out->call.weight.data = to;
    return to != NULL;
}

bool call_view_make(const kcall *c, int64_t begin, int64_t end, call_view *out) {
    *out = (call_view){.call = *c, .w = weight_rows(c->w, begin, end)};
    kcall *call = &out->call;
    const int64_t n = end - begin, element = (int64_t)dtype_size(c->weight.type);
    call->w = &out->w;
    call->y.cols = n * (c->w->experts ? c->n_chosen : 1);
    call->y.data = NULL;
    if (!c->w->experts) {
        call->weight.data = advance(c->weight.data, begin * element);
        if (call->residual.data) {
            call->residual.data = (char *)c->residual.data + begin * (int64_t)dtype_size(c->residual.type);
            call->residual.cols = n;
        }
        return true;
    }
    out->experts = malloc((size_t)c->w->n_experts * sizeof *out->experts);
    for (int64_t e = 0; out->experts && e < c->w->n_experts; e++)
        out->experts[e] = weight_rows(&c->w->experts[e], begin, end);
    out->w.experts = out->experts;
    if (out->experts && (!c->weight.data || gather_bias(c, begin, end, out))) return true;
    call_view_free(out);
    return false;
}

void call_view_free(call_view *v) {
    free(v->experts);
    free(v->bias);
    v->experts = NULL;
    v->bias = NULL;
}

static void move_mat(kmat *m, int64_t from, int64_t n) {
    if (!m->data) return;
    m->data = (float *)m->data + from * m->stride;
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
