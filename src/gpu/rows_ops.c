/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/ops.c. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/ops_params.h"

enum { BLOCK = 256 };

static bool is_float(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static const gpu_kernel k_add = {.module = "ops", .name = "add"};

static bool add_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_float(c->x.type) && is_float(c->z.type) && is_float(c->y.type);
}

static void add_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct add_params p = {gpu_mat_of(&c->x), gpu_mat_of(&c->z), gpu_mat_of(&c->y)};
    if (c->y.rows > 0)
        gpu_add(to, &k_add, div_up(c->y.cols, BLOCK), min_i64(c->y.rows, 65535), 1, BLOCK, 0, &p, sizeof p);
}

static const krow rows[] = {
    {.name = "add.gpu",
     .backend = "gpu",
     .op = KOP_ADD,
     .takes = add_takes,
     .tasks = gpu_one_task,
     .enqueue = add_enqueue},
};

const gpu_row_list gpu_rows_ops = {rows, sizeof rows / sizeof *rows};
