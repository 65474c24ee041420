/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/weight.h"

#include "base/num.h"

_Static_assert(sizeof(gpu_weight) == 64 && sizeof(gpu_mat) == 32 && sizeof(gpu_pages) == 24, "as device code has them");

static i64 distance(const void *from, const void *to) {
    return (i64)((intptr_t)to - (intptr_t)from);
}

static bool is_even(const kweight *w) {
    if (w->n_experts < 2) return true;
    const kweight *e = w->experts;
    const i64 codes = distance(e[0].codes, e[1].codes), scales = distance(e[0].scales, e[1].scales);
    for (int64_t i = 1; i < w->n_experts; i++) {
        if (distance(e[i - 1].codes, e[i].codes) != codes || distance(e[i - 1].scales, e[i].scales) != scales)
            return false;
        if (e[i].biases && distance(e[i - 1].biases, e[i].biases) != scales) return false;
    }
    return true;
}

bool gpu_weight_ok(const kweight *w) {
    return w->n_experts <= GPU_TABLE_MAX || is_even(w);
}

/* Plain weights have none: what kernels add to it, and do not follow, must be an address all the same. */
static const void *scales_of(const kweight *w) {
    return w->scales ? w->scales : w->codes;
}

static const gpu_kernel fill_table = {.module = "ops", .name = "fill_table"};

static void add_table(const kweight *w, GLOBAL u64 *table, gpu_launches *to) {
    enum { EACH = 8 };
    for (int64_t first = 0; first < w->n_experts; first += EACH) {
        struct fill_table_params p = {.table = table, .first = (u32)first};
        p.n = (u32)min_i64(EACH, w->n_experts - first);
        for (u32 i = 0; i < p.n; i++) {
            const kweight *e = &w->experts[first + i];
            p.entries[3 * i] = (u64)(uintptr_t)e->codes;
            p.entries[3 * i + 1] = (u64)(uintptr_t)scales_of(e);
            p.entries[3 * i + 2] = (u64)(uintptr_t)e->biases;
        }
        gpu_add(to, &fill_table, 1, 1, 1, 64, 0, &p, sizeof p);
    }
}

gpu_weight gpu_weight_of(const kweight *w, void *table, gpu_launches *to) {
    const kweight *first = w->experts ? w->experts : w;
    gpu_weight g = {.codes = first->codes,
                    .scales = scales_of(first),
                    .biases = first->biases,
                    .n = (u32)w->n,
                    .k = (u32)w->k,
                    .type = w->type == DT_U8 ? 0 : (u32)w->type,
                    .group_size = (u32)w->group_size};
    if (w->n_experts < 2) return g;
    if (is_even(w)) {
        g.codes_step = distance(first[0].codes, first[1].codes);
        g.scales_step = distance(first[0].scales, first[1].scales);
    } else {
        g.table = table;
        add_table(w, table, to);
    }
    return g;
}

bool gpu_weight_aligned(const kweight *w, size_t codes, size_t scales) {
    const kweight *e = w->experts ? w->experts : w;
    for (int64_t i = 0; i < max_i64(1, w->n_experts); i++)
        if (!is_aligned(e[i].codes, codes) || !is_aligned(e[i].scales, scales) || !is_aligned(e[i].biases, scales))
            return false;
    return true;
}

bool gpu_mat_aligned(const kmat *m, size_t bytes) {
    return is_aligned(m->data, bytes) && (m->rows < 2 || (size_t)m->stride * dtype_size(m->type) % bytes == 0);
}

gpu_mat gpu_mat_of(const kmat *m) {
    if (!m->data) return (gpu_mat){0};
    return (gpu_mat){
        .data = m->data, .stride = m->stride, .type = (u32)m->type, .rows = (u32)m->rows, .cols = (u32)m->cols};
}

gpu_vec gpu_vec_of(const kvec *v) {
    return (gpu_vec){.data = v->data, .type = (u32)v->type};
}

gpu_pages gpu_pages_of(const kpages *p) {
    return (gpu_pages){.data = p->data,
                       .type = (u32)p->type,
                       .n_heads = (u32)p->n_heads,
                       .page_size = (u32)p->page_size,
                       .head_dim = (u32)p->head_dim};
}
