/* SPDX-License-Identifier: Apache-2.0
 *
 * Params of attention.c and its companions: one call as all kernels get it, and where they leave what the next one
 * reads. */
#ifndef NB_GPU_KERNELS_ATTENTION_PARAMS_H
#define NB_GPU_KERNELS_ATTENTION_PARAMS_H

#include "params.h"

typedef struct attention_call {
    gpu_mat x, y; /* queries, result */
    const GLOBAL u8 *keys, *values;
    const GLOBAL u64 *tables;
    const GLOBAL i32 *positions;
    gpu_vec sinks; /* data NULL: none */
    u32 kv_type, n_kv_heads, head_dim, n_heads;
    u32 page_size, page_shift; /* shift: where the size is a power of two */
    u32 window;                /* 0: all before */
    float scale;               /* times log2(e): weights are powers of two */
} attention_call;

struct attention_params {
    attention_call c;
};

/* Positions fall into stretches of ATTEND_STRETCH; those that a query sees are dealt out to n_splits blocks in turn.
 * Each block leaves the largest score, the sum of weights and the weighted sum of values: partial [row][head][split]
 * [2 + head_dim]. */
enum { ATTEND_STRETCH = 64 };
struct attention_split_params {
    attention_call c;
    GLOBAL float *partial;
    u32 n_splits;
    u32 n_groups; /* blocks that share the query heads of a KV head */
};

#endif
