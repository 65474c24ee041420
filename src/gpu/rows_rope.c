/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/rope.c: ROPE_TABLE, ROPE and KV_STORE. The last two are one kernel, whose launches for the queries,
 * keys and values of a layer can be joined into one. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/rope_params.h"

_Static_assert(sizeof(head_part) <= 160, "three parts fit into a launch");
_Static_assert((int)GPU_KERNEL_PARTS == (int)GPU_MAX_PARTS, "as launches have them");

enum { BLOCK = 128 };

/* ---- ROPE_TABLE ---------------------------------------------------------------------------------------------- */

static const gpu_kernel k_table = {.module = "rope", .name = "rope_table"};

static bool table_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->y.type);
}

static void table_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct rope_table_params p = {
        .y = gpu_mat_of(&c->y), .positions = c->positions, .freqs = c->freqs, .scale = c->scale};
    const int64_t half = c->y.cols / 2;
    if (c->y.rows > 0 && half > 0)
        gpu_add(to, &k_table, div_up(half, 64), min_i64(c->y.rows, 65535), 1, 64, 0, &p, sizeof p);
}

/* ---- Heads --------------------------------------------------------------------------------------------------- */

static const gpu_kernel k_head = {.module = "rope", .name = "head_op", .part_size = sizeof(head_part)};

static bool head_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && (c->op == KOP_KV_STORE || is_stored_float(c->y.type)) &&
           (!c->z.data || is_stored_float(c->z.type));
}

static head_part head_part_of(const kcall *c) {
    head_part p = {.x = c->x.data,
                   .x_stride = c->x.stride,
                   .x_type = (u32)c->x.type,
                   .weight = c->weight.data,
                   .weight_type = (u32)c->weight.type,
                   .rows = (u32)c->x.rows,
                   .eps = c->eps,
                   .offset = c->offset};
    if (c->z.data) {
        p.angles = c->z.data;
        p.angles_stride = c->z.stride;
        p.angles_type = (u32)c->z.type;
        p.half = (u32)(c->z.cols / 2);
    }
    if (c->normed) p.flags |= HEAD_NORMED;
    if (c->interleaved) p.flags |= HEAD_INTERLEAVED;
    return p;
}

static void add_heads(const head_part *p, gpu_launches *to) {
    const int64_t heads = (int64_t)p->rows * p->n_heads;
    if (heads > 0) gpu_add_part(to, &k_head, div_up(heads, BLOCK / to->traits->warp), 1, 1, BLOCK, 0, p);
}

static void rope_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    head_part p = head_part_of(c);
    p.y = c->y.data;
    p.y_stride = c->y.stride;
    p.y_type = (u32)c->y.type;
    p.n_heads = (u32)c->n_parts;
    p.head_dim = (u32)(c->x.cols / c->n_parts);
    if (c->x.data == c->y.data) p.flags |= HEAD_IN_PLACE;
    add_heads(&p, to);
}

static void store_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    head_part p = head_part_of(c);
    p.y = c->keys.data;
    p.y_type = (u32)c->keys.type;
    p.tables = (const GLOBAL u64 *)(const void *)c->tables;
    p.positions = c->positions;
    p.page_size = (u32)c->keys.page_size;
    p.n_heads = (u32)c->keys.n_heads;
    p.head_dim = (u32)c->keys.head_dim;
    add_heads(&p, to);
}

static const krow rows[] = {
    {.name = "rope_table.gpu",
     .backend = "gpu",
     .op = KOP_ROPE_TABLE,
     .takes = table_takes,
     .tasks = gpu_one_task,
     .enqueue = table_enqueue},
    {.name = "rope.gpu",
     .backend = "gpu",
     .op = KOP_ROPE,
     .fused = KFUSED_NORM,
     .takes = head_takes,
     .tasks = gpu_one_task,
     .enqueue = rope_enqueue},
    {.name = "kv_store.gpu",
     .backend = "gpu",
     .op = KOP_KV_STORE,
     .fused = KFUSED_NORM | KFUSED_ROPE,
     .takes = head_takes,
     .tasks = gpu_one_task,
     .enqueue = store_enqueue},
};

const gpu_row_list gpu_rows_rope = {rows, sizeof rows / sizeof *rows};
