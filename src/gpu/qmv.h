/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens: what the rows of single weights and those of experts have in common. */
#ifndef NB_GPU_QMV_H
#define NB_GPU_QMV_H

#include "gpu/kernels/qmv_params.h"
#include "gpu/launch.h"

/* For more tokens rows_qmm.c is faster. */
enum { QMV_MOST = 16 };

bool qmv_any_takes(const kcall *c);
/* Where kernels for groups of 32, 64 and 128 stand in their tables. */
int qmv_group_index(const kweight *w);
/* What kernels of qmv_params.h get of a product; blocks and stride are the caller's. */
qmv_part qmv_part_for(const kcall *c, const gpu_weight *w, const gpu_traits *traits);
/* table: scratch for experts that are not evenly spaced. */
void qmv_add_any(const kcall *c, void *table, gpu_launches *to);

/* F(name, mode, bits): the weights that kernels/qmv_mma.h has kernels for, each with these sizes of groups. */
#define QMV_MMA_WEIGHTS(F)                                                                                             \
    F(affine2, W_AFFINE, 2)                                                                                            \
    F(affine4, W_AFFINE, 4)                                                                                            \
    F(affine8, W_AFFINE, 8)                                                                                            \
    F(mxfp4, W_MXFP4, 4)                                                                                               \
    F(mxfp8, W_MXFP8, 8)
/* Those of kernels/qmv_fma.c. */
#define QMV_FMA_WEIGHTS(F)                                                                                             \
    F(affine2, W_AFFINE, 2)                                                                                            \
    F(affine3, W_AFFINE, 3)                                                                                            \
    F(affine4, W_AFFINE, 4)                                                                                            \
    F(affine5, W_AFFINE, 5)                                                                                            \
    F(affine6, W_AFFINE, 6)                                                                                            \
    F(affine8, W_AFFINE, 8)                                                                                            \
    F(mxfp4, W_MXFP4, 4)                                                                                               \
    F(mxfp8, W_MXFP8, 8)                                                                                               \
    F(nvfp4, W_NVFP4, 4)                                                                                               \
    F(plain, W_PLAIN, 0)
/* Rows' params. */
enum { QMV_PARAM_MODE, QMV_PARAM_BITS, QMV_PARAM_WHICH, QMV_PARAM_MOST /* columns */ };

bool qmv_mma_takes(const krow *row, const kcall *c);
bool qmv_fma_takes(const krow *row, const kcall *c);
void qmv_add_fma(const krow *row, const kcall *c, void *table, gpu_launches *to);
void qmv_add_mma(const krow *row, const kcall *c, gpu_launches *to);
void qmv_add_mma_experts(const krow *row, const kcall *c, void *table, gpu_launches *to);
/* One token, or single tokens with their experts (kernels/qmv_one.h). */
bool qmv_one_takes(const krow *row, const kcall *c);
void qmv_add_one(const kcall *c, gpu_launches *to);
void qmv_add_one_experts(const kcall *c, void *table, gpu_launches *to);

#endif
