/* SPDX-License-Identifier: Apache-2.0
 *
 * The product of many tokens with a weight: a block computes a tile of tokens x QMM_N outputs with the target's matrix
 * unit. Each step copies QMM_K terms of its tokens to shared memory, and dequantizes those of its outputs into it,
 * rounded to the type of x. An element's sum runs over the terms in one order, whatever the tile: a token's result
 * does not depend on the others. */
#ifndef NB_GPU_KERNELS_QMM_H
#define NB_GPU_KERNELS_QMM_H

#include "act.h"
#include "async.h"
#include "dequant.h"
#include "mma.h"
#include "qmm_params.h"

#if MMA_HAVE

enum {
    QMM_WARPS = QMM_THREADS / WARP,
    QMM_WARPS_M = 2, /* that share the tokens */
    QMM_NT = QMM_N / 16 / (QMM_WARPS / QMM_WARPS_M),
    QMM_MT_MAX = 4,
    QMM_CHUNKS = QMM_K / 8, /* of 16 bytes in a row of a step */
    QMM_W_COPIES = QMM_N * QMM_CHUNKS / QMM_THREADS,
    QMM_X_COPIES_MAX = QMM_MT_MAX * QMM_WARPS_M * 16 * QMM_CHUNKS / QMM_THREADS
};

/* Where a block's tile lies. */
typedef struct qmm_place {
    one_matrix w;
    u32 expert, first, count; /* its rows: tokens, or places in pairs */
    u32 n_tile;
} qmm_place;

INLINE qmm_place qmm_here(const struct qmm_params *p, u32 tile_rows) {
    qmm_place at = {.n_tile = bid_y()};
    if (p->tiles) {
        const GLOBAL u32 *entry = p->tiles + bid_y() * QMM_ENTRY;
        at.n_tile = bid_x();
        at.expert = entry[0];
        at.first = entry[1];
        at.count = entry[2];
    } else {
        at.first = bid_x() * tile_rows;
        at.count = p->x.rows - at.first < tile_rows ? p->x.rows - at.first : tile_rows;
    }
    at.w = matrix_of(&p->w, at.expert);
    return at;
}

/* Row `row` of the tile among the rows of x or y: that of a token, and in it the part of its place. */
INLINE void qmm_row(const struct qmm_params *p, const qmm_place *at, u32 row, u32 *token, u32 *part) {
    *token = at->first + row;
    *part = 0;
    if (p->tiles) {
        const u32 pair = p->pairs[at->first + row];
        *token = pair / p->n_chosen;
        *part = pair % p->n_chosen;
    }
}

/* Output r of the tile as a column of y, and as a row of the weight. With an act blocks of 16 outputs of both halves
 * take turns, so that a thread holds both factors of an element. */
INLINE u32 qmm_column(const struct qmm_params *p, const qmm_place *at, u32 r) {
    return p->act ? at->n_tile * (QMM_N / 2) + r / 32 * 16 + r % 16 : at->n_tile * QMM_N + r;
}
INLINE u32 qmm_weight_row(const struct qmm_params *p, const qmm_place *at, u32 r) {
    const u32 column = qmm_column(p, at, r), n = p->act ? p->w.n / 2 : p->w.n;
    const u32 inside = column < n ? column : n - 1; /* what is outside is computed, and left */
    return p->act && r / 16 % 2 ? n + inside : inside;
}

/* What a thread brings to shared memory at each step. */
typedef struct qmm_source {
    u32 x[QMM_X_COPIES_MAX]; /* from the beginning of x, in steps of 16 bytes */
    u32 w[QMM_W_COPIES];     /* plain: the same */
    u64 row;                 /* else: of the unit's weights */
    dq_unit unit;
    bool aligned;
} qmm_source;

INLINE void qmm_open(const struct qmm_params *p, const qmm_place *at, dq_form f, u32 mt, qmm_source *s) {
    const u32 copies = mt * QMM_WARPS_M * 16 * QMM_CHUNKS / QMM_THREADS, chunk = tid() % QMM_CHUNKS;
    UNROLL for (u32 i = 0; i < copies; i++) {
        const u32 row = tid() / QMM_CHUNKS + i * (QMM_THREADS / QMM_CHUNKS);
        u32 token, part;
        qmm_row(p, at, row < at->count ? row : at->count - 1, &token, &part);
        s->x[i] = (u32)((token * p->x.stride + (p->own_x ? part * (u64)p->w.k : 0)) / 8) + chunk;
    }
    if (f.mode == DQ_PLAIN) {
        UNROLL for (u32 i = 0; i < QMM_W_COPIES; i++) {
            const u32 r = tid() / QMM_CHUNKS + i * (QMM_THREADS / QMM_CHUNKS);
            s->w[i] = (u32)(qmm_weight_row(p, at, r) * (u64)p->w.k / 8) + chunk;
        }
    } else {
        s->row = qmm_weight_row(p, at, tid() / 2);
        s->aligned = (u64)at->w.codes % 16 == 0;
    }
}

