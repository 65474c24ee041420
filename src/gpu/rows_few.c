/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of up to 64 tokens on NVIDIA's matrix units, as fast as memory gives the weight (kernels/qmm_few.h). Where a
 * weight has too few outputs to keep all processors busy its terms are split, by its shape alone. */
#include "base/num.h"
#include "gpu/qmm.h"
#include "gpu/rows.h"

enum {
    FEWEST = 17,
    BLOCK = 256,
    BUSY = 120,      /* blocks that keep a large device busy */
    FEWEST_STEPS = 2 /* of a split */
};

/* By row->param[QMM_TILE]. */
static const int most_tokens[] = {32, 64};

#define KERNELS(file, name_, mode, bits, type_name, type)                                                              \
    {{.module = "few_" #file, .name = "few_" #name_ "_" #type_name "_32"},                                             \
     {.module = "few_" #file, .name = "few_" #name_ "_" #type_name "_64"}},
static const gpu_kernel kernels[][2] = {QMM_WEIGHTS(KERNELS)}; /* plain ones are not asked for */
static const gpu_kernel k_sum = {.module = "few_sum", .name = "few_sum"};

static int64_t splits_of(const kcall *c) {
    const int64_t blocks = div_up(c->w->n, QMM_N), steps = c->w->k / FEW_K;
    int64_t splits = 1;
    while (blocks * splits < BUSY && steps >= 2 * splits * FEWEST_STEPS) splits *= 2;
    return splits;
}

static bool takes(const krow *row, const kcall *c) {
    return c->x.rows >= FEWEST && c->x.rows <= most_tokens[row->param[QMM_TILE]] && c->w->k % FEW_K == 0 &&
           qmm_takes(row, c);
}

static size_t scratch_bytes(const krow *row, const kcall *c) {
    (void)row;
    const int64_t splits = splits_of(c);
    return splits > 1 ? (size_t)(splits * c->x.rows * c->w->n) * sizeof(float) : 0;
}

static void enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const int64_t splits = splits_of(c);
    const size_t stage = (size_t)(FEW_WARPS_K * most_tokens[row->param[QMM_TILE]] * FEW_K) * 2;
    const struct qmm_params p = {.x = gpu_mat_of(&c->x),
                                 .y = gpu_mat_of(&c->y),
                                 .residual = gpu_mat_of(&c->residual),
                                 .bias = gpu_vec_of(&c->weight),
                                 .w = gpu_weight_of(c->w, NULL, to),
                                 .act = (u32)c->act,
                                 .parts = splits > 1 ? scratch : NULL,
                                 .splits = (u32)splits};
    gpu_add(to, &kernels[row->param[QMM_WHICH]][row->param[QMM_TILE]], div_up(c->w->n, QMM_N), splits, 1, QMM_THREADS,
            2 * stage, &p, sizeof p);
    if (splits > 1) gpu_add(to, &k_sum, div_up(c->y.cols, BLOCK), c->y.rows, 1, BLOCK, 0, &p, sizeof p);
}

#define ROW(which, mode, type_name, type, rows_, tile)                                                                 \
    {                                                                                                                  \
        .name = "matmul." #mode "." #type_name ".few" #rows_ ".gpu", .backend = "gpu", .op = KOP_MATMUL, .rank = 45,   \
        .needs = GPU_NVIDIA, .x_type = (type), .rounds_to = (type), .chains = 1, .fused = KFUSED_ACT,                  \
        .param = {[QMM_WHICH] = (which), [QMM_TILE] = (tile)}, .takes = takes, .tasks = gpu_one_task,                  \
        .scratch = scratch_bytes, .enqueue = enqueue                                                                   \
    }

#define WHICH(file, name, mode, bits, type_name, type) WHICH_##name##_##type_name,
enum { QMM_WEIGHTS(WHICH) };
#define ROWS(file, name, mode, bits, type_name, type)                                                                  \
    ROW(WHICH_##name##_##type_name, name, type_name, type, 32, 0),                                                     \
        ROW(WHICH_##name##_##type_name, name, type_name, type, 64, 1),

static const krow rows[] = {QMM_QUANTIZED(ROWS)};

const gpu_row_list gpu_rows_few = {rows, sizeof rows / sizeof *rows};
