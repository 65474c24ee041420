/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable rows of the operations that work on each token alone: plain C, fp32, one task a token. They are the answer
 * of last resort and run everywhere; rank 0. */
#include "cpu/scalar_rows.h"

#include <string.h>

#include "base/half.h"
#include "quant/xform.h"

/* ---- EMBED --------------------------------------------------------------------------------------------------- */

static bool embed_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->y.type == DT_F32;
}

static void embed_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++) {
        float *y = row_out(&c->y, t);
        scalar_weight_row(c->w, c->tokens[t], y);
        for (int64_t j = 0; j < c->y.cols; j++) y[j] *= c->scale;
    }
}

/* ---- RMSNORM ------------------------------------------------------------------------------------------------- */

static void rmsnorm_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t size = c->x.cols / c->n_parts;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        for (int64_t part = 0; part < c->n_parts; part++) {
            const float *x = row_in(&c->x, t) + part * size;
            float *y = row_out(&c->y, t) + part * size;
            float factor = 1.0f / sqrtf(scalar_dot(x, x, size) / (float)size + c->eps);
            for (int64_t j = 0; j < size; j++) {
                float weight = c->weight.data ? float_at_f32(c->weight.data, c->weight.type, j) : 1.0f;
                y[j] = x[j] * factor * (c->offset + weight);
            }
        }
    }
}

/* ---- QUANTIZE ------------------------------------------------------------------------------------------------ */

static bool quantize_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_XI8X3;
}

static void quantize_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t group = c->y.group, n_groups = c->y.cols / group;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        for (int64_t g = 0; g < n_groups; g++) xform_encode(&c->y, t, g, row_in(&c->x, t) + g * group);
    }
}

/* ---- ROPE ---------------------------------------------------------------------------------------------------- */

static bool y_is_f32(const krow *row, const kcall *c) {
    (void)row;
    return c->y.type == DT_F32;
}

static void rope_table_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t half = c->y.cols / 2;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++) {
        float *y = row_out(&c->y, t);
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)c->positions[t] * c->freqs[i];
            y[i] = (float)(cos(angle) * (double)c->scale);
            y[half + i] = (float)(sin(angle) * (double)c->scale);
        }
    }
}

static void rope_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t head_dim = c->x.cols / c->n_parts, half = c->z.cols / 2;
    int64_t step = c->interleaved ? 2 : 1, apart = c->interleaved ? 1 : half;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *cosine = row_in(&c->z, t), *sine = cosine + half;
        for (int64_t head = 0; head < c->n_parts; head++) {
            const float *x = row_in(&c->x, t) + head * head_dim;
            float *y = row_out(&c->y, t) + head * head_dim;
            for (int64_t i = 0; i < half; i++) {
                float a = x[i * step], b = x[i * step + apart];
                y[i * step] = a * cosine[i] - b * sine[i];
                y[i * step + apart] = b * cosine[i] + a * sine[i];
            }
            if (x != y) memcpy(y + 2 * half, x + 2 * half, (size_t)(head_dim - 2 * half) * sizeof *y);
        }
    }
}

/* ---- KV_STORE ------------------------------------------------------------------------------------------------ */

static bool kv_store_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32;
}

static void store_as(void *to, dtype type, int64_t at, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (type == DT_F32)
            ((float *)to)[at + i] = x[i];
        else
            ((uint16_t *)to)[at + i] = type == DT_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
    }
}

static void kv_store_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const kpages *k = &c->keys;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        int64_t page = c->tables[t][c->positions[t] / k->page_size], slot = c->positions[t] % k->page_size;
        for (int64_t head = 0; head < k->n_heads; head++) {
            int64_t at = ((page * k->n_heads + head) * k->page_size + slot) * k->head_dim;
            store_as(k->data, k->type, at, row_in(&c->x, t) + head * k->head_dim, k->head_dim);
        }
    }
}

/* ---- ACT_MUL and other element-wise ones ----------------------------------------------------------------------- */

static void act_mul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++) {
        const float *x = row_in(&c->x, t), *z = row_in(&c->z, t);
        float *y = row_out(&c->y, t);
        float shared = c->x.cols == 1 ? scalar_act(c->act, x[0]) : 0.0f;
        for (int64_t j = 0; j < c->y.cols; j++) {
            float factor = c->act == ACT_SWIGLU_OAI ? fmaxf(-7.0f, fminf(z[j], 7.0f)) + 1.0f : z[j];
            y[j] = (c->x.cols == 1 ? shared : scalar_act(c->act, x[j])) * factor;
        }
    }
}

static void scale_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        for (int64_t j = 0; j < c->x.cols; j++) row_out(&c->y, t)[j] = c->scale * row_in(&c->x, t)[j];
}

static void softcap_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        for (int64_t j = 0; j < c->x.cols; j++) row_out(&c->y, t)[j] = c->scale * tanhf(row_in(&c->x, t)[j] / c->scale);
}

static void add_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_in(&c->x, t), *z = row_in(&c->z, t);
        float *y = row_out(&c->y, t);
        for (int64_t j = 0; j < c->x.cols; j++) y[j] = x[j] + z[j];
    }
}

static void select_rows_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t i = begin; i < min_i64(end, c->y.rows); i++)
        memcpy(row_out(&c->y, i), row_in(&c->x, c->rows[i]), (size_t)c->y.cols * sizeof(float));
}

static void select_cols_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++)
        for (int64_t j = 0; j < c->y.cols; j++) row_out(&c->y, t)[j] = row_in(&c->x, t)[c->columns[j]];
}

static const krow rows[] = {
    {.name = "embed.scalar",
     .op = KOP_EMBED,
     .takes = embed_takes,
     .run = embed_run,
     .tasks = tasks_y_rows,
     .backend = "cpu"},
    {.name = "rmsnorm.scalar",
     .op = KOP_RMSNORM,
     .takes = takes_f32,
     .run = rmsnorm_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "quantize.scalar",
     .op = KOP_QUANTIZE,
     .takes = quantize_takes,
     .run = quantize_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "rope_table.scalar",
     .op = KOP_ROPE_TABLE,
     .takes = y_is_f32,
     .run = rope_table_run,
     .tasks = tasks_y_rows,
     .backend = "cpu"},
    {.name = "rope.scalar",
     .op = KOP_ROPE,
     .takes = takes_f32,
     .run = rope_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "kv_store.scalar",
     .op = KOP_KV_STORE,
     .takes = kv_store_takes,
     .run = kv_store_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "act_mul.scalar",
     .op = KOP_ACT_MUL,
     .takes = takes_f32,
     .run = act_mul_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "add.scalar", .op = KOP_ADD, .takes = takes_f32, .run = add_run, .tasks = tasks_x_rows, .backend = "cpu"},
    {.name = "select_rows.scalar",
     .op = KOP_SELECT_ROWS,
     .takes = takes_f32,
     .run = select_rows_run,
     .tasks = tasks_y_rows,
     .backend = "cpu"},
    {.name = "select_cols.scalar",
     .op = KOP_SELECT_COLS,
     .takes = takes_f32,
     .run = select_cols_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "scale.scalar",
     .op = KOP_SCALE,
     .takes = takes_f32,
     .run = scale_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
    {.name = "softcap.scalar",
     .op = KOP_SOFTCAP,
     .takes = takes_f32,
     .run = softcap_run,
     .tasks = tasks_x_rows,
     .backend = "cpu"},
};
const krow_table scalar_ops_rows = KROW_TABLE(rows);
