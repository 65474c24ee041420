/* SPDX-License-Identifier: Apache-2.0
 *
 * The product of a few tokens, up to 64, with a weight, as fast as memory gives the weight: codes go straight from
 * memory to registers and are dequantized there into the matrix unit's fragments, with outputs as its rows and tokens
 * as its columns. A lane's 32 codes of a row are consecutive; which terms of the unit's product they are does not
 * matter as long as x agrees, so x lies in shared memory in the order in which lanes want it. Terms are split between
 * blocks by the weight's shape alone; parts are added in order. */
#ifndef NB_GPU_KERNELS_QMM_FEW_H
#define NB_GPU_KERNELS_QMM_FEW_H

#include "qmm.h"

#if MMA_16X8

enum {
    FEW_WARPS_N = QMM_THREADS / 32 / FEW_WARPS_K, /* each with 32 outputs */
    FEW_T_MAX = 8,                                /* tiles of 8 tokens */
    FEW_PIECES = FEW_K / 8,                       /* of 16 bytes in a token's terms of a step */
    FEW_UNITS = FEW_K / 32
};

typedef float few_sums[2][FEW_T_MAX][4];

/* Units of the lane's four rows: two tiles of 16 outputs, two rows of each. */
typedef struct few_weights {
    dq_unit unit[2][2];
} few_weights;

INLINE u32 few_output(u32 tile, u32 half) {
    return warp_id() % FEW_WARPS_N * 32 + tile * 16 + half * 8 + lane_id() / 4;
}

/* Step `step` of the weight, below `end`; behind it zeros. */
INLINE void few_fetch(const struct qmm_params *p, const qmm_place *at, dq_form f, const u32 rows[2][2], u32 step,
                      u32 end, bool aligned, few_weights *w) {
    UNROLL for (u32 i = 0; i < 2; i++) {
        UNROLL for (u32 j = 0; j < 2; j++) {
            w->unit[i][j] = (dq_unit){0};
            if (step < end)
                dq_load(&w->unit[i][j], &at->w, f, p->w.k, p->w.group_size, rows[i][j],
                        step * FEW_UNITS + lane_id() % 4, aligned);
        }
    }
}

/* x of the steps that the block's warps take next, in pieces of 8 terms: [warp of the steps][tile][quarter of a
 * unit][token][unit]. Neighbours copy neighbouring quarters, so that whole sectors are read. */
INLINE void few_copy(const struct qmm_params *p, u32 tiles, u32 step, u32 end, SHARED u16 *to) {
    UNROLL for (u32 i = 0; i < tiles; i++) {
        const u32 t = tid() + i * QMM_THREADS;
        const u32 unit = t / 2 % 4, row = t / 8 % 8, quarter = t % 2 + t / 64 % 2 * 2, tile = t / 128 % tiles;
        const u32 mine = step + t / 128 / tiles, token = tile * 8 + row;
        const bool there = token < p->x.rows && mine < end;
        const GLOBAL u8 *from = p->x.data;
        if (there) from += (token * p->x.stride + mine * FEW_K + unit * 32 + quarter * 8) * 2;
        async_copy16(to + (t / 128 * 128 + quarter * 32 + row * 4 + unit) * 8, from, there);
    }
    async_commit();
}

INLINE void few_multiply(few_weights *w, dq_form f, u32 tiles, const SHARED u16 *x, few_sums sums) {
    UNROLL for (u32 i = 0; i < 2; i++) {
        UNROLL for (u32 j = 0; j < 2; j++) dq_prepare(&w->unit[i][j], f);
    }
    UNROLL for (u32 quarter = 0; quarter < 4; quarter++) {
        u32 a[2][2][4];
        UNROLL for (u32 i = 0; i < 2; i++) {
            UNROLL for (u32 e = 0; e < 8; e++) a[i][e / 4][e % 4] =
                dq_pair(&w->unit[i][e % 2], f, quarter * 4 + e / 4 * 2 + e % 4 / 2);
        }
        UNROLL for (u32 t = 0; t < tiles; t++) {
            const u32x4 b = *(const SHARED u32x4 *)(x + ((t * 4 + quarter) * 32 + lane_id()) * 8);
            UNROLL for (u32 i = 0; i < 2; i++) {
                mma_16x8(sums[i][t], a[i][0], b[0], b[1], f.bf16);
                mma_16x8(sums[i][t], a[i][1], b[2], b[3], f.bf16);
            }
        }
    }
}

