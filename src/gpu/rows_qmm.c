/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens with our own tiles (kernels/qmm.h), on any matrix unit. They read x as f16 or bf16 and round
 * the weights to it; a row for each size of tiles. */
#include "base/num.h"
#include "gpu/qmm.h"
#include "gpu/rows.h"

enum { FEWEST = 17 }; /* for fewer rows_qmv.c reads the weight as fast as memory goes */

/* Larger tiles move less, smaller ones leave no processor idle. The number of tokens alone decides, and 32 and 64 share
 * a rank: so a product that grows by one that is fused with it still finds a row that ranks no lower. */
static bool tile_fits(int tile, const kcall *c) {
    return tile == 0 ? c->x.rows <= 32 : tile == 1 ? c->x.rows <= 192 : true;
}

static bool takes(const krow *row, const kcall *c) {
    return c->x.rows >= FEWEST && div_up(c->w->n, QMM_N) <= 65535 && tile_fits(row->param[QMM_TILE], c) &&
           qmm_takes(row, c);
}

static void enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    const gpu_weight w = gpu_weight_of(c->w, NULL, to);
    qmm_add(row, c, &w, NULL, NULL, div_up(c->x.rows, qmm_tile_rows[row->param[QMM_TILE]]), to);
}

/* Few tokens are for the small tiles: a vendor's GEMM, whose rank is 30, would move the dequantized
 * weight. A plain one is as large either way. */
#define ROW(which, mode, stored, type_name, type, rows_, tile)                                                         \
    {                                                                                                                  \
        .name = "matmul." #mode "." #type_name ".qmm" #rows_ ".gpu", .backend = "gpu", .op = KOP_MATMUL,               \
        .rank = (tile) < 2 && (stored) != W_PLAIN ? 40 : 20, .needs = GPU_MATRIX, .x_type = (type),                    \
        .rounds_to = (type), .chains = 1, .fused = KFUSED_ACT, .param = {[QMM_WHICH] = (which), [QMM_TILE] = (tile)},  \
        .takes = takes, .tasks = gpu_one_task, .enqueue = enqueue                                                      \
    }

#define WHICH(file, name, mode, bits, type_name, type) WHICH_##name##_##type_name,
enum { QMM_WEIGHTS(WHICH) };
#define ROWS(file, name, mode, bits, type_name, type)                                                                  \
    ROW(WHICH_##name##_##type_name, name, mode, type_name, type, 32, 0),                                               \
        ROW(WHICH_##name##_##type_name, name, mode, type_name, type, 64, 1),                                           \
        ROW(WHICH_##name##_##type_name, name, mode, type_name, type, 128, 2),

static const krow rows[] = {QMM_WEIGHTS(ROWS)};

const gpu_row_list gpu_rows_qmm = {rows, sizeof rows / sizeof *rows};
