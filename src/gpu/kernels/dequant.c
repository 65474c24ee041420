/* SPDX-License-Identifier: Apache-2.0
 *
 * What surrounds a vendor's GEMM: weights as f16 or bf16 in a workspace, and the parts of a product that the GEMM does
 * not know. */
#define NB_GPU_DEVICE_CODE
#include "dequant.h"

#include "act.h"
#include "qmm_params.h"

/* A thread dequantizes 32 weights of a row: grid (units of 256 threads). */
INLINE void dequant(const struct dequant_params *p, dq_form f) {
    const u32 units = p->w.k / 32, n_rows = p->second ? 2 * p->n : p->n;
    const u64 at = bid_x() * (u64)QMM_THREADS + tid();
    if (at >= n_rows * (u64)units) return;
    const u32 row = (u32)(at / units), unit = (u32)(at % units);
    const one_matrix m = matrix_of(&p->w, 0);
    dq_unit u;
    dq_load(&u, &m, f, p->w.k, p->w.group_size, row < p->n ? p->first + row : p->second + row - p->n, unit,
            (u64)m.codes % 16 == 0);
    dq_prepare(&u, f);
    GLOBAL u32x4 *to = (GLOBAL u32x4 *)(p->to + row * (u64)p->w.k + unit * 32);
    UNROLL for (u32 i = 0; i < 4; i++) {
        u32x4 v;
        UNROLL for (u32 j = 0; j < 4; j++) v[j] = dq_pair(&u, f, 4 * i + j);
        to[i] = v;
    }
}

#define DEQUANT(name, mode, bits, bf16)                                                                                \
    KERNEL void name(struct dequant_params p) {                                                                        \
        dequant(&p, (dq_form){mode, bits, bf16});                                                                      \
    }
#define DEQUANT_AFFINE(bits)                                                                                           \
    DEQUANT(dequant_affine##bits##_f16, DQ_AFFINE, bits, false)                                                        \
    DEQUANT(dequant_affine##bits##_bf16, DQ_AFFINE, bits, true)
DEQUANT_AFFINE(2)
DEQUANT_AFFINE(3)
DEQUANT_AFFINE(4)
DEQUANT_AFFINE(5)
DEQUANT_AFFINE(6)
DEQUANT_AFFINE(8)
DEQUANT(dequant_mxfp4_bf16, DQ_MXFP4, 4, true)
DEQUANT(dequant_mxfp8_bf16, DQ_MXFP8, 8, true)
DEQUANT(dequant_nvfp4_bf16, DQ_NVFP4, 4, true)

/* A thread an element: grid (columns / block, rows). What y is before the GEMM adds to it. */
KERNEL void gemm_begin(struct gemm_edge_params p) {
    const u32 col = bid_x() * bdim() + tid();
    if (col >= p.n) return;
    const float bias = p.bias.data ? load_any(p.bias.data, p.bias.type, p.first + col) : 0;
    for (u32 row = bid_y(); row < p.y.rows; row += 65535) {
        float v = bias;
        if (p.residual.data)
            v += load_as_f32(p.residual.data, p.residual.type, row * p.residual.stride + p.first + col);
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + p.first + col, v);
    }
}

/* The same grid: y from what the GEMM left. */
KERNEL void gemm_act(struct gemm_edge_params p) {
    const u32 col = bid_x() * bdim() + tid();
    if (col >= p.n) return;
    const float bias = p.bias.data ? load_any(p.bias.data, p.bias.type, p.first + col) : 0;
    const float bias2 = p.bias.data ? load_any(p.bias.data, p.bias.type, p.half + p.first + col) : 0;
    for (u32 row = bid_y(); row < p.y.rows; row += 65535) {
        const GLOBAL float *at = p.p + row * 2 * (u64)p.n;
        float v = act_gated(p.act, at[col] + bias, at[p.n + col] + bias2);
        if (p.residual.data)
            v += load_as_f32(p.residual.data, p.residual.type, row * p.residual.stride + p.first + col);
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + p.first + col, v);
    }
}
