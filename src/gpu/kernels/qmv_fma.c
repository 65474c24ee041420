/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with weights of all modes, 16 bytes at a time, on any device: a warp computes two rows of the weight for a
 * token (of a gated pair, a row of each half), each lane up to 32 columns of them at a time. */
#define NB_GPU_DEVICE_CODE
#include "qmv_stage.h"

typedef struct fma_form {
    dq_mode mode;
    u32 bits;
} fma_form;

/* A lane's columns of one row, with what scales them: one group's, or a part of one. */
enum { PLAIN_UNIT = 8 };
typedef struct fma_unit {
    u32 codes[8];
    float scale, bias;
} fma_unit;
INLINE u32 unit_columns(fma_form f) {
    return f.mode == DQ_NVFP4 ? 16 : 32;
}

INLINE void load_unit(fma_unit *u, const one_matrix *m, const gpu_weight *w, fma_form f, u64 row, u32 unit) {
    const u32 columns = unit_columns(f), words = columns * f.bits / 32;
    dq_load_words(u->codes, m->codes + (row * (w->k / columns) + unit) * words * 4, words, true);
    const u64 group = row * (w->k / w->group_size) + unit * columns / w->group_size;
    u->bias = 0;
    if (f.mode == DQ_AFFINE) {
        u->scale = load_as_f32(m->scales, w->type, (i64)group);
        if (m->biases) u->bias = load_as_f32(m->biases, w->type, (i64)group);
    } else if (f.mode == DQ_NVFP4) {
        u->scale = dq_e4m3_one(m->scales[group]);
    } else {
        u->scale = dq_e8m0(m->scales[group]);
    }
}

/* What code j of the unit stands for, unscaled. */
INLINE float unit_number(const fma_unit *u, fma_form f, u32 j) {
    const u32 at = j * f.bits, shift = at % 32;
    u32 code = u->codes[at / 32] >> shift;
    if (shift + f.bits > 32) code |= u->codes[at / 32 + 1] << (32 - shift);
    code &= (1u << f.bits) - 1;
    if (f.mode == DQ_AFFINE) return (float)code;
    if (f.mode == DQ_MXFP8) return dq_e4m3_one(code);
    return as_f32((code & 7) << 22 | (code & 8) << 28) * 0x1p126f;
}

INLINE void load_x(eight *e, const struct qmv_any_params *p, i64 at, u32 j) {
    eight_load_any(e, p->x.data, p->x.type, (u64)at + j);
    if (!p->normed) return;
    eight w = {{1, 1, 1, 1, 1, 1, 1, 1}};
    if (p->norm.data) eight_load_any(&w, p->norm.data, p->norm.type, j);
    UNROLL for (u32 i = 0; i < 8; i++) e->v[i] *= p->offset + w.v[i];
}

INLINE void dot_plain(float sums[2], const struct qmv_any_params *p, const one_matrix *m, const u32 rows[2], i64 x_at) {
    for (u32 j = lane_id() * PLAIN_UNIT; j < p->w.k; j += WARP * PLAIN_UNIT) {
        eight x, w[2];
        UNROLL for (u32 r = 0; r < 2; r++) eight_load(&w[r], m->codes, p->w.type, (u64)rows[r] * p->w.k + j);
        load_x(&x, p, x_at, j);
        UNROLL for (u32 r = 0; r < 2; r++) UNROLL for (u32 i = 0; i < 8; i++) sums[r] += x.v[i] * w[r].v[i];
    }
}

INLINE void dot_units(float sums[2], const struct qmv_any_params *p, fma_form f, const one_matrix *m, const u32 rows[2],
                      i64 x_at) {
    for (u32 unit = lane_id(); unit < p->w.k / unit_columns(f); unit += WARP) {
        fma_unit u[2];
        UNROLL for (u32 r = 0; r < 2; r++) load_unit(&u[r], m, &p->w, f, rows[r], unit);
        float parts[2] = {0, 0}, x_sum = 0;
        UNROLL for (u32 i = 0; i < unit_columns(f); i += 8) {
            eight x;
            load_x(&x, p, x_at, unit * unit_columns(f) + i);
            UNROLL for (u32 j = 0; j < 8; j++) {
                UNROLL for (u32 r = 0; r < 2; r++) parts[r] += x.v[j] * unit_number(&u[r], f, i + j);
                x_sum += x.v[j];
            }
        }
        UNROLL for (u32 r = 0; r < 2; r++) {
            sums[r] += u[r].scale * parts[r];
            if (f.mode == DQ_AFFINE) sums[r] += u[r].bias * x_sum;
        }
    }
}

