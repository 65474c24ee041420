/* SPDX-License-Identifier: Apache-2.0
 *
 * Mixture of experts: the choice of a token's experts, and the sum of what they give. */
#define NB_GPU_DEVICE_CODE
#include "math.h"
#include "moe_params.h"
#include "ops_vec.h"
#include "reduce.h"

/* How many of [from, to) come before v: larger, or with `ties` equal. Bounds are multiples of 4. */
INLINE u32 count_before(const SHARED float *keys, u32 from, u32 to, float v, int ties) {
    u32 n = 0;
    _Pragma("unroll 8") for (u32 f = from; f < to; f += 4) {
        const f32x4 k = *(const SHARED f32x4 *)(keys + f);
        UNROLL for (u32 i = 0; i < 4; i++) n += ties ? k[i] >= v : k[i] > v;
    }
    return n;
}

/* The place of expert e in falling order, equal ones in order of their numbers: so many come before it. Places differ
 * whatever the keys are, as long as none is a NaN. Whole steps of experts before and after that of e need one
 * comparison each. */
INLINE u32 place_of(const SHARED float *keys, u32 n, u32 e) {
    const float v = keys[e];
    const u32 own = e / ROUTE_STEP * ROUTE_STEP, end = own + ROUTE_STEP;
    u32 place = count_before(keys, 0, own, v, 1) + count_before(keys, end, n, v, 0);
    for (u32 f = own; f < end; f++) place += keys[f] > v || (keys[f] == v && f < e);
    return place;
}

/* A block a token. Shared: sums of warps, logits, keys (NaN as -infinity), the chosen. */
KERNEL void route(struct route_params p) {
    const u32 n = p.x.cols, padded = (n + ROUTE_STEP - 1) / ROUTE_STEP * ROUTE_STEP;
    SHARED float *sums = (SHARED float *)shared_memory(), *logits = sums + REDUCE_FLOATS, *keys = logits + padded;
    SHARED u32 *chosen = (SHARED u32 *)(keys + padded);
    const float least = -__builtin_inff();
    for (u32 e = tid(); e < padded; e += bdim()) {
        const float v = e < n ? load_row(&p.x, bid_x(), e, 1).x : least;
        logits[e] = v;
        keys[e] = v != v ? least : v;
    }
    barrier();
    for (u32 e = tid(); e < n; e += bdim()) {
        const u32 place = place_of(keys, padded, e);
        if (place < p.n_chosen) chosen[place] = e;
    }
    barrier();
    const float largest = logits[chosen[0]];
    const u32 n_terms = p.normalize ? p.n_chosen : n;
    float sum = 0;
    for (u32 i = tid(); i < n_terms; i += bdim()) sum += exp_f32(logits[p.normalize ? chosen[i] : i] - largest);
    sum = block_sum(sum, sums);
    GLOBAL float *y = (GLOBAL float *)p.y.data + bid_x() * p.y.stride;
    for (u32 s = tid(); s < p.n_chosen; s += bdim()) {
        const u32 e = chosen[s];
        const float factor = p.weight.data ? load_any(p.weight.data, p.weight.type, e) : 1.0f;
        y[s] = (float)e;
        y[p.n_chosen + s] = exp_f32(logits[e] - largest) / sum * factor;
    }
}

/* What several experts have made is on its way at once. The residual may be y itself. */
INLINE void sum_by(const struct sum_experts_params *p, u32 n) {
    enum { AT_ONCE = 8 };
    const u32 col = (bid_x() * bdim() + tid()) * n;
    if (col >= p->y.cols) return;
    for (u32 row = bid_y(); row < p->y.rows; row += 65535) {
        const GLOBAL float *weights = (const GLOBAL float *)p->z.data + row * p->z.stride + p->n_chosen;
        u32x4 residual = {0, 0, 0, 0};
        if (p->residual.data) residual = row_bits(&p->residual, row, col, n);
        f32x4 sum = {0, 0, 0, 0};
        for (u32 first = 0; first < p->n_chosen; first += AT_ONCE) {
            u32x4 x[AT_ONCE];
            float weight[AT_ONCE];
            UNROLL for (u32 i = 0; i < AT_ONCE; i++) {
                x[i] = (u32x4){0, 0, 0, 0};
                weight[i] = 0;
                if (first + i >= p->n_chosen) continue;
                x[i] = row_bits(&p->x, row, (first + i) * p->y.cols + col, n);
                weight[i] = weights[first + i];
            }
            UNROLL for (u32 i = 0; i < AT_ONCE; i++) if (first + i < p->n_chosen) sum +=
                weight[i] * vec_of(x[i], p->x.type, n);
        }
        if (p->residual.data) sum += vec_of(residual, p->residual.type, n);
        store_row(&p->y, row, col, n, sum);
    }
}

KERNEL void sum_experts(struct sum_experts_params p) {
    sum_by(&p, 1);
}
KERNEL void sum_experts4(struct sum_experts_params p) {
    sum_by(&p, 4);
}
