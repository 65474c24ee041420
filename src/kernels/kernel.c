/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of operations and modes, and what makes a call well formed: the conditions that hold for every row. */
#include "kernels/kernel.h"

const char *kop_name(kop op) {
    static const char *const names[KOP_COUNT] = {
        [KOP_EMBED] = "embed",
        [KOP_RMSNORM] = "rmsnorm",
        [KOP_QUANTIZE] = "quantize",
        [KOP_MATMUL] = "matmul",
        [KOP_ROPE_TABLE] = "rope_table",
        [KOP_ROPE] = "rope",
        [KOP_KV_STORE] = "kv_store",
        [KOP_ATTENTION] = "attention",
        [KOP_ACT_MUL] = "act_mul",
        [KOP_ADD] = "add",
        [KOP_SELECT_ROWS] = "select_rows",
        [KOP_SELECT_COLS] = "select_cols",
        [KOP_SCALE] = "scale",
        [KOP_SOFTCAP] = "softcap",
        [KOP_ROUTE] = "route",
        [KOP_MATMUL_EXPERTS] = "matmul_experts",
        [KOP_SUM_EXPERTS] = "sum_experts",
        [KOP_CONV1D] = "conv1d",
        [KOP_DELTA_GATES] = "delta_gates",
        [KOP_DELTA] = "delta",
        [KOP_PENALIZE] = "penalize",
        [KOP_DRAW] = "draw",
    };
    return op >= 0 && op < KOP_COUNT ? names[op] : "?";
}

const char *wmode_name(wmode m) {
    static const char *const names[W_MODE_COUNT] = {
        [W_PLAIN] = "plain", [W_AFFINE] = "affine", [W_MXFP4] = "mxfp4", [W_MXFP8] = "mxfp8", [W_NVFP4] = "nvfp4"};
    return m >= 0 && m < W_MODE_COUNT ? names[m] : "?";
}

const char *kact_name(kact act) {
    static const char *const names[ACT_COUNT] = {[ACT_NONE] = "none",
                                                 [ACT_SILU] = "silu",
                                                 [ACT_GELU] = "gelu",
                                                 [ACT_SIGMOID] = "sigmoid",
                                                 [ACT_SWIGLU_OAI] = "swiglu_oai"};
    return act >= 0 && act < ACT_COUNT ? names[act] : "?";
}

size_t kpages_bytes(const kpages *p) {
    return (size_t)(p->n_pages * p->n_heads * p->page_size * p->head_dim) * dtype_size(p->type);
}

size_t kweight_code_bytes(const kweight *w) {
    return w->mode == W_PLAIN ? (size_t)(w->n * w->k) * dtype_size(w->type) : (size_t)(w->n * (w->k * w->bits / 8));
}

