/* SPDX-License-Identifier: Apache-2.0
 *
 * The packed orders "affine.r8" and "affine.r16" of affine and mxfp4 weights: R = 8 or 16 rows stand interleaved in a
 * tile, so that each 32-bit lane of a vector of R lanes belongs to one output and dot products need no horizontal sums.
 *
 *   weight = pairs of tiles of R rows (what the last pair lacks is zeros)
 *   pair   = for each group of columns the first tile's, then the second's: rows that are multiplied together are read
 *            as one stream
 *   group  = scales[R], biases[R] (as stored; biases where the weight has any), then a block for each 32 columns
 *   block  = `bits` vectors of R lanes of 4 bytes, made of bit planes: 2 = 2, 3 = 2 + 1, 4 = 4, 5 = 4 + 1, 6 = 4 + 2, 8
 * = 8 (low bits first). With step i = columns 4 i to 4 i + 3, one byte b of a lane for each: a plane of 4 bits holds
 * steps 2 v and 2 v + 1 in vector v (low, high half of byte b), a plane of 2 bits steps 4 v to 4 v + 3, a plane of 1
 * bit all 8 steps. */
#ifndef NB_CPU_X86_AFFINE_LAYOUT_H
#define NB_CPU_X86_AFFINE_LAYOUT_H

#include "base/num.h"
#include "kernels/kernel.h"

/* As the bits of a code: 4, which stand for an e2m1 number. Twice such a number is an integer in [-12, 12], so mxfp4 is
 * affine: value = scale / 2 * (2 e2m1 + 12) - 6 scale. */
enum { E2M1 = 16, E2M1_OFFSET = 12 };
/* 2 e2m1 + 12 of each code. */
#define E2M1_CODES 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0

enum {
    AFFINE_BLOCK = 32, /* columns of a block */
    X_PLANE = 8,       /* 32-bit words of a plane of as many columns of x, in the activation form */
    X_BLOCK = 24,      /* of its three planes */
};

extern const klayout affine_r8, affine_r16;

/* Of scales and biases. */
static inline size_t affine_head_bytes(const kweight *w, int lanes) {
    return (size_t)lanes * dtype_size(w->type) * (w->biases ? 2 : 1);
}
static inline size_t affine_group_bytes(const kweight *w, int lanes) {
    return affine_head_bytes(w, lanes) + (size_t)lanes * (size_t)w->group_size * (size_t)w->bits / 8;
}
static inline size_t affine_pair_bytes(const kweight *w, int lanes) {
    return (size_t)(w->k / w->group_size) * 2 * affine_group_bytes(w, lanes);
}
/* Of a tile's first group; its next ones follow at distances of two groups. */
static inline size_t affine_tile_offset(const kweight *w, int lanes, int64_t tile) {
    return (size_t)(tile / 2) * affine_pair_bytes(w, lanes) + (size_t)(tile % 2) * affine_group_bytes(w, lanes);
}
static inline int64_t affine_pairs(const kweight *w, int lanes) {
    return div_up(w->n, 2 * lanes);
}

#endif