/* Copies of the step that begins at term k; plain: where the weight lies, if it is. */
INLINE void qmm_copy(const struct qmm_params *p, dq_form f, u32 mt, const GLOBAL u8 *plain, const qmm_source *s, u32 k,
                     SHARED u16 *x, SHARED u16 *w) {
    const u32 copies = mt * QMM_WARPS_M * 16 * QMM_CHUNKS / QMM_THREADS, chunk = tid() % QMM_CHUNKS;
    const bool there = k + chunk * 8 < p->w.k;
    UNROLL for (u32 i = 0; i < copies; i++) {
        const u32 row = tid() / QMM_CHUNKS + i * (QMM_THREADS / QMM_CHUNKS);
        const u32 from = there ? s->x[i] + k / 8 : 0;
        async_copy16(x + row * QMM_STRIDE + chunk * 8, p->x.data + from * (u64)16, there);
    }
    if (f.mode == DQ_PLAIN) {
        UNROLL for (u32 i = 0; i < QMM_W_COPIES; i++) {
            const u32 r = tid() / QMM_CHUNKS + i * (QMM_THREADS / QMM_CHUNKS);
            const u32 from = there ? s->w[i] + k / 8 : 0;
            async_copy16(w + r * QMM_STRIDE + chunk * 8, plain + from * (u64)16, there);
        }
    }
    async_commit();
}

/* The thread's 32 weights of the step. */
INLINE void qmm_fetch(const struct qmm_params *p, const qmm_place *at, dq_form f, qmm_source *s, u32 k) {
    if (f.mode == DQ_PLAIN) return;
    const u32 unit = k / 32 + tid() % 2;
    if (unit >= p->w.k / 32)
        s->unit = (dq_unit){0}; /* which stands for zeros in all modes */
    else
        dq_load(&s->unit, &at->w, f, p->w.k, p->w.group_size, s->row, unit, s->aligned);
}

INLINE void qmm_unpack(dq_form f, qmm_source *s, SHARED u16 *w) {
    if (f.mode == DQ_PLAIN) return;
    SHARED u32x4 *to = (SHARED u32x4 *)(w + tid() / 2 * QMM_STRIDE + tid() % 2 * 32);
    dq_prepare(&s->unit, f);
    UNROLL for (u32 i = 0; i < 4; i++) {
        u32x4 v;
        UNROLL for (u32 j = 0; j < 4; j++) v[j] = dq_pair(&s->unit, f, 4 * i + j);
        to[i] = v;
    }
}

typedef float qmm_sums[QMM_MT_MAX][QMM_NT][MMA_SUMS];

/* Terms [from, to) of a step, in sixteens. */
INLINE void qmm_multiply(const SHARED u16 *x, const SHARED u16 *w, u32 mt, u32 from, u32 to, bool bf16, qmm_sums sums) {
    const u32 wm = warp_id() % QMM_WARPS_M, wn = warp_id() / QMM_WARPS_M;
    x += wm * mt * 16 * QMM_STRIDE;
    w += wn * QMM_NT * 16 * QMM_STRIDE;
    UNROLL for (u32 k = from; k < to; k += 16) {
        mma_x fx[QMM_MT_MAX];
        mma_w fw[QMM_NT];
        UNROLL for (u32 i = 0; i < mt; i++) mma_load_x(&fx[i], x + i * 16 * QMM_STRIDE + k, QMM_STRIDE);
        UNROLL for (u32 j = 0; j < QMM_NT; j++) mma_load_w(&fw[j], w + j * 16 * QMM_STRIDE + k, QMM_STRIDE);
        UNROLL for (u32 i = 0; i < mt; i++) {
            UNROLL for (u32 j = 0; j < QMM_NT; j++) mma(sums[i][j], &fx[i], &fw[j], bf16);
        }
    }
    UNROLL for (u32 i = 0; i < mt; i++) UNROLL for (u32 j = 0; j < QMM_NT; j++) mma_settle(sums[i][j]);
}

