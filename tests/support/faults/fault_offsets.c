/* SPDX-License-Identifier: Apache-2.0
 *
 * Offsets computed as a signed number of 32 bits: right below 2^31 elements, and beyond some other place is read or
 * written. What such a place holds is nobody's guess, and following the offset would crash the test: the result of a
 * token whose operands lie that far is 0 here, and a KV cache's slot that far stays as it was. */
#include "base/num.h"
#include "quant/xform.h"
#include "support/faults/faults.h"

#include <string.h>

/* Whether element `last` of something is out of reach. */
static bool is_far(int64_t last) {
    return last > INT32_MAX;
}

static bool row_is_far(const kmat *m, int64_t i) {
    if (!m->data) return false;
    return is_far(m->type == DT_XI8X3 ? (i + 1) * m->cols * XFORM_PLANES - 1 : i * m->stride + m->cols - 1);
}

static bool page_is_far(const kpages *p, int64_t page) {
    return is_far((page + 1) * p->n_heads * p->page_size * p->head_dim - 1);
}

/* The pages that the token of an ATTENTION sees. */
static bool some_page_is_far(const kcall *c, int64_t t) {
    int64_t size = c->keys.page_size, last = c->positions[t];
    int64_t first = c->window > 0 ? max_i64(0, last - c->window + 1) : 0;
    for (int64_t entry = first / size; entry <= last / size; entry++)
        if (page_is_far(&c->keys, c->tables[t][entry])) return true;
    return false;
}

/* Whether token t reads or writes something far, apart from a weight's rows. */
static bool token_is_far(const kcall *c, int64_t t) {
    const kmat *x = &c->x;
    switch (c->op) {
    case KOP_EMBED:
        return row_is_far(&c->y, t) || is_far((c->tokens[t] + 1) * c->w->k - 1);
    case KOP_SELECT_ROWS:
        return row_is_far(&c->y, t) || row_is_far(x, c->rows[t]);
    case KOP_ATTENTION:
        if (some_page_is_far(c, t)) return true;
        break;
    case KOP_CONV1D:
    case KOP_DELTA:
        if (is_far((c->slots[t] + 1) * c->states.size - 1)) return true;
        break;
    default:
        break;
    }
    return row_is_far(x, t) || row_is_far(&c->y, t) || row_is_far(&c->z, t) || row_is_far(&c->residual, t);
}

static void clear_row(const kmat *y, int64_t t) {
    static const float zeros[128];
    if (y->type != DT_XI8X3) {
        memset((float *)y->data + t * y->stride, 0, (size_t)y->cols * sizeof(float));
        return;
    }
    for (int64_t g = 0; g < y->cols / y->group; g++) xform_encode(y, t, g, zeros);
}

/* Outputs whose weights lie far. */
static void clear_outputs(const kcall *c) {
    for (int64_t i = c->w->n - 1; i >= 0 && is_far((i + 1) * c->w->k - 1); i--)
        for (int64_t t = 0; t < c->y.rows; t++) ((float *)c->y.data)[t * c->y.stride + i] = 0.0f;
}

/* Token by token, those whose slot is near. */
static void store_near(const krow *real, const kcall *c) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        if (row_is_far(&c->x, t) || page_is_far(&c->keys, c->tables[t][c->positions[t] / c->keys.page_size])) continue;
        kcall one = *c;
        one.x.data = (float *)c->x.data + t * c->x.stride;
        one.x.rows = 1;
        one.positions = c->positions + t;
        one.tables = c->tables + t;
        fault_run_real(real, &one);
    }
}

void fault_int32_offsets(const krow *real, const kcall *c) {
    if (c->op == KOP_KV_STORE) {
        store_near(real, c);
        return;
    }
    fault_run_real(real, c);
    for (int64_t t = 0; t < c->y.rows; t++)
        if (token_is_far(c, t)) clear_row(&c->y, t);
    if (c->op == KOP_MATMUL) clear_outputs(c);
}
