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

static void mma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    qmv_add_mma(row, c, to);
}

#define WHICH(name, mode, bits, group) WHICH_##name##_##group,
enum { QMV_WEIGHTS(WHICH) };
#define ROW(name_, mode, bits, group)                                                                                  \
    {.name = "matmul." #name_ ".g" #group ".qmv.gpu",                                                                  \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL,                                                                                                 \
     .rank = 30,                                                                                                       \
     .needs = GPU_NVIDIA,                                                                                              \
     .fused = KFUSED_NORM | KFUSED_ACT,                                                                                \
     .param = {WHICH_##name_##_##group, mode, bits, group},                                                            \
     .takes = qmv_mma_takes,                                                                                           \
     .tasks = gpu_one_task,                                                                                            \
     .enqueue = mma_enqueue},

static const krow rows[] = {
    QMV_WEIGHTS(ROW){.name = "matmul.any.gpu",
                     .backend = "gpu",
                     .op = KOP_MATMUL,
                     .fused = KFUSED_NORM | KFUSED_ACT,
                     .takes = any_takes,
                     .tasks = gpu_one_task,
                     .enqueue = any_enqueue},
};

const gpu_row_list gpu_rows_qmv = {rows, sizeof rows / sizeof *rows};
