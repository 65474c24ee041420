/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with the experts that they chose: a row for any operands, and above it those of
 * kernels/qmv_mma.c. */
#include "base/num.h"
#include "gpu/qmv.h"
#include "gpu/rows.h"

static bool any_takes(const krow *row, const kcall *c) {
    (void)row;
    return gpu_weight_ok(c->w) && qmv_any_takes(c);
}

static size_t table_bytes(const krow *row, const kcall *c) {
    (void)row;
    return GPU_TABLE_BYTES * (size_t)min_i64(c->w->n_experts, GPU_TABLE_MAX);
}

static void any_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    qmv_add_any(c, scratch, to);
}

static const krow rows[] = {
    {.name = "matmul_experts.any.gpu",
     .backend = "gpu",
     .op = KOP_MATMUL_EXPERTS,
     .fused = KFUSED_ACT,
     .takes = any_takes,
     .tasks = gpu_one_task,
     .scratch = table_bytes,
     .enqueue = any_enqueue},
};

const gpu_row_list gpu_rows_experts = {rows, sizeof rows / sizeof *rows};
