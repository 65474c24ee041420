/* SPDX-License-Identifier: Apache-2.0
 *
 * The portable ATTENTION row: a task is one head of one token, its scores lie in scratch between the two passes. */
#include "cpu/cpu_rows.h"
#include "cpu/scalar_weight.h"

#include <math.h>

#include "base/half.h"
#include "base/num.h"

static bool attention_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32;
}

static int64_t attention_tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows * (c->x.cols / c->keys.head_dim));
}

static size_t attention_scratch(const krow *row, const kcall *c) {
    (void)row;
    int64_t longest = c->keys.n_pages * c->keys.page_size; /* no sequence can be longer */
    if (c->window > 0) longest = min_i64(longest, c->window);
    return (size_t)(longest + c->keys.head_dim) * sizeof(float);
}

/* The key or value at position p as fp32: where it lies, or converted into `copy`. */
static const float *vector_at(const kpages *pages, const int32_t *table, int64_t p, int64_t head, float *copy) {
    int64_t page = table[p / pages->page_size], slot = p % pages->page_size;
    int64_t at = ((page * pages->n_heads + head) * pages->page_size + slot) * pages->head_dim;
    if (pages->type == DT_F32) return (const float *)pages->data + at;
    const uint16_t *stored = (const uint16_t *)pages->data + at;
    for (int64_t d = 0; d < pages->head_dim; d++)
        copy[d] = pages->type == DT_F16 ? f16_to_f32(stored[d]) : bf16_to_f32(stored[d]);
    return copy;
}

static void attend(const kcall *c, int64_t t, int64_t head, float *scratch) {
    int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    int64_t last = c->positions[t], first = c->window > 0 ? max_i64(0, last - c->window + 1) : 0;
    const float *q = (const float *)c->x.data + t * c->x.stride + head * dim;
    float *y = (float *)c->y.data + t * c->y.stride + head * dim;
    float *copy = scratch, *scores = scratch + dim;
    float sink = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, head) : -INFINITY, largest = sink;
    for (int64_t p = first; p <= last; p++) {
        float s = c->scale * scalar_dot(q, vector_at(&c->keys, c->tables[t], p, kv_head, copy), dim);
        if (c->softcap > 0) s = c->softcap * tanhf(s / c->softcap);
        scores[p - first] = s;
        if (s > largest) largest = s;
    }
    float sum = expf(sink - largest);
    for (int64_t d = 0; d < dim; d++) y[d] = 0;
    for (int64_t p = first; p <= last; p++) {
        float e = expf(scores[p - first] - largest);
        const float *v = vector_at(&c->values, c->tables[t], p, kv_head, copy);
        sum += e;
        for (int64_t d = 0; d < dim; d++) y[d] += e * v[d];
    }
    for (int64_t d = 0; d < dim; d++) y[d] /= sum;
}

static void attention_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    int64_t n_heads = c->x.cols / c->keys.head_dim;
    for (int64_t task = begin; task < min_i64(end, c->x.rows * n_heads); task++)
        attend(c, task / n_heads, task % n_heads, scratch);
}

static const krow rows[] = {
    {
        .name = "attention.scalar",
        .backend = "cpu",
        .op = KOP_ATTENTION,
        .chains = SCALAR_DOT_CHAINS,
        .takes = attention_takes,
        .tasks = attention_tasks,
        .scratch = attention_scratch,
        .run = attention_run,
    },
};
const krow_table scalar_attention_rows = KROW_TABLE(rows);
