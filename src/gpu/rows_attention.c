/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/attention*.c: one for any shape. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/attention_params.h"

static bool is_float(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static bool is_power_of_2(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

static attention_call call_of(const kcall *c) {
    attention_call a = {.x = gpu_mat_of(&c->x),
                        .y = gpu_mat_of(&c->y),
                        .keys = c->keys.data,
                        .values = c->values.data,
                        .tables = (const GLOBAL u64 *)(const void *)c->tables,
                        .positions = c->positions,
                        .sinks = gpu_vec_of(&c->weight),
                        .kv_type = (u32)c->keys.type,
                        .n_kv_heads = (u32)c->keys.n_heads,
                        .head_dim = (u32)c->keys.head_dim,
                        .n_heads = (u32)(c->x.cols / c->keys.head_dim),
                        .page_size = (u32)c->keys.page_size,
                        .window = (u32)min_i64(c->window, INT32_MAX),
                        .scale = (float)((double)c->scale * 1.4426950408889634)};
    while (is_power_of_2(c->keys.page_size) && (1u << a.page_shift) < a.page_size) a.page_shift++;
    return a;
}

/* ---- Any shape ----------------------------------------------------------------------------------------------- */

static const gpu_kernel k_plain = {.module = "attention", .name = "attention_plain"};
enum { PLAIN_BLOCK = 128, PLAIN_STRETCH = 256, SHARED_MAX = 48 << 10 };

static size_t plain_shared(const kcall *c) {
    return (size_t)(2 * c->keys.head_dim + PLAIN_STRETCH) * sizeof(float);
}

static bool plain_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_float(c->x.type) && is_float(c->y.type) && plain_shared(c) <= SHARED_MAX;
}

static void plain_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct attention_params p = {call_of(c)};
    if (c->x.rows > 0)
        gpu_add(to, &k_plain, p.c.n_heads, min_i64(c->x.rows, 65535), 1, PLAIN_BLOCK, plain_shared(c), &p, sizeof p);
}

static const krow rows[] = {
    {.name = "attention.plain.gpu",
     .backend = "gpu",
     .op = KOP_ATTENTION,
     .takes = plain_takes,
     .tasks = gpu_one_task,
     .enqueue = plain_enqueue},
};

const gpu_row_list gpu_rows_attention = {rows, sizeof rows / sizeof *rows};
