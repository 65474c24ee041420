/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of products of many tokens (qmm_*.c), of what sorts the experts' tokens for them, and of what surrounds a
 * vendor's GEMM (dequant.c, gemm.c). */
#ifndef NB_GPU_KERNELS_QMM_PARAMS_H
#define NB_GPU_KERNELS_QMM_PARAMS_H

#include "params.h"

enum {
    QMM_THREADS = 256,
    QMM_N = 128,     /* outputs of a tile: rows of the weight */
    QMM_K = 64,      /* terms of a step */
    QMM_STRIDE = 72, /* elements between rows in shared memory: 16 bytes more, so that banks differ */
    QMM_ENTRY = 4,   /* words of an entry of the list of tiles */
    GEMM_TILE = 64,  /* tokens and outputs of a tile of gemm.c */
    GEMM_STEP = 16,
    GEMM_STRIDE = 68 /* elements between terms in shared memory */
};

/* y = x W^T + bias + residual, or act(x G^T + bias) * (x U^T + bias) with W = [G, U]. Of experts: the rows of a tile
 * are pairs of a token and a place among its n_chosen experts, pairs[first] and on, with tiles = [expert, first, count,
 * 0] for each; count 0: none. */
struct qmm_params {
    gpu_mat x, y, residual;
    gpu_vec bias;
    gpu_weight w;
    const GLOBAL u32 *tiles, *pairs; /* NULL: not of experts */
    u32 act, n_chosen, own_x;        /* own_x: x has a part for each place */
    u32 two_buffers;                 /* shared memory holds two steps */
};

/* Experts' pairs in order of the experts: counts [n_experts], tiles, pairs (see qmm_params), all of n_pairs places. */
struct sort_params {
    gpu_mat z;
    GLOBAL u32 *counts, *tiles, *pairs;
    u32 n_pairs, n_chosen, n_experts, tile_rows, max_tiles, unused;
};

/* Rows [first, first + n) of a weight, and then those that follow from `second` on, as f16 or bf16 [2 n, k]; second 0:
 * none. */
struct dequant_params {
    gpu_weight w;
    GLOBAL u16 *to;
    u32 first, n, second, bits;
};

/* Columns [first, first + n) of y = residual + bias, or of y = act(p + bias) * (p2 + bias2): p = [p | p2], 2 n columns.
 */
struct gemm_edge_params {
    gpu_mat y, residual;
    gpu_vec bias;
    const GLOBAL float *p;
    u32 first, n, act, half; /* half: where in bias that of p2 begins */
};

/* Any weight, any x: what no other kernel takes. */
struct gemm_params {
    gpu_mat x, y, residual;
    gpu_vec bias;
    gpu_weight w;
    u32 mode, bits, act, unused;
};

#endif
