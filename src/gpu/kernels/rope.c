/* SPDX-License-Identifier: Apache-2.0
 *
 * ROPE_TABLE, and everything that happens to single heads: their norm, their rotation, their way into the pages of the
 * cache. A warp takes one head of one token. Columns are taken in pairs, those that are rotated together or, past them,
 * neighbours, so that one thread reads and writes both and the call may work in place. */
#define NB_GPU_DEVICE_CODE
#include "rope_params.h"

/* ---- Angles -------------------------------------------------------------------------------------------------- */

typedef struct sine_cosine {
    double sine, cosine;
} sine_cosine;

/* Taylor's series on [-pi / 4, pi / 4], to double precision. */
INLINE double sine_near_0(double r) {
    const double s = r * r;
    double v = -1.0 / 1307674368000.0; /* 15! */
    v = __builtin_fma(v, s, 1.0 / 6227020800.0);
    v = __builtin_fma(v, s, -1.0 / 39916800.0);
    v = __builtin_fma(v, s, 1.0 / 362880.0);
    v = __builtin_fma(v, s, -1.0 / 5040.0);
    v = __builtin_fma(v, s, 1.0 / 120.0);
    v = __builtin_fma(v, s, -1.0 / 6.0);
    return __builtin_fma(v * s, r, r);
}
INLINE double cosine_near_0(double r) {
    const double s = r * r;
    double v = 1.0 / 20922789888000.0; /* 16! */
    v = __builtin_fma(v, s, -1.0 / 87178291200.0);
    v = __builtin_fma(v, s, 1.0 / 479001600.0);
    v = __builtin_fma(v, s, -1.0 / 3628800.0);
    v = __builtin_fma(v, s, 1.0 / 40320.0);
    v = __builtin_fma(v, s, -1.0 / 720.0);
    v = __builtin_fma(v, s, 1.0 / 24.0);
    v = __builtin_fma(v, s, -0.5);
    return __builtin_fma(v, s, 1.0);
}

/* Takes off the nearest multiple of pi / 2, which is given in two doubles: good for angles up to 2^31 and more. */
INLINE sine_cosine sine_cosine_of(double angle) {
    const double n = __builtin_rint(angle * 0x1.45f306dc9c883p-1);
    double r = __builtin_fma(-n, 0x1.921fb54442d18p+0, angle);
    r = __builtin_fma(-n, 0x1.1a62633145c07p-54, r);
    const double s = sine_near_0(r), c = cosine_near_0(r);
    const u32 quarter = (u32)((i64)n & 3);
    sine_cosine result = {quarter & 1 ? c : s, quarter & 1 ? s : c};
    if (quarter & 2) result.sine = -result.sine;
    if (quarter == 1 || quarter == 2) result.cosine = -result.cosine;
    return result;
}

/* A thread for each angle: grid (angles / block, rows). */
KERNEL void rope_table(struct rope_table_params p) {
    const u32 i = bid_x() * bdim() + tid(), half = p.y.cols / 2;
    if (i >= half) return;
    const double freq = p.freqs[i];
    for (u32 row = bid_y(); row < p.y.rows; row += 65535) {
        const sine_cosine v = sine_cosine_of((double)p.positions[row] * freq);
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + i, (float)v.cosine * p.scale);
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + half + i, (float)v.sine * p.scale);
    }
}

/* ---- Heads --------------------------------------------------------------------------------------------------- */

enum { FEW_KEPT = 2, MOST_KEPT = 4 /* pairs that a thread keeps in registers; what is beyond is read twice */ };

typedef struct pair {
    u32 a, b; /* columns; b = head_dim: there is none */
} pair;

INLINE pair pair_of(const head_part *p, u32 i) {
    if (i < p->half && !(p->flags & HEAD_INTERLEAVED)) return (pair){i, i + p->half};
    return (pair){2 * i, 2 * i + 1};
}

INLINE f32x2 pair_load(const head_part *p, const GLOBAL u8 *x, i64 at, pair c) {
    f32x2 v = {load_as_f32(x, p->x_type, at + c.a), 0};
    if (c.b < p->head_dim) v.y = load_as_f32(x, p->x_type, at + c.b);
    return v;
}

/* A weight of the norm as it lies in memory. aligned: at multiples of its size. */
INLINE u32 weight_at(const head_part *p, u32 column, bool aligned) {
    if (!p->weight) return 0;
    return aligned ? load_bits(p->weight, p->weight_type, column) : load_any_bits(p->weight, p->weight_type, column);
}
INLINE float weight_of(const head_part *p, u32 bits) {
    return p->offset + (p->weight ? f32_of(bits, p->weight_type) : 1);
}

/* What a pair is multiplied with: the norm's weights, the angle's cosine and sine. */
typedef struct pair_factors {
    u32 weights[2];
    f32x2 angle;
} pair_factors;

INLINE void pair_weights(const head_part *p, pair c, bool aligned, u32 to[2]) {
    to[0] = to[1] = 0;
    if (!(p->flags & HEAD_NORMED)) return;
    to[0] = weight_at(p, c.a, aligned);
    if (c.b < p->head_dim) to[1] = weight_at(p, c.b, aligned);
}
INLINE f32x2 pair_angle(const head_part *p, u32 row, u32 i) {
    if (i >= p->half) return (f32x2){1, 0};
    const i64 at = row * p->angles_stride + i;
    return (f32x2){load_as_f32(p->angles, p->angles_type, at), load_as_f32(p->angles, p->angles_type, at + p->half)};
}

