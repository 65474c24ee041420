/* SPDX-License-Identifier: Apache-2.0
 *
 * ROPE, KV_STORE and ADD for vectors of any width. A task is a token. What is left over after the last whole vector is
 * done by the same formulas in C, with the same roundings.
 *
 * The including file defines LANES, v_load, v_store, v_add, and
 *   rotate(c, x, cosine, sine, half, y): the first 2 half columns of a head; x and y may be the same,
 *   store_f16(x, n, y), store_bf16(x, n, y): n floats rounded to nearest even, as f32_to_f16 and f32_to_bf16 do,
 *   INSTRUCTIONS and NEEDS: the rows' last name, and the bits of caps.h without which they do not run. */
#include <string.h>

#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"

static const float *row_in(const kmat *m, int64_t t) {
    return (const float *)m->data + t * m->stride;
}

static float *row_out(const kmat *m, int64_t t) {
    return (float *)m->data + t * m->stride;
}

static int64_t tasks_of_tokens(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows);
}

static bool takes_f32(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32 && c->z.type == DT_F32;
}

static void rope_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t head_dim = c->x.cols / c->n_parts, half = c->z.cols / 2;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *cosine = row_in(&c->z, t), *sine = cosine + half;
        for (int64_t head = 0; head < c->n_parts; head++) {
            const float *x = row_in(&c->x, t) + head * head_dim;
            float *y = row_out(&c->y, t) + head * head_dim;
            rotate(c, x, cosine, sine, half, y);
            if (x != y) memcpy(y + 2 * half, x + 2 * half, (size_t)(head_dim - 2 * half) * sizeof *y);
        }
    }
}

static bool kv_store_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32;
}

static void kv_store_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const kpages *k = &c->keys;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        int64_t page = c->tables[t][c->positions[t] / k->page_size], slot = c->positions[t] % k->page_size;
        for (int64_t head = 0; head < k->n_heads; head++) {
            int64_t at = ((page * k->n_heads + head) * k->page_size + slot) * k->head_dim;
            const float *x = row_in(&c->x, t) + head * k->head_dim;
            if (k->type == DT_F32)
                memcpy((float *)k->data + at, x, (size_t)k->head_dim * sizeof *x);
            else if (k->type == DT_F16)
                store_f16(x, k->head_dim, (uint16_t *)k->data + at);
            else
                store_bf16(x, k->head_dim, (uint16_t *)k->data + at);
        }
    }
}

static void add_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_in(&c->x, t), *z = row_in(&c->z, t);
        float *y = row_out(&c->y, t);
        int64_t j = 0;
        for (; j + LANES <= c->x.cols; j += LANES) v_store(y + j, v_add(v_load(x + j), v_load(z + j)));
        for (; j < c->x.cols; j++) y[j] = x[j] + z[j];
    }
}

#define ROW(what, operation, takes_it)                                                                                 \
    {                                                                                                                  \
        .name = #what "." INSTRUCTIONS, .backend = "cpu", .op = operation, .rank = 20, .needs = NEEDS,                 \
        .takes = takes_it, .tasks = tasks_of_tokens, .run = what##_run,                                                \
    }
