/* SPDX-License-Identifier: Apache-2.0
 *
 * NEON rows of ROPE, KV_STORE and ADD. What is left over after the last 4 columns is done by the same formulas in C,
 * with the same roundings. */
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "cpu/arm/neon.h"
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

/* ---- ROPE ---------------------------------------------------------------------------------------------------- */

static bool rope_takes(const krow *row, const kcall *c) {
    return takes_f32(row, c) && !c->interleaved;
}

static void rotate_halves(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    int64_t i = 0;
    for (; i + 4 <= half; i += 4) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + half + i);
        float32x4_t cs = vld1q_f32(cosine + i), sn = vld1q_f32(sine + i);
        vst1q_f32(y + i, vfmsq_f32(vmulq_f32(a, cs), b, sn));
        vst1q_f32(y + half + i, vfmaq_f32(vmulq_f32(a, sn), b, cs));
    }
    for (; i < half; i++) {
        float a = x[i], b = x[half + i];
        y[i] = fmaf(-b, sine[i], a * cosine[i]);
        y[half + i] = fmaf(b, cosine[i], a * sine[i]);
    }
}

static void rope_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t head_dim = c->x.cols / c->n_parts, half = c->z.cols / 2;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *cosine = row_in(&c->z, t), *sine = cosine + half;
        for (int64_t head = 0; head < c->n_parts; head++) {
            const float *x = row_in(&c->x, t) + head * head_dim;
            float *y = row_out(&c->y, t) + head * head_dim;
            rotate_halves(x, cosine, sine, half, y);
            if (x != y) memcpy(y + 2 * half, x + 2 * half, (size_t)(head_dim - 2 * half) * sizeof *y);
        }
    }
}

/* ---- KV_STORE ------------------------------------------------------------------------------------------------ */

static bool kv_store_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32;
}

static void store_f16(const float *x, int64_t n, uint16_t *y) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

static void store_bf16(const float *x, int64_t n, uint16_t *y) {
    for (int64_t i = 0; i < n; i++) y[i] = f32_to_bf16(x[i]);
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

/* ---- ADD ----------------------------------------------------------------------------------------------------- */

static void add_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_in(&c->x, t), *z = row_in(&c->z, t);
        float *y = row_out(&c->y, t);
        int64_t j = 0;
        for (; j + 4 <= c->x.cols; j += 4) vst1q_f32(y + j, vaddq_f32(vld1q_f32(x + j), vld1q_f32(z + j)));
        for (; j < c->x.cols; j++) y[j] = x[j] + z[j];
    }
}

#define ROW(row_name, its_op, takes_it, runs_it)                                                                       \
    {                                                                                                                  \
        .name = row_name, .backend = "cpu", .op = its_op, .rank = 20, .needs = CPU_NEON, .takes = takes_it,            \
        .tasks = tasks_of_tokens, .run = runs_it,                                                                      \
    }

static const krow rows[] = {
    ROW("rope.neon", KOP_ROPE, rope_takes, rope_run),
    ROW("kv_store.neon", KOP_KV_STORE, kv_store_takes, kv_store_run),
    ROW("add.neon", KOP_ADD, takes_f32, add_run),
};
const krow_table ops_neon_rows = KROW_TABLE(rows);
