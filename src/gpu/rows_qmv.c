/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens: a row for any operands, and above it those of kernels/qmv_mma.c. */
#include "gpu/qmv.h"
#include "gpu/rows.h"

static bool any_takes(const krow *row, const kcall *c) {
    (void)row;
    return qmv_any_takes(c);
}

static void any_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    qmv_add_any(c, NULL, to);
}

static const krow rows[] = {
    {.name = "matmul.any.gpu",
     .backend = "gpu",
     .op = KOP_MATMUL,
     .fused = KFUSED_NORM | KFUSED_ACT,
     .takes = any_takes,
     .tasks = gpu_one_task,
     .enqueue = any_enqueue},
};

const gpu_row_list gpu_rows_qmv = {rows, sizeof rows / sizeof *rows};
