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
/* table: scratch for experts that are not evenly spaced. */
void qmv_add_any(const kcall *c, void *table, gpu_launches *to);

/* F(name, mode, bits, group_size): the weights that kernels/qmv_mma.c has kernels for. */
#define QMV_WEIGHTS(F)                                                                                                 \
    F(affine2, W_AFFINE, 2, 64)                                                                                        \
    F(affine2, W_AFFINE, 2, 128)                                                                                       \
    F(affine4, W_AFFINE, 4, 32)                                                                                        \
    F(affine4, W_AFFINE, 4, 64)                                                                                        \
    F(affine4, W_AFFINE, 4, 128)                                                                                       \
    F(affine8, W_AFFINE, 8, 32)                                                                                        \
    F(affine8, W_AFFINE, 8, 64)                                                                                        \
    F(affine8, W_AFFINE, 8, 128)                                                                                       \
    F(mxfp4, W_MXFP4, 4, 32)                                                                                           \
    F(mxfp8, W_MXFP8, 8, 32)
/* Their rows' params. */
enum { QMV_PARAM_WHICH, QMV_PARAM_MODE, QMV_PARAM_BITS, QMV_PARAM_GROUP };

bool qmv_mma_takes(const krow *row, const kcall *c);
void qmv_add_mma(const krow *row, const kcall *c, gpu_launches *to);
void qmv_add_mma_experts(const krow *row, const kcall *c, void *table, gpu_launches *to);

#endif
