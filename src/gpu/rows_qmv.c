/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens: on NVIDIA's matrix units (kernels/qmv_mma.h), 16 bytes at a time (kernels/qmv_fma.c), and for
 * any operands at all. */
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

static void fma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    qmv_add_fma(row, c, NULL, to);
}

static void mma_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    qmv_add_mma(row, c, to);
}

static void one_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    qmv_add_one(c, to);
}

#define MMA_WHICH(name, mode, bits) MMA_##name,
#define FMA_WHICH(name, mode, bits) FMA_##name,
enum { QMV_MMA_WEIGHTS(MMA_WHICH) };
enum { QMV_FMA_WEIGHTS(FMA_WHICH) };

#define MMA_ROW(name_, mode, bits)                                                                                     \
    {.name = "matmul." #name_ ".qmv.gpu",                                                                              \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL,                                                                                                 \
     .rank = 30,                                                                                                       \
     .needs = GPU_NVIDIA,                                                                                              \
     .flushes = true,                                                                                                  \
     .fused = KFUSED_NORM | KFUSED_ACT,                                                                                \
     .param = {[QMV_PARAM_MODE] = mode, [QMV_PARAM_BITS] = bits, [QMV_PARAM_WHICH] = MMA_##name_},                     \
     .takes = qmv_mma_takes,                                                                                           \
     .tasks = gpu_one_task,                                                                                            \
     .enqueue = mma_enqueue},
#define ONE_ROW(bits_, name_, rank_, needs_, most)                                                                     \
    {.name = "matmul.affine" #bits_ "." name_ ".gpu",                                                                  \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL,                                                                                                 \
     .rank = rank_,                                                                                                    \
     .needs = needs_,                                                                                                  \
     .flushes = true,                                                                                                  \
     .rounds_to = DT_XI8X3,                                                                                            \
     .fused = KFUSED_NORM | KFUSED_ACT,                                                                                \
     .param = {[QMV_PARAM_BITS] = bits_, [QMV_PARAM_MOST] = most},                                                     \
     .takes = qmv_one_takes,                                                                                           \
     .tasks = gpu_one_task,                                                                                            \
     .enqueue = one_enqueue},
/* Codes and biases are summed apart, and may cancel: errors are as of sums in one chain. */
#define FMA_ROW(name_, mode, bits)                                                                                     \
    {.name = "matmul." #name_ ".fma.gpu",                                                                              \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL,                                                                                                 \
     .rank = 10,                                                                                                       \
     .fused = KFUSED_NORM | KFUSED_ACT,                                                                                \
     .chains = 1,                                                                                                      \
     .param = {[QMV_PARAM_MODE] = mode, [QMV_PARAM_BITS] = bits, [QMV_PARAM_WHICH] = FMA_##name_},                     \
     .takes = qmv_fma_takes,                                                                                           \
     .tasks = gpu_one_task,                                                                                            \
     .enqueue = fma_enqueue},

/* clang-format off */
static const krow rows[] = {
    ONE_ROW(4, "one", 40, GPU_NVIDIA, QMV_ONE_MOST)
    ONE_ROW(4, "one_long", 39, GPU_NVIDIA | GPU_SHARED_128K, QMV_ONE_MOST_LARGE)
    ONE_ROW(8, "one", 40, GPU_NVIDIA, QMV_ONE_MOST_LARGE)
    QMV_MMA_WEIGHTS(MMA_ROW)
    QMV_FMA_WEIGHTS(FMA_ROW)
    {.name = "matmul.any.gpu",
     .backend = "gpu",
     .op = KOP_MATMUL,
     .fused = KFUSED_NORM | KFUSED_ACT,
     .takes = any_takes,
     .tasks = gpu_one_task,
     .enqueue = any_enqueue},
};
/* clang-format on */

const gpu_row_list gpu_rows_qmv = {rows, sizeof rows / sizeof *rows};
