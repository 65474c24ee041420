/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with weights of all modes, 16 bytes at a time, on any device: a warp computes two rows of the weight for a
 * token (of a gated pair, a row of each half), each lane up to 32 columns of them at a time. x lies in shared memory as
 * floats, times the norm's weights: what type it has is asked there once for all rows of a block. The loops over the
 * weight ask nothing, so that their loads do not wait for each other. */
#define NB_GPU_DEVICE_CODE
#include "qmv_stage.h"
#include "reduce.h"

typedef struct fma_form {
    dq_mode mode;
    u32 bits;
    bool wide; /* affine scales and biases, or plain weights, are f32 */
} fma_form;

/* ---- x ----------------------------------------------------------------------------------------------------------- */

/* Units of 32 columns lie FMA_UNIT floats apart, so that lanes reading a unit each meet different banks; between them
 * is their sum. */
enum { FMA_UNIT = QMV_FMA_UNIT_FLOATS };
INLINE SHARED float *fma_x(void) {
    return (SHARED float *)shared_memory() + REDUCE_FLOATS;
}
INLINE u32 fma_at(u32 column) {
    return column / 32 * FMA_UNIT + column % 32;
}

/* Times the norm's weights; gives back the sum of squares before. */
INLINE float fma_norm(eight *e, const qmv_any_part *p, u32 j) {
    eight w = {{1, 1, 1, 1, 1, 1, 1, 1}};
    if (p->norm.data) eight_load_any(&w, p->norm.data, p->norm.type, j);
    float squares = 0;
    UNROLL for (u32 i = 0; i < 8; i++) {
        squares += e->v[i] * e->v[i];
        e->v[i] *= p->offset + w.v[i];
    }
    return squares;
}

