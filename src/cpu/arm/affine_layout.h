/* SPDX-License-Identifier: Apache-2.0
 *
 * The packed order "affine.r4" of affine and mxfp4 weights: 4 rows stand interleaved in a tile, so that each 32-bit
 * lane of a NEON vector belongs to one output and dot products of bytes need no horizontal sums.
 *
 *   weight = tiles of 4 rows (the last one padded with zeros)
 *   tile   = its groups, one behind the other
 *   group  = scales[4], biases[4] (as stored; biases where there are any), then a block for each 32 columns
 *   block  = `bits` vectors of 16 bytes, made of bit planes, low bits first: 2 = 2, 3 = 2 + 1, 4 = 4, 5 = 4 + 1,
 *            6 = 4 + 2, 8 = 8. Step i is the columns 4 i to 4 i + 3, byte 4 r + b of a vector its column b of row r. A
 *            plane of 4 bits holds steps 2 v and 2 v + 1 in vector v (low, high half of a byte), a plane of 2 bits
 * steps 4 v to 4 v + 3, a plane of 1 bit all 8 steps. */
#ifndef NB_CPU_ARM_AFFINE_LAYOUT_H
#define NB_CPU_ARM_AFFINE_LAYOUT_H

#include "base/num.h"
#include "kernels/kernel.h"

/* As the bits of a code: 4, which stand for an e2m1 number. Twice such a number is an integer, so mxfp4 is multiplied
 * as integers are, with half the scale. */
enum { E2M1 = 16 };
/* 2 e2m1 of each code. */
#define E2M1_CODES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

enum { TILE_ROWS = 4, BLOCK_COLUMNS = 32, BLOCK_STEPS = 8 };

extern const klayout affine_r4;

/* Of scales and biases. */
static inline size_t affine_head_bytes(const kweight *w) {
    return TILE_ROWS * dtype_size(w->type) * (w->biases ? 2 : 1);
}
static inline size_t affine_group_bytes(const kweight *w) {
    return affine_head_bytes(w) + TILE_ROWS * (size_t)(w->group_size * w->bits / 8);
}
static inline size_t affine_tile_bytes(const kweight *w) {
    return (size_t)(w->k / w->group_size) * affine_group_bytes(w);
}
static inline int64_t affine_tiles(const kweight *w) {
    return div_up(w->n, TILE_ROWS);
}

#endif
