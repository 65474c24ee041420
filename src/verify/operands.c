/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands of a call, by the rules of src/kernels/kernel.h. */
#include "verify/operands.h"

#include <stdlib.h>

#include "base/num.h"
#include "quant/xform.h"

size_t kmat_bytes(const kmat *m) {
    if (m->type == DT_XI8X3) return xform_bytes(m->rows, m->cols, m->group);
    return m->rows > 0 ? (size_t)((m->rows - 1) * m->stride + m->cols) * dtype_size(m->type) : 0;
}

typedef struct mover {
    operand_move *move;
    void *user;
    bool failed;
} mover;

/* What is absent stays so. */
static void *moved(mover *m, const char *name, const void *data, size_t bytes, bool written) {
    if (!data || m->failed) return NULL;
    operand o = {.name = name, .data = data, .bytes = bytes, .written = written};
    void *to = m->move(m->user, &o);
    m->failed |= !to;
    return to;
}

static const void *moved_part(mover *m, const char *name, const void *data, size_t bytes) {
    if (!data || m->failed) return NULL;
    operand o = {.name = name, .data = data, .bytes = bytes, .of_weight = true};
    void *to = m->move(m->user, &o);
    m->failed |= !to;
    return to;
}

static void move_weight(mover *m, kweight *w) {
    w->codes = moved_part(m, "codes", w->codes, kweight_code_bytes(w));
    w->scales = moved_part(m, "scales", w->scales, kweight_scale_bytes(w));
    w->biases = moved_part(m, "biases", w->biases, kweight_scale_bytes(w));
    if (w->packed) w->packed = moved_part(m, "packed weight", w->packed, w->layout->bytes(w));
}

static void move_weights(mover *m, const kcall *c, call_copy *copy) {
    if (!c->w) return;
    copy->w = *c->w;
    copy->call.w = &copy->w;
    if (!c->w->experts) {
        move_weight(m, &copy->w);
        return;
    }
    copy->experts = malloc((size_t)c->w->n_experts * sizeof *copy->experts);
    m->failed |= !copy->experts;
    for (int64_t e = 0; e < c->w->n_experts && !m->failed; e++) {
        copy->experts[e] = c->w->experts[e];
        move_weight(m, &copy->experts[e]);
    }
    copy->w.experts = copy->experts;
}

static void move_matrix(mover *m, const char *name, kmat *mat, const kmat *y, void *y_data, bool written) {
    if (!mat->data) return;
    mat->data = !written && mat->data == y->data ? y_data : moved(m, name, mat->data, kmat_bytes(mat), written);
}

/* Length of the vectors weight and weight2. */
static int64_t vector_length(const kcall *c) {
    switch (c->op) {
    case KOP_RMSNORM:
    case KOP_ROPE:
        return c->x.cols / c->n_parts;
    case KOP_KV_STORE:
        return c->keys.head_dim;
    case KOP_MATMUL:
        return c->w->n;
    case KOP_MATMUL_EXPERTS:
        return c->w->n_experts * c->w->n;
    case KOP_ATTENTION:
        return c->x.cols / c->keys.head_dim;
    default: /* ROUTE: experts; DELTA_GATES: heads */
        return c->x.cols;
    }
}

static int64_t vector2_length(const kcall *c) {
    return c->x.cols; /* a normed MATMUL: k; DELTA_GATES: heads */
}

static void move_vector(mover *m, const char *name, int64_t length, kvec *v) {
    if (v->data) v->data = moved(m, name, v->data, (size_t)length * dtype_size(v->type), false);
}

static void move_integers(mover *m, const kcall *c, kcall *to) {
    size_t y_rows = (size_t)c->y.rows * sizeof(int32_t), x_rows = (size_t)c->x.rows * sizeof(int32_t);
    to->tokens = moved(m, "tokens", c->tokens, y_rows, false);
    to->positions = moved(m, "positions", c->positions, c->op == KOP_ROPE_TABLE ? y_rows : x_rows, false);
    to->rows = moved(m, "rows", c->rows, y_rows, false);
    to->columns = moved(m, "columns", c->columns, (size_t)c->y.cols * sizeof(int32_t), false);
    to->slots = moved(m, "slots", c->slots, x_rows, false);
    to->samplers = moved(m, "samplers", c->samplers, c->samplers_bytes, false);
    to->freqs = moved(m, "freqs", c->freqs, (size_t)(c->y.cols / 2) * sizeof(double), false);
}

/* The table of token t's sequence goes as far as the last of its positions. */
static void move_table(mover *m, const int32_t *const *tables, const int32_t *positions, const int32_t **to, int64_t t,
                       const kcall *c) {
    for (int64_t before = 0; before < t; before++) {
        if (tables[before] != tables[t]) continue;
        to[t] = to[before];
        return;
    }
    int64_t last = 0;
    for (int64_t i = t; i < c->x.rows; i++)
        if (tables[i] == tables[t]) last = max_i64(last, positions[i]);
    size_t bytes = (size_t)(last / c->keys.page_size + 1) * sizeof(int32_t);
    to[t] = moved(m, "page table", tables[t], bytes, false);
}

static void move_tables(mover *m, const kcall *c, call_copy *copy, bool to_host) {
    if (!c->tables || m->failed) return;
    size_t bytes = (size_t)c->x.rows * sizeof *c->tables;
    const int32_t *const *tables = c->tables;
    const int32_t *positions = to_host ? copy->call.positions : c->positions;
    if (to_host) tables = moved(m, "page tables", c->tables, bytes, false);
    copy->tables = malloc(bytes + 1);
    m->failed |= !copy->tables;
    for (int64_t t = 0; t < c->x.rows && !m->failed; t++) move_table(m, tables, positions, copy->tables, t, c);
    copy->call.tables = copy->tables;
    if (!to_host && !m->failed) copy->call.tables = moved(m, "page tables", copy->tables, bytes, false);
}

bool call_move(const kcall *c, call_copy *copy, bool to_host, operand_move *move, void *user) {
    mover m = {.move = move, .user = user};
    kcall *to = &copy->call;
    bool stores = c->op == KOP_KV_STORE;
    *copy = (call_copy){.call = *c};
    move_integers(&m, c, to);
    move_tables(&m, c, copy, to_host);
    move_weights(&m, c, copy);
    if (to->weight.data) move_vector(&m, "weight", vector_length(c), &to->weight);
    if (to->weight2.data) move_vector(&m, "weight2", vector2_length(c), &to->weight2);
    move_matrix(&m, "y", &to->y, &c->y, NULL, true);
    move_matrix(&m, "x", &to->x, &c->y, to->y.data, false);
    move_matrix(&m, "z", &to->z, &c->y, to->y.data, false);
    move_matrix(&m, "residual", &to->residual, &c->y, to->y.data, false);
    to->keys.data = moved(&m, "keys", c->keys.data, kpages_bytes(&c->keys), stores);
    to->values.data = moved(&m, "values", c->values.data, kpages_bytes(&c->values), false);
    size_t states = (size_t)(c->states.n_slots * c->states.size) * sizeof(float);
    to->states.data = moved(&m, "states", c->states.data, states, true);
    return !m.failed;
}

void call_copy_free(call_copy *copy) {
    free(copy->experts);
    free(copy->tables);
    copy->experts = NULL;
    copy->tables = NULL;
}
