/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with any weight, any operands at any address: a warp computes one number (or, of a gated pair, two) at a
 * time. What no faster kernel takes comes here. */
#define NB_GPU_DEVICE_CODE
#include "qmv_params.h"

#include "act.h"
#include "dequant.h"

/* Bits [j * bits, (j + 1) * bits) of a row: in two bytes at most. */
INLINE u32 any_code(const GLOBAL u8 *row, u32 bits, u64 j) {
    const u64 at = j * bits;
    const u32 shift = at % 8;
    u32 two = row[at / 8];
    if (shift + bits > 8) two |= (u32)row[at / 8 + 1] << 8;
    return two >> shift & ((1u << bits) - 1);
}

INLINE float any_e2m1(u32 code) {
    const float v = as_f32((code & 7) << 22) * 0x1p126f;
    return code & 8 ? -v : v;
}

INLINE float any_weight(const qmv_any_part *p, const one_matrix *m, u64 row, u32 j) {
    if (p->mode == DQ_PLAIN) return load_any(m->codes, p->type, (i64)(row * p->k + j));
    const u64 group = row * (p->k / p->group_size) + j / p->group_size;
    const u32 code = any_code(m->codes + row * (p->k / 8 * p->bits), p->bits, j);
    if (p->mode == DQ_MXFP4) return dq_e8m0(m->scales[group]) * any_e2m1(code);
    if (p->mode == DQ_MXFP8) return dq_e8m0(m->scales[group]) * dq_e4m3_one(code);
    if (p->mode == DQ_NVFP4) return dq_e4m3_one(m->scales[group]) * any_e2m1(code);
    const float bias = m->biases ? load_any(m->biases, p->type, (i64)group) : 0.0f;
    return load_any(m->scales, p->type, (i64)group) * (float)code + bias;
}

INLINE float any_x(const qmv_any_part *p, i64 at, u32 j) {
    float x = load_as_f32(p->x.data, p->x.type, at + j);
    if (p->normed) x *= p->offset + (p->norm.data ? load_any(p->norm.data, p->norm.type, j) : 1.0f);
    return x;
}

INLINE float any_dot(const qmv_any_part *p, const one_matrix *m, u64 row, i64 x_at) {
    float sum = 0;
    for (u32 j = lane_id(); j < p->k; j += WARP) sum += any_x(p, x_at, j) * any_weight(p, m, row, j);
    return warp_sum(sum);
}

INLINE float any_norm_factor(const qmv_any_part *p, i64 x_at) {
    float squares = 0;
    for (u32 j = lane_id(); j < p->k; j += WARP) {
        const float x = load_as_f32(p->x.data, p->x.type, x_at + j);
        squares += x * x;
    }
    return norm_factor(warp_sum(squares), p->k, p->eps);
}

/* p: what all parts of the launch have in common, own: the block's. Grid: outputs by the warps of a block, pairs of a
 * token and one of its experts (or tokens). */
KERNEL void qmv_any(struct qmv_any_params params) {
    u32 block;
    const qmv_any_part *p = params.part, *own = &params.part[gpu_part_of(&params.parts, &block)];
    const u32 each = p->act ? own->w.n / 2 : own->w.n, i = block * (bdim() / WARP) + warp_id();
    if (i >= each) return; /* the whole warp; there is no barrier */
    for (u32 pair = bid_y(); pair < p->x.rows * p->n_chosen; pair += 65535) {
        const u32 token = pair / p->n_chosen, place = pair % p->n_chosen;
        const u32 e = p->z.data ? (u32)load_as_f32(p->z.data, p->z.type, token * p->z.stride + place) : 0;
        const one_matrix m = matrix_of(&own->w, e);
        const i64 x_at = token * p->x.stride + (p->own_x ? (i64)place * p->k : 0);
        const float factor = p->normed ? any_norm_factor(p, x_at) : 1.0f;
        float v = any_dot(p, &m, i, x_at) * factor;
        if (own->bias.data) v += load_any(own->bias.data, own->bias.type, (i64)e * own->w.n + i);
        if (p->act) {
            float second = any_dot(p, &m, (u64)each + i, x_at) * factor;
            if (own->bias.data) second += load_any(own->bias.data, own->bias.type, (i64)e * own->w.n + each + i);
            v = act_gated(p->act, v, second);
        }
        const u32 col = place * each + i;
        if (lane_id() == 0) {
            if (own->residual.data)
                v += load_as_f32(own->residual.data, own->residual.type, token * own->residual.stride + col);
            store_from_f32(own->y.data, own->y.type, token * own->y.stride + col, v);
        }
    }
}