/* An element of y: with an act v and up are its two factors. */
INLINE void qmm_write(const struct qmm_params *p, u32 expert, u32 token, u32 part, u32 column, float v, float up) {
    const u32 n = p->act ? p->w.n / 2 : p->w.n;
    if (p->bias.data) {
        const i64 bias = expert * (i64)p->w.n + column;
        v += load_any(p->bias.data, p->bias.type, bias);
        if (p->act) up += load_any(p->bias.data, p->bias.type, bias + n);
    }
    if (p->act) v = act_gated(p->act, v, up);
    if (p->residual.data) v += load_as_f32(p->residual.data, p->residual.type, token * p->residual.stride + column);
    store_from_f32(p->y.data, p->y.type, token * p->y.stride + part * (i64)n + column, v);
}

/* The same by the output of the tile. */
INLINE void qmm_store(const struct qmm_params *p, const qmm_place *at, u32 token, u32 part, u32 r, float v, float up) {
    const u32 column = qmm_column(p, at, r);
    if (column < (p->act ? p->w.n / 2 : p->w.n)) qmm_write(p, at->expert, token, part, column, v, up);
}

INLINE void qmm_finish(const struct qmm_params *p, const qmm_place *at, u32 mt, qmm_sums sums) {
    const u32 wm = warp_id() % QMM_WARPS_M, wn = warp_id() / QMM_WARPS_M;
    UNROLL for (u32 i = 0; i < mt; i++) {
        UNROLL for (u32 e = 0; e < MMA_SUMS; e++) {
            const u32 row = (wm * mt + i) * 16 + mma_row(e);
            if (row >= at->count) continue;
            u32 token, part;
            qmm_row(p, at, row, &token, &part);
            UNROLL for (u32 j = 0; j < QMM_NT; j++) {
                if (p->act && j % 2) continue;
                const float up = j + 1 < QMM_NT ? sums[i][(j + 1) % QMM_NT][e] : 0;
                qmm_store(p, at, token, part, (wn * QMM_NT + j) * 16 + mma_col(e), sums[i][j][e], up);
            }
        }
    }
}

/* A block's tile of mt * QMM_WARPS_M * 16 rows. Grid: (tiles of rows, tiles of outputs), or of experts the other way
 * round, so that blocks that run together share x. */
INLINE void qmm(const struct qmm_params *p, dq_form f, u32 mt) {
    const u32 tile_rows = mt * QMM_WARPS_M * 16, buffer = (tile_rows + QMM_N) * QMM_STRIDE;
    const qmm_place at = qmm_here(p, tile_rows);
    if (at.count == 0) return; /* the whole block */
    SHARED u16 *x = (SHARED u16 *)shared_memory(), *w = x + tile_rows * QMM_STRIDE;
    qmm_source s;
    qmm_sums sums = {0};
    qmm_open(p, &at, f, mt, &s);
    qmm_copy(p, f, mt, at.w.codes, &s, 0, x, w);
    qmm_fetch(p, &at, f, &s, 0);
    qmm_unpack(f, &s, w);
    qmm_fetch(p, &at, f, &s, QMM_K);
    for (u32 k = 0, here = 0; k < p->w.k; k += QMM_K) {
        const bool more = k + QMM_K < p->w.k;
        const u32 next = p->two_buffers ? buffer - here : 0;
        ASYNC_WAIT(0);
        barrier();
        if (p->two_buffers && more) qmm_copy(p, f, mt, at.w.codes, &s, k + QMM_K, x + next, w + next);
        qmm_multiply(x + here, w + here, mt, 0, QMM_K / 2, f.bf16, sums);
        if (p->two_buffers && more) {
            qmm_unpack(f, &s, w + next);
            qmm_fetch(p, &at, f, &s, k + 2 * QMM_K);
        }
        qmm_multiply(x + here, w + here, mt, QMM_K / 2, QMM_K, f.bf16, sums);
        if (!p->two_buffers && more) {
            barrier();
            qmm_copy(p, f, mt, at.w.codes, &s, k + QMM_K, x, w);
            qmm_unpack(f, &s, w);
            qmm_fetch(p, &at, f, &s, k + 2 * QMM_K);
        }
        here = next;
    }
    qmm_finish(p, &at, mt, sums);
}

#    define QMM_KERNEL(kernel, mode, bits, bf16, mt)                                                                   \
        KERNEL void kernel(struct qmm_params p) {                                                                      \
            qmm(&p, (dq_form){mode, bits, bf16}, mt);                                                                  \
        }
/* A kernel for each size of tiles: 128, 64 and 32 rows. */
#    define QMM_KERNELS(name, mode, bits, bf16)                                                                        \
        QMM_KERNEL(name##_128, mode, bits, bf16, 4)                                                                    \
        QMM_KERNEL(name##_64, mode, bits, bf16, 2)                                                                     \
        QMM_KERNEL(name##_32, mode, bits, bf16, 1)
#else
#    define QMM_KERNELS(name, mode, bits, bf16)
#endif

#endif
