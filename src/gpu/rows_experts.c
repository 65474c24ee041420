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

static bool mma_takes(const krow *row, const kcall *c) {
    return gpu_weight_ok(c->w) && c->x.rows * c->n_chosen <= 65535 && qmv_mma_takes(row, c);
}

static void mma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    qmv_add_mma_experts(row, c, scratch, to);
}

#define WHICH(name, mode, bits, group) WHICH_##name##_##group,
enum { QMV_WEIGHTS(WHICH) };
#define ROW(name_, mode, bits, group)                                                                                  \
    {.name = "matmul_experts." #name_ ".g" #group ".qmv.gpu",                                                          \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL_EXPERTS,                                                                                         \
     .rank = 30,                                                                                                       \
     .needs = GPU_NVIDIA,                                                                                              \
     .fused = KFUSED_ACT,                                                                                              \
     .param = {WHICH_##name_##_##group, mode, bits, group},                                                            \
     .takes = mma_takes,                                                                                               \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = table_bytes,                                                                                           \
     .enqueue = mma_enqueue},

static const krow rows[] = {
    QMV_WEIGHTS(ROW){.name = "matmul_experts.any.gpu",
                     .backend = "gpu",
                     .op = KOP_MATMUL_EXPERTS,
                     .fused = KFUSED_ACT,
                     .takes = any_takes,
                     .tasks = gpu_one_task,
                     .scratch = table_bytes,
                     .enqueue = any_enqueue},
};

const gpu_row_list gpu_rows_experts = {rows, sizeof rows / sizeof *rows};
