/* SPDX-License-Identifier: Apache-2.0
 *
 * The product of many tokens in fp32, for any weight at any address and any x: what no faster kernel takes, such as
 * plain fp32 weights. A block computes a tile of GEMM_TILE tokens x GEMM_TILE outputs, a thread 4 x 4 of it. */
#define NB_GPU_DEVICE_CODE
#include "act.h"
#include "dequant.h"
#include "qmm_params.h"

/* As kernels/kernel.h numbers them. */
enum { ANY_PLAIN, ANY_AFFINE, ANY_MXFP4, ANY_MXFP8, ANY_NVFP4 };

INLINE float any_e2m1(u32 code) {
    const float v = as_f32((code & 7) << 22) * 0x1p126f;
    return code & 8 ? -v : v;
}

INLINE float any_weight(const struct gemm_params *p, u64 row, u32 k) {
    const gpu_weight *w = &p->w;
    if (p->mode == ANY_PLAIN) return load_any(w->codes, w->type, (i64)(row * w->k + k));
    const u32 bit = k * p->bits, shift = bit % 8;
    const GLOBAL u8 *at = w->codes + row * ((u64)w->k * p->bits / 8) + bit / 8;
    u32 code = at[0];
    if (shift + p->bits > 8) code |= (u32)at[1] << 8;
    code = code >> shift & ((1u << p->bits) - 1);
    const i64 group = (i64)(row * (w->k / w->group_size) + k / w->group_size);
    if (p->mode == ANY_AFFINE) {
        const float bias = w->biases ? load_any(w->biases, w->type, group) : 0;
        return __builtin_fmaf(load_any(w->scales, w->type, group), (float)code, bias);
    }
    const float scale = p->mode == ANY_NVFP4 ? dq_e4m3_one(w->scales[group]) : dq_e8m0(w->scales[group]);
    return scale * (p->mode == ANY_MXFP8 ? dq_e4m3_one(code) : any_e2m1(code));
}

/* Outputs of the tile as columns of y, and rows of the weight: with an act those of both halves take turns. */
INLINE u32 any_column(const struct gemm_params *p, u32 r) {
    return p->act ? bid_y() * (GEMM_TILE / 2) + r / 2 : bid_y() * GEMM_TILE + r;
}
INLINE u32 any_row(const struct gemm_params *p, u32 r) {
    const u32 n = p->act ? p->w.n / 2 : p->w.n, column = any_column(p, r);
    return (column < n ? column : n - 1) + (p->act && r % 2 ? n : 0);
}

/* Terms [k, k + GEMM_STEP): a thread brings 4 of one token and 4 of one output. */
INLINE void any_load(const struct gemm_params *p, u32 k, SHARED float *x, SHARED float *w) {
    const u32 r = tid() / 4, token = bid_x() * GEMM_TILE + r, row = any_row(p, r);
    UNROLL for (u32 i = 0; i < 4; i++) {
        const u32 at = tid() % 4 * 4 + i;
        const bool there = k + at < p->w.k;
        x[at * GEMM_STRIDE + r] =
            there && token < p->x.rows ? load_as_f32(p->x.data, p->x.type, token * p->x.stride + k + at) : 0;
        w[at * GEMM_STRIDE + r] = there ? any_weight(p, row, k + at) : 0;
    }
}

INLINE void any_store(const struct gemm_params *p, u32 token, u32 column, float v, float up) {
    const u32 n = p->act ? p->w.n / 2 : p->w.n;
    if (token >= p->y.rows || column >= n) return;
    if (p->bias.data) {
        v += load_any(p->bias.data, p->bias.type, column);
        if (p->act) up += load_any(p->bias.data, p->bias.type, n + column);
    }
    if (p->act) v = act_gated(p->act, v, up);
    if (p->residual.data) v += load_as_f32(p->residual.data, p->residual.type, token * p->residual.stride + column);
    store_from_f32(p->y.data, p->y.type, token * p->y.stride + column, v);
}

KERNEL void gemm_any(struct gemm_params p) {
    SHARED float *x = (SHARED float *)shared_memory(), *w = x + GEMM_STEP * GEMM_STRIDE;
    const u32 m0 = tid() / 16 * 4, n0 = tid() % 16 * 4;
    float sums[4][4] = {0};
    for (u32 k = 0; k < p.w.k; k += GEMM_STEP) {
        any_load(&p, k, x, w);
        barrier();
        UNROLL for (u32 t = 0; t < GEMM_STEP; t++) {
            const f32x4 a = *(SHARED f32x4 *)(x + t * GEMM_STRIDE + m0);
            const f32x4 b = *(SHARED f32x4 *)(w + t * GEMM_STRIDE + n0);
            UNROLL for (u32 i = 0; i < 4; i++) {
                UNROLL for (u32 j = 0; j < 4; j++) sums[i][j] = __builtin_fmaf(a[i], b[j], sums[i][j]);
            }
        }
        barrier();
    }
    UNROLL for (u32 i = 0; i < 4; i++) {
        UNROLL for (u32 j = 0; j < 4; j++) {
            if (p.act && j % 2) continue;
            any_store(&p, bid_x() * GEMM_TILE + m0 + i, any_column(&p, n0 + j), sums[i][j], sums[i][(j + 1) % 4]);
        }
    }
}
