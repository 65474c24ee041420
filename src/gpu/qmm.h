/* SPDX-License-Identifier: Apache-2.0
 *
 * Tiled products of many tokens (kernels/qmm.h): what their rows have in common, of single weights and of experts. */
#ifndef NB_GPU_QMM_H
#define NB_GPU_QMM_H

#include "gpu/kernels/qmm_params.h"
#include "gpu/launch.h"

/* F(name, mode, bits, type): every kind of weight and what it is multiplied as. Affine weights whose scales are f16
 * come from models that were made for f16; what else is bf16 or small floats goes with bf16, which no outlier of the
 * activations overflows. Each mode's kernels are a module, the other ones' too. */
#define QMM_AFFINE(F, bits)                                                                                            \
    F(affine##bits, affine##bits, W_AFFINE, bits, f16, DT_F16)                                                         \
    F(affine##bits, affine##bits, W_AFFINE, bits, bf16, DT_BF16)
#define QMM_QUANTIZED(F)                                                                                               \
    QMM_AFFINE(F, 2)                                                                                                   \
    QMM_AFFINE(F, 3)                                                                                                   \
    QMM_AFFINE(F, 4)                                                                                                   \
    QMM_AFFINE(F, 5)                                                                                                   \
    QMM_AFFINE(F, 6)                                                                                                   \
    QMM_AFFINE(F, 8)                                                                                                   \
    F(mx, mxfp4, W_MXFP4, 4, bf16, DT_BF16)                                                                            \
    F(mx, mxfp8, W_MXFP8, 8, bf16, DT_BF16)                                                                            \
    F(mx, nvfp4, W_NVFP4, 4, bf16, DT_BF16)
#define QMM_WEIGHTS(F)                                                                                                 \
    QMM_QUANTIZED(F)                                                                                                   \
    F(plain, plain, W_PLAIN, 16, f16, DT_F16)                                                                          \
    F(plain, plain, W_PLAIN, 16, bf16, DT_BF16)

/* In this order; sizes of tiles in order of QMM_TILES. */
enum { QMM_N_TILES = 3 };
typedef struct qmm_kernels {
    wmode mode;
    int bits;
    dtype type;
    gpu_kernel tiles[QMM_N_TILES];
} qmm_kernels;
extern const qmm_kernels qmm_of[];
extern const int qmm_tile_rows[QMM_N_TILES]; /* 32, 64, 128 */

/* Rows' params: which of qmm_of, which size of tiles. */
enum { QMM_WHICH, QMM_TILE };

/* Whether the weight and x are of the row's kind, and where its kernels can read them. */
bool qmm_takes(const krow *row, const kcall *c);
/* Adds the launch. tiles, pairs: see qmm_params; NULL for a single weight. */
void qmm_add(const krow *row, const kcall *c, const gpu_weight *w, const void *tiles, const void *pairs,
             int64_t n_row_tiles, gpu_launches *to);

#endif