/* The other warp's sums of the same outputs are added, by way of shared memory. */
INLINE void few_join(u32 tiles, few_sums sums) {
    SHARED float *all = (SHARED float *)shared_memory();
    const u32 threads = QMM_THREADS / FEW_WARPS_K, mine = tid() % threads;
    barrier();
    UNROLL for (u32 i = 0; i < 2; i++) {
        UNROLL for (u32 t = 0; t < tiles; t++) {
            UNROLL for (u32 e = 0; e < 4; e++) {
                if (tid() >= threads) all[((i * tiles + t) * 4 + e) * threads + mine] = sums[i][t][e];
            }
        }
    }
    barrier();
    UNROLL for (u32 i = 0; i < 2; i++) {
        UNROLL for (u32 t = 0; t < tiles; t++) {
            UNROLL for (u32 e = 0; e < 4; e++) {
                if (tid() < threads) sums[i][t][e] += all[((i * tiles + t) * 4 + e) * threads + mine];
            }
        }
    }
}

INLINE void few_finish(const struct qmm_params *p, const qmm_place *at, u32 tiles, few_sums sums) {
    const u32 n = p->act ? p->w.n / 2 : p->w.n;
    UNROLL for (u32 t = 0; t < tiles; t++) {
        UNROLL for (u32 e = 0; e < 4; e++) {
            const u32 token = t * 8 + lane_id() % 4 * 2 + e % 2;
            if (token >= p->x.rows) continue;
            UNROLL for (u32 i = 0; i < 2; i++) {
                const u32 r = few_output(i, e / 2);
                if (p->parts) {
                    if (qmm_column(p, at, r) < n)
                        p->parts[(bid_y() * (u64)p->x.rows + token) * p->w.n + qmm_weight_row(p, at, r)] =
                            sums[i][t][e];
                } else if (!p->act || i == 0) {
                    qmm_store(p, at, token, 0, r, sums[i][t][e], sums[1][t][e]);
                }
            }
        }
    }
}

/* Grid: (tiles of QMM_N outputs, splits). */
INLINE void few(const struct qmm_params *p, dq_form f, u32 tiles) {
    const qmm_place at = {.w = matrix_of(&p->w, 0), .n_tile = bid_x()};
    const u32 steps = p->w.k / FEW_K, each = (steps + p->splits - 1) / p->splits, begin = bid_y() * each;
    const u32 end = begin + each < steps ? begin + each : steps;
    const u32 turn = warp_id() / FEW_WARPS_N, stage = FEW_WARPS_K * tiles * 8 * FEW_K;
    const bool aligned = (u64)at.w.codes % 16 == 0;
    SHARED u16 *x = (SHARED u16 *)shared_memory();
    u32 rows[2][2];
    UNROLL for (u32 i = 0; i < 2; i++) {
        UNROLL for (u32 j = 0; j < 2; j++) rows[i][j] = qmm_weight_row(p, &at, few_output(i, j));
    }
    few_weights now, next;
    few_sums sums = {0};
    few_fetch(p, &at, f, rows, begin + turn, end, aligned, &now);
    few_copy(p, tiles, begin, end, x);
    for (u32 step = begin, here = 0; step < end; step += FEW_WARPS_K) {
        const bool more = step + FEW_WARPS_K < end;
        few_fetch(p, &at, f, rows, step + FEW_WARPS_K + turn, end, aligned, &next);
        ASYNC_WAIT(0);
        barrier();
        if (more) few_copy(p, tiles, step + FEW_WARPS_K, end, x + (stage - here));
        few_multiply(&now, f, tiles, x + here + turn * tiles * 8 * FEW_K, sums);
        now = next;
        here = stage - here;
    }
    few_join(tiles, sums);
    if (tid() < QMM_THREADS / FEW_WARPS_K) few_finish(p, &at, tiles, sums);
}

#    define FEW_KERNEL(kernel, mode, bits, bf16, tiles)                                                                \
        KERNEL void kernel(struct qmm_params p) {                                                                      \
            few(&p, (dq_form){mode, bits, bf16}, tiles);                                                               \
        }
/* For up to 32 tokens, and up to 64. */
#    define FEW_KERNELS(name, mode, bits, bf16)                                                                        \
        FEW_KERNEL(name##_32, mode, bits, bf16, 4)                                                                     \
        FEW_KERNEL(name##_64, mode, bits, bf16, 8)
#else
#    define FEW_KERNELS(name, mode, bits, bf16)
#endif

#endif
