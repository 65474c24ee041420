/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of operations and modes, and what makes a call well formed: the conditions that hold for every row. */
#include "kernels/kernel.h"

const char *kop_name(kop op) {
    static const char *const names[KOP_COUNT] = {
        [KOP_EMBED] = "embed",       [KOP_RMSNORM] = "rmsnorm",         [KOP_QUANTIZE] = "quantize",
        [KOP_MATMUL] = "matmul",     [KOP_ROPE_TABLE] = "rope_table",   [KOP_ROPE] = "rope",
        [KOP_KV_STORE] = "kv_store", [KOP_ATTENTION] = "attention",     [KOP_SILU_MUL] = "silu_mul",
        [KOP_ADD] = "add",           [KOP_SELECT_ROWS] = "select_rows",
    };
    return op >= 0 && op < KOP_COUNT ? names[op] : "?";
}

const char *wmode_name(wmode m) {
    static const char *const names[W_MODE_COUNT] = {[W_PLAIN] = "plain", [W_AFFINE] = "affine"};
    return m >= 0 && m < W_MODE_COUNT ? names[m] : "?";
}

static bool is_stored_float(dtype t) {
    return t == DT_F16 || t == DT_BF16 || t == DT_F32;
}

static bool mat_ok(const kmat *m) {
    if (!m->data || m->rows < 0 || m->cols < 1) return false;
    if (m->type == DT_XI8X3) return m->group >= 32 && m->group % 32 == 0 && m->cols % m->group == 0;
    return m->stride >= m->cols || m->rows <= 1;
}

static bool same_shape(const kmat *a, const kmat *b) {
    return a->rows == b->rows && a->cols == b->cols;
}

static bool vec_ok(const kvec *v) {
    return !v->data || is_stored_float(v->type);
}

static bool weight_ok(const kweight *w) {
    if (!w || w->n < 1 || w->k < 1 || !is_stored_float(w->type)) return false;
    if (w->mode == W_PLAIN) return true;
    bool bits = w->bits == 2 || w->bits == 3 || w->bits == 4 || w->bits == 5 || w->bits == 6 || w->bits == 8;
    bool group = w->group_size == 32 || w->group_size == 64 || w->group_size == 128;
    return w->mode == W_AFFINE && bits && group && w->k % w->group_size == 0;
}

static bool pages_ok(const kpages *p) {
    return p->data && is_stored_float(p->type) && p->n_heads > 0 && p->page_size > 0 && p->head_dim > 0;
}

static bool attention_ok(const kcall *c) {
    const kpages *k = &c->keys, *v = &c->values;
    return mat_ok(&c->x) && mat_ok(&c->y) && same_shape(&c->x, &c->y) && pages_ok(k) && pages_ok(v) &&
           k->type == v->type && k->n_heads == v->n_heads && k->page_size == v->page_size &&
           k->head_dim == v->head_dim && c->x.cols % (k->head_dim * k->n_heads) == 0 && c->tables && c->positions &&
           c->window >= 0;
}

bool kcall_ok(const kcall *c) {
    const kmat *x = &c->x, *y = &c->y, *z = &c->z;
    switch (c->op) {
    case KOP_EMBED:
        return mat_ok(y) && weight_ok(c->w) && y->cols == c->w->k && c->tokens;
    case KOP_RMSNORM:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && c->n_parts > 0 && x->cols % c->n_parts == 0 &&
               vec_ok(&c->weight);
    case KOP_QUANTIZE:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && y->type == DT_XI8X3;
    case KOP_MATMUL:
        return mat_ok(x) && mat_ok(y) && weight_ok(c->w) && x->cols == c->w->k && y->cols == c->w->n &&
               x->rows == y->rows && vec_ok(&c->weight) &&
               (!c->residual.data || (mat_ok(&c->residual) && same_shape(&c->residual, y)));
    case KOP_ROPE_TABLE:
        return mat_ok(y) && y->cols % 2 == 0 && c->positions && c->freqs;
    case KOP_ROPE:
        return mat_ok(x) && mat_ok(y) && mat_ok(z) && same_shape(x, y) && z->rows == x->rows && c->n_parts > 0 &&
               x->cols % c->n_parts == 0 && z->cols % 2 == 0 && z->cols <= x->cols / c->n_parts;
    case KOP_KV_STORE:
        return mat_ok(x) && pages_ok(&c->keys) && x->cols == c->keys.n_heads * c->keys.head_dim && c->tables &&
               c->positions;
    case KOP_ATTENTION:
        return attention_ok(c);
    case KOP_SILU_MUL:
    case KOP_ADD:
        return mat_ok(x) && mat_ok(y) && mat_ok(z) && same_shape(x, y) && same_shape(x, z);
    case KOP_SELECT_ROWS:
        return mat_ok(x) && mat_ok(y) && x->cols == y->cols && c->rows;
    case KOP_COUNT:
        break;
    }
    return false;
}
