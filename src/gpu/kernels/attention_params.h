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
    float softcap, per_cap;    /* times log2(e), and 1 / that; 0: none */
    u32 unused;
} attention_call;

struct attention_params {
    attention_call c;
};

/* Positions fall into stretches of 2^stretch_shift; those that a query sees are dealt out to n_splits blocks in turn.
 * Each leaves the weighted sum of values, [row][head][split][head_dim], and the largest score and the sum of weights,
 * [row][head][split][2]. */
enum { ATTEND_MOST_SPLITS = 64, DECODE_JOIN_BLOCK = 256, DECODE_JOIN_COLUMNS = 128 };
/* Threads of a block for so many heads of at most so many columns: shared memory holds the sums of each warp. */
static inline u32 decode_block(u32 heads, u32 most_columns) {
    return heads * most_columns > 1024 ? 128 : 256;
}
/* Positions that a thread loads at once: more is more code, which takes longer to come than memory. */
static inline u32 decode_ahead(u32 heads, u32 most_columns) {
    return heads <= 2 && most_columns == 256 ? 4 : 2;
}
struct attention_split_params {
    attention_call c;
    GLOBAL float *sums, *weights;
    u32 n_splits;
    u32 n_groups; /* blocks that share the query heads of a KV head */
    u32 stretch_shift, unused;
};

/* attention_mma16.h: query heads that a block takes at most, positions that a warp takes at a time, all on one page. */
enum { M16_BLOCK = 128, M16_HEADS = 8, M16_POSITIONS = 16 };

/* Many rows: tiles of consecutive rows of one sequence, at most 16 for each warp of a block. Tiles begin where a
 * sequence does and at rows that are multiples of their height. */
enum { ATTEND_TILES_BLOCK = 256 };
struct attention_tiles_params {
    const GLOBAL u64 *tables;
    GLOBAL u32 *tiles; /* their number; the first row of each; the number of rows */
    u32 rows, height;
};

/* Shared memory holds the queries, unless threads keep them, and n_stages times keys and values of a tile; rows are
 * ATTEND_PAD elements longer than they need be, so that their beginnings fall into different banks. Where matrix units
 * cannot take sums as an operand, weights go through ATTEND_TURN elements for each warp. */
enum { ATTEND_PAD = 8, ATTEND_TURN = 16 * 24 };
struct attention_tile_params {
    attention_call c;
    const GLOBAL u32 *tiles;
    u32 n_stages, grid_tiles;
};

#endif