/* Columns [from, from + n); gives back the thread's part of their sum of squares. */
INLINE float fma_stage(const qmv_any_part *p, i64 x_at, u32 from, u32 n) {
    float squares = 0;
    ROLLED for (u32 first = 0; first < n; first += QMV_ANY_THREADS * 8) {
        const u32 j = first + tid() * 8;
        eight e = {{0, 0, 0, 0, 0, 0, 0, 0}};
        if (j < n) {
            eight_load_any(&e, p->x.data, p->x.type, (u64)x_at + from + j);
            if (p->normed) squares += fma_norm(&e, p, from + j);
        }
        const float *v = e.v;
        const float sum = lanes_sum(eight_sum(&e), 4);
        if (j >= n) continue;
        SHARED f32x4 *to = (SHARED f32x4 *)(fma_x() + fma_at(j));
        to[0] = (f32x4){v[0], v[1], v[2], v[3]};
        to[1] = (f32x4){v[4], v[5], v[6], v[7]};
        if (j % 32 == 0) fma_x()[fma_at(j) + 32] = sum;
    }
    return squares;
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* Where a row of the weight lies. Without biases those are its scales, and not used. */
typedef struct fma_row {
    const GLOBAL u8 *codes, *scales, *biases;
} fma_row;

INLINE u32 unit_columns(fma_form f) {
    return f.mode == DQ_PLAIN ? 8 : f.mode == DQ_NVFP4 ? 16 : 32;
}

INLINE fma_row fma_row_of(const qmv_any_part *p, const one_matrix *m, fma_form f, u64 row) {
    if (f.mode == DQ_PLAIN) return (fma_row){m->codes + row * p->k * (f.wide ? 4 : 2), m->codes, m->codes};
    const u64 scales = row * (p->k / p->group_size) * (f.mode != DQ_AFFINE ? 1 : f.wide ? 4 : 2);
    const GLOBAL u8 *biases = m->biases ? m->biases : m->scales;
    return (fma_row){m->codes + row * (p->k / 8) * f.bits, m->scales + scales, biases + scales};
}

/* A lane's columns of one row, with what scales them (one group's, or a part of one), all as it lies in memory. */
typedef struct fma_unit {
    u32 codes[8], scale, bias;
} fma_unit;

INLINE u32 fma_load_scale(const GLOBAL u8 *p, fma_form f, u32 group) {
    if (f.mode != DQ_AFFINE) return p[group];
    return f.wide ? ((const GLOBAL u32 *)p)[group] : ((const GLOBAL u16 *)p)[group];
}
INLINE void fma_load(fma_unit *u, const fma_row *row, const qmv_any_part *p, fma_form f, u32 unit) {
    const u32 words = f.mode == DQ_PLAIN ? (f.wide ? 8 : 4) : unit_columns(f) * f.bits / 32;
    dq_load_words(u->codes, row->codes + unit * (words * 4), words, true);
    if (f.mode == DQ_PLAIN) return;
    const u32 group = unit >> __builtin_ctz(p->group_size / unit_columns(f)); /* sizes of groups are powers of two */
    u->scale = fma_load_scale(row->scales, f, group);
    if (f.mode == DQ_AFFINE) u->bias = fma_load_scale(row->biases, f, group);
}

/* Both ways of reading 16 bits, then a choice: a choice of ways would be a branch. */
INLINE float fma_number(u32 h, u32 type) {
    const float f16 = f16_to_f32((u16)h), bf16 = bf16_to_f32((u16)h);
    return type == G_F16 ? f16 : bf16;
}
INLINE float fma_scale(u32 bits, fma_form f, u32 type) {
    if (f.mode == DQ_NVFP4) return dq_e4m3_one(bits);
    if (f.mode != DQ_AFFINE) return dq_e8m0(bits);
    return f.wide ? as_f32(bits) : fma_number(bits, type);
}

/* What column j of the unit is, unscaled. */
INLINE float unit_number(const fma_unit *u, fma_form f, u32 type, u32 j) {
    if (f.mode == DQ_PLAIN && f.wide) return as_f32(u->codes[j]);
    if (f.mode == DQ_PLAIN) return fma_number(u->codes[j / 2] >> j % 2 * 16, type);
    const u32 at = j * f.bits, shift = at % 32;
    u32 code = u->codes[at / 32] >> shift;
    if (shift + f.bits > 32) code |= u->codes[at / 32 + 1] << (32 - shift);
    code &= (1u << f.bits) - 1;
    if (f.mode == DQ_AFFINE) return (float)code;
    if (f.mode == DQ_MXFP8) return dq_e4m3_one(code);
    return as_f32((code & 7) << 22 | (code & 8) << 28) * 0x1p126f;
}

/* ---- Sums -------------------------------------------------------------------------------------------------------- */

/* One part of a launch's work: units [first, first + n) of two rows, whose x lies in shared memory from its beginning;
 * lanes take them in turn. */
typedef struct fma_span {
    fma_row rows[2];
    u32 first, n;
    bool biased;
} fma_span;

/* The lane's i-th unit of both rows. Behind the last one it is that once more, so that no load hangs on a condition. */
INLINE void fma_fetch(fma_unit u[2], const qmv_any_part *p, fma_form f, const fma_span *s, u32 i) {
    const u32 unit = s->first + (i < s->n ? i : s->n - 1);
    UNROLL for (u32 r = 0; r < 2; r++) fma_load(&u[r], &s->rows[r], p, f, unit);
}

/* u: the lane's first unit. */
INLINE void fma_dot(float sums[2], fma_unit u[2], const qmv_any_part *p, fma_form f, const fma_span *s) {
    const u32 columns = unit_columns(f);
    ROLLED for (u32 i = lane_id(); i < s->n; i += WARP) {
        fma_unit next[2];
        fma_fetch(next, p, f, s, i + WARP);
        loads_first();
        float parts[2] = {0, 0};
        const SHARED float *x = fma_x() + fma_at(i * columns);
        UNROLL for (u32 j = 0; j < columns; j++) {
            const float v = ((const SHARED f32x4 *)x)[j / 4][j % 4];
            UNROLL for (u32 r = 0; r < 2; r++) parts[r] += v * unit_number(&u[r], f, p->type, j);
        }
        UNROLL for (u32 r = 0; r < 2; r++) {
            if (f.mode == DQ_PLAIN)
                sums[r] += parts[r];
            else
                sums[r] += fma_scale(u[r].scale, f, p->type) * parts[r];
            if (f.mode == DQ_AFFINE) sums[r] += (s->biased ? fma_scale(u[r].bias, f, p->type) : 0) * x[32];
            u[r] = next[r];
        }
    }
}

INLINE void fma_store(const qmv_any_part *own, u32 token, u32 column, float v) {
    if (own->residual.data)
        v += load_as_f32(own->residual.data, own->residual.type, token * own->residual.stride + column);
    store_from_f32(own->y.data, own->y.type, token * own->y.stride + column, v);
}

/* One pair of a token and an expert (or a token). Warps behind the last row compute it once more, and store nothing. */
INLINE void fma_pair(const qmv_any_part *p, const qmv_any_part *own, fma_form f, u32 pair, const u32 rows[2],
                     bool mine) {
    const u32 each = p->act ? own->w.n / 2 : own->w.n, token = pair / p->n_chosen, place = pair % p->n_chosen;
    const u32 e = p->z.data ? uniform((u32)load_as_f32(p->z.data, p->z.type, token * p->z.stride + place)) : 0;
    const one_matrix m = matrix_of(&own->w, e);
    const i64 x_at = token * p->x.stride + (p->own_x ? (i64)place * p->k : 0);
    fma_span s = {.biased = m.biases != 0};
    fma_unit u[2];
    UNROLL for (u32 r = 0; r < 2; r++) s.rows[r] = fma_row_of(p, &m, f, rows[r]);
    float sums[2] = {0, 0}, squares = 0, factor = 1;
    ROLLED for (u32 from = 0; from < p->k; from += QMV_FMA_CHUNK) {
        const u32 n = p->k - from < QMV_FMA_CHUNK ? p->k - from : QMV_FMA_CHUNK;
        s.first = from / unit_columns(f);
        s.n = n / unit_columns(f);
        fma_fetch(u, p, f, &s, lane_id());
        barrier();
        squares += fma_stage(p, x_at, from, n);
        barrier();
        fma_dot(sums, u, p, f, &s);
    }
    if (p->normed) factor = norm_factor(block_sum(squares, (SHARED float *)shared_memory()), p->k, p->eps);
    UNROLL for (u32 r = 0; r < 2; r++) {
        sums[r] = warp_sum(sums[r]) * factor;
        if (own->bias.data) sums[r] += load_any(own->bias.data, own->bias.type, (i64)e * own->w.n + rows[r]);
    }
    if (lane_id() != 0 || !mine) return;
    if (p->act) {
        fma_store(own, token, place * each + rows[0], act_gated(p->act, sums[0], sums[1]));
        return;
    }
    fma_store(own, token, place * each + rows[0], sums[0]);
    if (rows[1] != rows[0]) fma_store(own, token, place * each + rows[1], sums[1]);
}

/* p: what all parts of the launch have in common, own: the block's. Grid: two rows by the warps of a block, pairs. An
 * odd last row is computed twice and stored once. */
INLINE void qmv_fma(const qmv_any_part *p, const qmv_any_part *own, fma_form f, u32 block) {
    const u32 n = own->w.n, half = n / 2, last = (p->act ? half : (n + 1) / 2) - 1;
    const u32 task = block * (QMV_ANY_THREADS / WARP) + warp_id(), inside = task < last ? task : last;
    u32 rows[2] = {inside, half + inside};
    if (!p->act) {
        rows[0] = 2 * inside;
        rows[1] = rows[0] + 1 < n ? rows[0] + 1 : rows[0];
    }
    for (u32 pair = bid_y(); pair < p->x.rows * p->n_chosen; pair += 65535)
        fma_pair(p, own, f, pair, rows, task <= last);
}

#define QMV_FMA(name, mode, bits)                                                                                      \
    KERNEL void name(struct qmv_any_params p) {                                                                        \
        u32 block;                                                                                                     \
        const qmv_any_part *own = &p.part[gpu_part_of(&p.parts, &block)];                                              \
        if (p.part->type == G_F32 && (mode == DQ_AFFINE || mode == DQ_PLAIN))                                          \
            qmv_fma(p.part, own, (fma_form){mode, bits, true}, block);                                                 \
        else                                                                                                           \
            qmv_fma(p.part, own, (fma_form){mode, bits, false}, block);                                                \
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