size_t kweight_scale_bytes(const kweight *w) {
    return w->mode == W_PLAIN ? 0 : (size_t)(w->n * (w->k / w->group_size)) * dtype_size(w->type);
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

static bool mode_ok(const kweight *w) {
    switch (w->mode) {
    case W_PLAIN:
        return is_stored_float(w->type);
    case W_AFFINE: {
        bool bits = w->bits == 2 || w->bits == 3 || w->bits == 4 || w->bits == 5 || w->bits == 6 || w->bits == 8;
        return bits && (w->group_size == 32 || w->group_size == 64 || w->group_size == 128) && is_stored_float(w->type);
    }
    case W_MXFP4:
        return w->bits == 4 && w->group_size == 32 && w->type == DT_U8;
    case W_MXFP8:
        return w->bits == 8 && w->group_size == 32 && w->type == DT_U8;
    case W_NVFP4:
        return w->bits == 4 && w->group_size == 16 && w->type == DT_U8;
    case W_MODE_COUNT:
        break;
    }
    return false;
}

static bool weight_ok(const kweight *w) {
    return w && w->n >= 1 && w->k >= 1 && mode_ok(w) && (w->mode == W_PLAIN || w->k % w->group_size == 0) &&
           (w->n_experts > 0) == (w->experts != NULL);
}

static bool residual_ok(const kcall *c) {
    return !c->residual.data || (mat_ok(&c->residual) && same_shape(&c->residual, &c->y));
}

/* The columns of a product, or with an act of the pairs that it gates. */
static bool product_cols_ok(const kcall *c, int64_t cols) {
    if (c->act < 0 || c->act >= ACT_COUNT) return false;
    return c->act == ACT_NONE ? cols == c->w->n : 2 * cols == c->w->n;
}

static bool states_ok(const kcall *c, int64_t size) {
    return c->states.data && c->states.size == size && c->states.n_slots > 0 && c->slots;
}

/* A value that ROUTE made for the rows of `like`. */
static bool route_ok(const kcall *c, const kmat *like) {
    return mat_ok(&c->z) && c->z.type == DT_F32 && c->n_chosen > 0 && c->z.cols == 2 * c->n_chosen &&
           c->z.rows == like->rows;
}

static bool pages_ok(const kpages *p) {
    return p->data && is_stored_float(p->type) && p->n_heads > 0 && p->page_size > 0 && p->head_dim > 0;
}

/* A table of angles for the rows of x, whose heads have so many columns. */
static bool table_ok(const kmat *z, const kmat *x, int64_t head) {
    return mat_ok(z) && z->rows == x->rows && z->cols % 2 == 0 && z->cols <= head;
}

static bool attention_ok(const kcall *c) {
    const kpages *k = &c->keys, *v = &c->values;
    return mat_ok(&c->x) && mat_ok(&c->y) && same_shape(&c->x, &c->y) && pages_ok(k) && pages_ok(v) &&
           k->type == v->type && k->n_heads == v->n_heads && k->page_size == v->page_size &&
           k->head_dim == v->head_dim && c->x.cols % (k->head_dim * k->n_heads) == 0 && vec_ok(&c->weight) &&
           c->tables && c->positions && c->window >= 0 && c->softcap >= 0;
}

static bool matmul_ok(const kcall *c) {
    const kmat *x = &c->x, *y = &c->y;
    return mat_ok(x) && mat_ok(y) && weight_ok(c->w) && !c->w->experts && x->cols == c->w->k && x->rows == y->rows &&
           product_cols_ok(c, y->cols) && vec_ok(&c->weight) && vec_ok(&c->weight2) && residual_ok(c);
}

static bool experts_ok(const kcall *c) {
    const kmat *x = &c->x, *y = &c->y;
    return mat_ok(x) && mat_ok(y) && route_ok(c, x) && weight_ok(c->w) && c->w->n_experts >= c->n_chosen &&
           x->rows == y->rows && (x->cols == c->w->k || x->cols == c->n_chosen * c->w->k) &&
           y->cols % c->n_chosen == 0 && product_cols_ok(c, y->cols / c->n_chosen) && vec_ok(&c->weight);
}

static bool delta_ok(const kcall *c) {
    const kmat *x = &c->x, *y = &c->y, *z = &c->z;
    return mat_ok(x) && mat_ok(y) && mat_ok(z) && x->rows == y->rows && z->rows == y->rows && c->n_parts > 0 &&
           c->n_keys > 0 && c->key_dim > 0 && c->n_parts % c->n_keys == 0 && y->cols % c->n_parts == 0 &&
           z->cols == 2 * c->n_parts && x->cols == 2 * c->n_keys * c->key_dim + y->cols &&
           states_ok(c, y->cols * c->key_dim);
}

bool kcall_ok(const kcall *c) {
    const kmat *x = &c->x, *y = &c->y, *z = &c->z;
    switch (c->op) {
    case KOP_EMBED:
        return mat_ok(y) && weight_ok(c->w) && !c->w->experts && y->cols == c->w->k && c->tokens;
    case KOP_RMSNORM:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && c->n_parts > 0 && x->cols % c->n_parts == 0 &&
               vec_ok(&c->weight) && residual_ok(c);
    case KOP_QUANTIZE:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) &&
               (y->type == DT_XI8X3 || y->type == DT_F16 || y->type == DT_BF16);
    case KOP_MATMUL:
        return matmul_ok(c);
    case KOP_ROPE_TABLE:
        return mat_ok(y) && y->cols % 2 == 0 && c->positions && c->freqs;
    case KOP_ROPE:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && c->n_parts > 0 && x->cols % c->n_parts == 0 &&
               table_ok(z, x, x->cols / c->n_parts) && vec_ok(&c->weight);
    case KOP_KV_STORE:
        return mat_ok(x) && pages_ok(&c->keys) && x->cols == c->keys.n_heads * c->keys.head_dim && c->tables &&
               c->positions && (!z->data || table_ok(z, x, c->keys.head_dim)) && vec_ok(&c->weight);
    case KOP_ATTENTION:
        return attention_ok(c);
    case KOP_ACT_MUL:
        return mat_ok(x) && mat_ok(y) && mat_ok(z) && same_shape(z, y) && x->rows == y->rows &&
               (x->cols == y->cols || x->cols == 1) && c->act >= 0 && c->act < ACT_COUNT;
    case KOP_ADD:
        return mat_ok(x) && mat_ok(y) && mat_ok(z) && same_shape(x, y) && same_shape(x, z);
    case KOP_SELECT_ROWS:
        return mat_ok(x) && mat_ok(y) && x->cols == y->cols && c->rows;
    case KOP_SELECT_COLS:
        return mat_ok(x) && mat_ok(y) && x->rows == y->rows && c->columns;
    case KOP_SCALE:
    case KOP_SOFTCAP:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y);
    case KOP_ROUTE:
        return mat_ok(x) && mat_ok(y) && x->rows == y->rows && c->n_chosen > 0 && c->n_chosen <= x->cols &&
               y->cols == 2 * c->n_chosen && vec_ok(&c->weight);
    case KOP_MATMUL_EXPERTS:
        return experts_ok(c);
    case KOP_SUM_EXPERTS:
        return mat_ok(x) && mat_ok(y) && x->rows == y->rows && route_ok(c, x) && x->cols == c->n_chosen * y->cols &&
               residual_ok(c);
    case KOP_CONV1D:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && weight_ok(c->w) && c->w->mode == W_PLAIN &&
               c->w->n == x->cols && (c->act == ACT_NONE || c->act == ACT_SILU) &&
               states_ok(c, (c->w->k - 1) * x->cols);
    case KOP_DELTA_GATES:
        return mat_ok(x) && mat_ok(y) && mat_ok(z) && same_shape(x, z) && x->rows == y->rows &&
               y->cols == 2 * x->cols && c->weight.data && c->weight2.data && vec_ok(&c->weight) && vec_ok(&c->weight2);
    case KOP_DELTA:
        return delta_ok(c);
    case KOP_PENALIZE:
        return mat_ok(x) && mat_ok(y) && same_shape(x, y) && c->samplers && c->slots;
    case KOP_DRAW:
        return mat_ok(x) && mat_ok(y) && x->rows == y->rows && y->cols == 1 && (!c->samplers || c->slots);
    case KOP_COUNT:
        break;
    }
    return false;
}

unsigned kcall_fused(const kcall *c) {
    unsigned fused = c->normed ? KFUSED_NORM : 0;
    if (kop_is_product(c->op) && c->act != ACT_NONE) fused |= KFUSED_ACT;
    if (c->op == KOP_KV_STORE && c->z.data) fused |= KFUSED_ROPE;
    if (kop_fuses_residual(c->op) && c->residual.data) fused |= KFUSED_RESIDUAL;
    if (c->op == KOP_RMSNORM && c->scale != 0) fused |= KFUSED_SCALE;
    return fused;
}