INLINE float fma_norm_factor(const struct qmv_any_params *p, i64 x_at) {
    float squares = 0;
    for (u32 j = lane_id() * 8; j < p->w.k; j += WARP * 8) {
        eight x;
        eight_load_any(&x, p->x.data, p->x.type, (u64)x_at + j);
        UNROLL for (u32 i = 0; i < 8; i++) squares += x.v[i] * x.v[i];
    }
    return 1.0f / __builtin_sqrtf(warp_sum(squares) / (float)p->w.k + p->eps);
}

INLINE void fma_store(const struct qmv_any_params *p, u32 token, u32 column, float v) {
    if (p->residual.data) v += load_as_f32(p->residual.data, p->residual.type, token * p->residual.stride + column);
    store_from_f32(p->y.data, p->y.type, token * p->y.stride + column, v);
}

/* One pair of a token and an expert (or a token). */
INLINE void fma_pair(const struct qmv_any_params *p, fma_form f, u32 pair, const u32 rows[2]) {
    const u32 each = p->act ? p->w.n / 2 : p->w.n, token = pair / p->n_chosen, place = pair % p->n_chosen;
    const u32 e = p->z.data ? (u32)load_as_f32(p->z.data, p->z.type, token * p->z.stride + place) : 0;
    const one_matrix m = matrix_of(&p->w, e);
    const i64 x_at = token * p->x.stride + (p->own_x ? (i64)place * p->w.k : 0);
    float sums[2] = {0, 0};
    if (f.mode == DQ_PLAIN)
        dot_plain(sums, p, &m, rows, x_at);
    else
        dot_units(sums, p, f, &m, rows, x_at);
    const float factor = p->normed ? fma_norm_factor(p, x_at) : 1.0f;
    UNROLL for (u32 r = 0; r < 2; r++) {
        sums[r] = warp_sum(sums[r]) * factor;
        if (p->bias.data) sums[r] += load_any(p->bias.data, p->bias.type, (i64)e * p->w.n + rows[r]);
    }
    if (lane_id() != 0) return;
    if (p->act) {
        fma_store(p, token, place * each + rows[0], act_gated(p->act, sums[0], sums[1]));
        return;
    }
    fma_store(p, token, place * each + rows[0], sums[0]);
    if (rows[1] != rows[0]) fma_store(p, token, place * each + rows[1], sums[1]);
}

/* Grid: two rows by the warps of a block, pairs. An odd last row is computed twice and stored once. */
INLINE void qmv_fma(const struct qmv_any_params *p, fma_form f) {
    const u32 task = bid_x() * (bdim() / WARP) + warp_id(), half = p->w.n / 2;
    u32 rows[2] = {task, half + task};
    if (!p->act) {
        rows[0] = 2 * task;
        rows[1] = rows[0] + 1 < p->w.n ? rows[0] + 1 : rows[0];
    }
    if (rows[0] >= (p->act ? half : p->w.n)) return; /* the whole warp; there is no barrier */
    for (u32 pair = bid_y(); pair < p->y.rows * p->n_chosen; pair += 65535) fma_pair(p, f, pair, rows);
}

#define QMV_FMA(name, mode, bits)                                                                                      \
    KERNEL void name(struct qmv_any_params p) {                                                                        \
        qmv_fma(&p, (fma_form){mode, bits});                                                                           \
    }
QMV_FMA(qmv_fma_affine2, DQ_AFFINE, 2)
QMV_FMA(qmv_fma_affine3, DQ_AFFINE, 3)
QMV_FMA(qmv_fma_affine4, DQ_AFFINE, 4)
QMV_FMA(qmv_fma_affine5, DQ_AFFINE, 5)
QMV_FMA(qmv_fma_affine6, DQ_AFFINE, 6)
QMV_FMA(qmv_fma_affine8, DQ_AFFINE, 8)
QMV_FMA(qmv_fma_mxfp4, DQ_MXFP4, 4)
QMV_FMA(qmv_fma_mxfp8, DQ_MXFP8, 8)
QMV_FMA(qmv_fma_nvfp4, DQ_NVFP4, 4)
QMV_FMA(qmv_fma_plain, DQ_PLAIN, 16)
