/* SPDX-License-Identifier: Apache-2.0
 *
 * The small operations on each token for vectors of any width: EMBED of plain tables, ROPE, KV_STORE, ADD, SCALE,
 * SOFTCAP, SELECT_ROWS, SELECT_COLS. A task is a token, or some of its columns. What is left over after the last whole
 * vector is done by the same formulas, with the same roundings.
 *
 * The including file includes the header of its vectors (x86/vec_avx2.h, arm/neon.h) and defines
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

static bool takes_pair(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32;
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

/* ---- EMBED, SELECT_ROWS, SELECT_COLS ------------------------------------------------------------------------- */

static bool embed_plain_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->y.type == DT_F32 && c->w->mode == W_PLAIN;
}

static int64_t tasks_of_y(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->y.rows);
}

static void embed_plain_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const kweight *w = c->w;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++) {
        const int64_t from = c->tokens[t] * w->k;
        float *y = row_out(&c->y, t);
        int64_t j = 0;
        for (; j + LANES <= w->k; j += LANES)
            v_store(y + j, v_mul(v_set1(c->scale), load_stored(w->codes, w->type, from + j)));
        for (; j < w->k; j++) y[j] = c->scale * float_at_f32(w->codes, w->type, from + j);
    }
}

static void select_rows_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t i = begin; i < min_i64(end, c->y.rows); i++)
        memcpy(row_out(&c->y, i), row_in(&c->x, c->rows[i]), (size_t)c->y.cols * sizeof(float));
}

/* Columns mostly come in runs (of a head, of half a projection), which are found once for all rows. */
static void select_cols_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t cols = c->y.cols;
    const int32_t *from = c->columns;
    end = min_i64(end, c->x.rows);
    for (int64_t j = 0, n; j < cols; j += n) {
        for (n = 1; j + n < cols && from[j + n] == from[j] + n;) n++;
        for (int64_t t = begin; t < end; t++) {
            const float *x = row_in(&c->x, t) + from[j];
            float *y = row_out(&c->y, t) + j;
            if (n == 1)
                *y = *x;
            else
                memcpy(y, x, (size_t)n * sizeof *y);
        }
    }
}

/* ---- SCALE, SOFTCAP ------------------------------------------------------------------------------------------ */

enum { TASK_COLUMNS = 8192 }; /* one token's logits are shared out */

static int64_t tasks_of_columns(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows * div_up(c->x.cols, TASK_COLUMNS));
}

static void scale_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t pieces = div_up(c->x.cols, TASK_COLUMNS);
    for (int64_t task = begin; task < min_i64(end, c->x.rows * pieces); task++) {
        const float *x = row_in(&c->x, task / pieces);
        float *y = row_out(&c->y, task / pieces);
        const int64_t first = task % pieces * TASK_COLUMNS, last = min_i64(c->x.cols, first + TASK_COLUMNS);
        for (int64_t j = first; j < last; j += LANES) {
            const int part = (int)min_i64(LANES, last - j);
            v_store_part(y + j, part, v_mul(v_set1(c->scale), v_load_part(x + j, part)));
        }
    }
}

static void softcap_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t pieces = div_up(c->x.cols, TASK_COLUMNS);
    for (int64_t task = begin; task < min_i64(end, c->x.rows * pieces); task++) {
        const float *x = row_in(&c->x, task / pieces);
        float *y = row_out(&c->y, task / pieces);
        const int64_t first = task % pieces * TASK_COLUMNS, last = min_i64(c->x.cols, first + TASK_COLUMNS);
        for (int64_t j = first; j < last; j += LANES) {
            const int part = (int)min_i64(LANES, last - j);
            vfloat share = v_div(v_load_part(x + j, part), v_set1(c->scale));
            v_store_part(y + j, part, v_mul(v_set1(c->scale), v_tanh(share)));
        }
    }
}

#define ROW_OF(what, operation, takes_it, its_tasks)                                                                   \
    {                                                                                                                  \
        .name = #what "." INSTRUCTIONS, .backend = "cpu", .op = operation, .rank = 20, .needs = NEEDS,                 \
        .takes = takes_it, .tasks = its_tasks, .run = what##_run,                                                      \
    }
#define ROW(what, operation, takes_it) ROW_OF(what, operation, takes_it, tasks_of_tokens)

/* Those of all instruction sets. */
#define COMMON_ROWS                                                                                                    \
    ROW(kv_store, KOP_KV_STORE, kv_store_takes), ROW(add, KOP_ADD, takes_f32),                                         \
        ROW_OF(scale, KOP_SCALE, takes_pair, tasks_of_columns),                                                        \
        ROW_OF(softcap, KOP_SOFTCAP, takes_pair, tasks_of_columns),                                                    \
        ROW_OF(select_rows, KOP_SELECT_ROWS, takes_pair, tasks_of_y), ROW(select_cols, KOP_SELECT_COLS, takes_pair), { \
        .name = "embed.plain." INSTRUCTIONS, .backend = "cpu", .op = KOP_EMBED, .rank = 20, .needs = NEEDS,            \
        .takes = embed_plain_takes, .tasks = tasks_of_y, .run = embed_plain_run,                                       \
    }