INLINE void pair_store(const head_part *p, i64 at, u32 i, f32x2 v, float norm, const pair_factors *f) {
    const pair c = pair_of(p, i);
    if (!(p->flags & HEAD_NORMED) && (p->flags & HEAD_IN_PLACE) && i >= p->half) return;
    if (p->flags & HEAD_NORMED) v = v * norm * (f32x2){weight_of(p, f->weights[0]), weight_of(p, f->weights[1])};
    if (i < p->half) v = (f32x2){v.x * f->angle.x - v.y * f->angle.y, v.y * f->angle.x + v.x * f->angle.y};
    store_from_f32(p->y, p->y_type, at + c.a, v.x);
    if (c.b < p->head_dim) store_from_f32(p->y, p->y_type, at + c.b, v.y);
}

/* Where the head's first element goes. */
INLINE i64 head_target(const head_part *p, u32 row, u32 head) {
    if (!p->tables) return row * p->y_stride + head * p->head_dim;
    const u32 position = (u32)p->positions[row];
    const GLOBAL i32 *pages = (const GLOBAL i32 *)p->tables[row];
    const i64 page = pages[position / p->page_size];
    return ((page * p->n_heads + head) * p->page_size + position % p->page_size) * p->head_dim;
}

/* All loads are on their way before the first one is needed: with few rows a block begins when x is just there. Weights
 * and the batch are there before. */
INLINE void head_op_of(const head_part *p, u32 item, u32 n_kept, bool aligned) {
    const u32 row = item / p->n_heads, head = item % p->n_heads;
    const u32 n_pairs = (p->head_dim + 1) / 2;
    const i64 from = row * p->x_stride + head * p->head_dim;
    f32x2 kept[MOST_KEPT];
    pair_factors factors[MOST_KEPT];
    float squares = 0, norm = 1;
    UNROLL for (u32 k = 0; k < n_kept; k++) {
        const u32 i = lane_id() + k * WARP;
        factors[k].weights[0] = factors[k].weights[1] = 0;
        if (i < n_pairs) pair_weights(p, pair_of(p, i), aligned, factors[k].weights);
    }
    const i64 to = head_target(p, row, head);
    previous_done();
    UNROLL for (u32 k = 0; k < n_kept; k++) {
        const u32 i = lane_id() + k * WARP;
        kept[k] = i < n_pairs ? pair_load(p, p->x, from, pair_of(p, i)) : (f32x2){0, 0};
    }
    UNROLL for (u32 k = 0; k < n_kept; k++) factors[k].angle = pair_angle(p, row, lane_id() + k * WARP);
    UNROLL for (u32 k = 0; k < n_kept; k++) squares += kept[k].x * kept[k].x + kept[k].y * kept[k].y;
    if (p->flags & HEAD_NORMED) {
        for (u32 i = lane_id() + n_kept * WARP; i < n_pairs; i += WARP) {
            const f32x2 v = pair_load(p, p->x, from, pair_of(p, i));
            squares += v.x * v.x + v.y * v.y;
        }
        norm = norm_factor(warp_sum(squares), p->head_dim, p->eps);
    }
    UNROLL for (u32 k = 0; k < n_kept; k++) {
        const u32 i = lane_id() + k * WARP;
        if (i < n_pairs) pair_store(p, to, i, kept[k], norm, &factors[k]);
    }
    for (u32 i = lane_id() + n_kept * WARP; i < n_pairs; i += WARP) {
        pair_factors f = {{0, 0}, pair_angle(p, row, i)};
        pair_weights(p, pair_of(p, i), aligned, f.weights);
        pair_store(p, to, i, pair_load(p, p->x, from, pair_of(p, i)), norm, &f);
    }
}

/* Types that nearly all models have: constants, so that loads follow one another and nothing waits between. */
INLINE bool has_usual_types(const head_part *p) {
    return p->x_type == G_F32 && (!p->angles || p->angles_type == G_F32) &&
           (!p->weight || (p->weight_type == G_BF16 && (u64)p->weight % 2 == 0));
}

/* A warp for each head of each token: grid (rows * heads / warps of a block). Parts can be joined: queries, keys and
 * values of a layer. With few rows the time is that in which instructions come, so the usual ways are short. */
KERNEL void head_op(struct head_params p) {
    u32 block;
    head_part part = p.part[gpu_part_of(&p.parts, &block)];
    const u32 item = block * (bdim() / WARP) + warp_id();
    if (item >= part.rows * part.n_heads) return;
    if (!has_usual_types(&part)) {
        head_op_of(&part, item, MOST_KEPT, false);
        return;
    }
    part.x_type = part.angles_type = G_F32;
    part.weight_type = G_BF16;
    if (part.head_dim > 2 * FEW_KEPT * WARP) {
        head_op_of(&part, item, MOST_KEPT, true);
    } else if (part.y_type == G_F32) {
        part.y_type = G_F32;
        head_op_of(&part, item, FEW_KEPT, true);
    } else if (part.y_type == G_F16) {
        part.y_type = G_F16;
        head_op_of(&part, item, FEW_KEPT, true);
    } else {
        head_op_of(&part, item, FEW_KEPT, true);
    }
}
