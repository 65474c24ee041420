/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens with the experts that they chose: on NVIDIA's matrix units (kernels/qmv_mma.h), 16 bytes at a
 * time (kernels/qmv_fma.c), and for any operands at all. */
#include "base/num.h"
#include "gpu/qmv.h"
#include "gpu/rows.h"

static bool any_takes(const krow *row, const kcall *c) {
    (void)row;
    return gpu_weight_ok(c->w) && qmv_any_takes(c);
}

static bool fma_takes(const krow *row, const kcall *c) {
    return gpu_weight_ok(c->w) && qmv_fma_takes(row, c);
}

static bool mma_takes(const krow *row, const kcall *c) {
    return gpu_weight_ok(c->w) && c->x.rows * c->n_chosen <= 65535 && qmv_mma_takes(row, c);
}

static bool one_takes(const krow *row, const kcall *c) {
    return gpu_weight_ok(c->w) && c->x.rows * c->n_chosen <= 65535 && c->x.rows <= QMV_MOST && qmv_one_takes(row, c);
}

static size_t table_bytes(const krow *row, const kcall *c) {
    (void)row;
    return GPU_TABLE_BYTES * (size_t)min_i64(c->w->n_experts, GPU_TABLE_MAX);
}

static void any_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    qmv_add_any(c, scratch, to);
}

static void fma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    qmv_add_fma(row, c, scratch, to);
}

static void mma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    qmv_add_mma_experts(row, c, scratch, to);
}

static void one_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    qmv_add_one_experts(c, scratch, to);
}

#define MMA_WHICH(name, mode, bits) MMA_##name,
#define FMA_WHICH(name, mode, bits) FMA_##name,
enum { QMV_MMA_WEIGHTS(MMA_WHICH) };
enum { QMV_FMA_WEIGHTS(FMA_WHICH) };

#define MMA_ROW(name_, mode, bits)                                                                                     \
    {.name = "matmul_experts." #name_ ".qmv.gpu",                                                                      \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL_EXPERTS,                                                                                         \
     .rank = 30,                                                                                                       \
     .needs = GPU_NVIDIA,                                                                                              \
     .flushes = true,                                                                                                  \
     .fused = KFUSED_ACT,                                                                                              \
     .param = {[QMV_PARAM_MODE] = mode, [QMV_PARAM_BITS] = bits, [QMV_PARAM_WHICH] = MMA_##name_},                     \
     .takes = mma_takes,                                                                                               \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = table_bytes,                                                                                           \
     .enqueue = mma_enqueue},
#define ONE_ROW(bits_)                                                                                                 \
    {.name = "matmul_experts.affine" #bits_ ".one.gpu",                                                                \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL_EXPERTS,                                                                                         \
     .rank = 40,                                                                                                       \
     .needs = GPU_NVIDIA,                                                                                              \
     .flushes = true,                                                                                                  \
     .rounds_to = DT_XI8X3,                                                                                            \
     .fused = KFUSED_ACT,                                                                                              \
     .param = {[QMV_PARAM_BITS] = bits_, [QMV_PARAM_MOST] = QMV_ONE_MOST},                                             \
     .takes = one_takes,                                                                                               \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = table_bytes,                                                                                           \
     .enqueue = one_enqueue},
/* Codes and biases are summed apart, and may cancel: errors are as of sums in one chain. */
#define FMA_ROW(name_, mode, bits)                                                                                     \
    {.name = "matmul_experts." #name_ ".fma.gpu",                                                                      \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL_EXPERTS,                                                                                         \
     .rank = 10,                                                                                                       \
     .fused = KFUSED_ACT,                                                                                              \
     .chains = 1,                                                                                                      \
     .param = {[QMV_PARAM_MODE] = mode, [QMV_PARAM_BITS] = bits, [QMV_PARAM_WHICH] = FMA_##name_},                     \
     .takes = fma_takes,                                                                                               \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = table_bytes,                                                                                           \
     .enqueue = fma_enqueue},

/* clang-format off */
static const krow rows[] = {
    ONE_ROW(4) ONE_ROW(8)
    QMV_MMA_WEIGHTS(MMA_ROW)
    QMV_FMA_WEIGHTS(FMA_ROW)
    {.name = "matmul_experts.any.gpu",
     .backend = "gpu",
     .op = KOP_MATMUL_EXPERTS,
     .fused = KFUSED_ACT,
     .takes = any_takes,
     .tasks = gpu_one_task,
     .scratch = table_bytes,
     .enqueue = any_enqueue},
};
/* clang-format on */

const gpu_row_list gpu_rows_experts = {rows, sizeof rows / sizeof *rows};
