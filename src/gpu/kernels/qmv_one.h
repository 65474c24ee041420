/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token with affine weights of 4 or 8 bits on NVIDIA's matrix units for integers, where a code costs
 * half an instruction or none. x is operand B as integers of 23 bits with a scale for each block of columns, in three
 * signed bytes that are three columns of B, so that the sums of a block are exact; two blocks stand side by side in the
 * eight columns. A warp streams 16 rows of the weight: a lane's next 16 bytes of a row are on their way as soon as the
 * last ones have been used. */
#ifndef NB_GPU_KERNELS_QMV_ONE_H
#define NB_GPU_KERNELS_QMV_ONE_H

#include "mma_nv.h"
#include "qmv_stage.h"

#if MMA_NV

/* Constant at compilation. A unit of columns is what the four lanes t of a row load at once, 16 bytes each; a step is
 * four units, or two where there are too few columns or a step's scales take too many registers. */
typedef struct one_form {
    u32 bits, group_size, units;
    gpu_type scales; /* f16 or bf16, biases too */
} one_form;

enum { MOST_UNITS = 4, MOST_SCALE_WORDS = 4 };

INLINE u32 lane_columns(one_form f) {
    return 128 / f.bits;
}
INLINE u32 unit_columns(one_form f) {
    return 4 * lane_columns(f);
}
INLINE u32 one_step_columns(one_form f) {
    return f.units * unit_columns(f);
}
/* Columns of x that share a scale. */
INLINE u32 block_columns(one_form f) {
    return f.group_size < unit_columns(f) ? f.group_size : unit_columns(f);
}
INLINE u32 unit_blocks(one_form f) {
    return unit_columns(f) / block_columns(f);
}
/* Words of two scales that a row has in a step. */
INLINE u32 scale_words(one_form f) {
    return one_step_columns(f) / f.group_size / 2;
}

/* The second or the first half of a word. */
INLINE float half_as_f32(u32 word, gpu_type type, bool second) {
    if (type == G_F16) return f16_to_f32((u16)(word >> (second ? 16 : 0)));
    return as_f32(pick_bytes(word, 0, second ? 0x3244 : 0x1044));
}

typedef struct one_scales {
    u32 scales[2][MOST_SCALE_WORDS], biases[2][MOST_SCALE_WORDS];
} one_scales;

/* What a lane reads next: of row g of its tile; how many bytes further row g + 8 has the same; from scales to biases.
 */
typedef struct one_rows {
    const GLOBAL u8 *codes, *scales;
    u32 codes_8, scales_8;
    i64 biases;
} one_rows;

INLINE one_rows one_rows_at(const qmv_part *p, one_form f, u32 block, u32 tile, u32 step) {
    const u32 row = qmv_row(p, block, tile, lane_id() / 4), further = qmv_row(p, block, tile, lane_id() / 4 + 8) - row;
    const u32 groups = p->k / f.group_size, row_bytes = p->k / 8 * f.bits;
    return (one_rows){
        .codes = p->codes + (u64)row * row_bytes + step * f.units * 64 + lane_id() % 4 * 16,
        .scales = p->scales + 2 * ((u64)row * groups + step * 2 * scale_words(f)),
        .codes_8 = further * row_bytes,
        .scales_8 = further * groups * 2,
        .biases = (i64)p->biases - (i64)p->scales,
    };
}
INLINE void one_advance(one_rows *r, one_form f, u32 steps) {
    r->codes += steps * f.units * 64;
    r->scales += steps * scale_words(f) * 4;
}

INLINE void one_load_unit(u32x4 codes[2], const one_rows *r, u32 unit) {
    codes[0] = stream_load16(r->codes + unit * 64);
    codes[1] = stream_load16(r->codes + r->codes_8 + unit * 64);
}
INLINE void one_load_scales(one_scales *s, const one_rows *r, one_form f) {
    UNROLL for (u32 i = 0; i < 2; i++) {
        stream_load_words(s->scales[i], r->scales + i * r->scales_8, scale_words(f));
        stream_load_words(s->biases[i], r->scales + r->biases + i * r->scales_8, scale_words(f));
    }
}

/* ---- Blocks and outputs -------------------------------------------------------------------------------------------
 */

/* A launch's blocks of tiles: those of several products with the same x, one behind the other. */
typedef struct one_work {
    const qmv_part *parts;
    u32 n, first[GPU_KERNEL_PARTS]; /* first[i]: where part i begins; [0] is not used */
    u32 total, stride;              /* a block of the launch takes each stride-th */
} one_work;
/* The part of a block; its number there. */
INLINE u32 one_part_of(const one_work *w, u32 *block) {
    const u32 at = *block;
    u32 part = 0;
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < w->n && at >= w->first[i]) {
        part = i;
        *block = at - w->first[i];
    }
    return part;
}
/* Where the output of four threads belongs, of a batch of rounds the first of which takes block `first`. */
typedef struct one_output {
    u32 part, output;
    bool there;
} one_output;
INLINE one_output one_output_of(const one_work *w, u32 first) {
    u32 block = first + tid() / 4 / QMV_ROWS * w->stride;
    const bool inside = block < w->total;
    const u32 part = one_part_of(w, &block), output = block * QMV_ROWS + tid() / 4 % QMV_ROWS;
    const qmv_part *p = &w->parts[part];
    return (one_output){part, output, inside && output < (p->act ? p->n / 2 : p->n)};
}
/* Its residual as it lies in memory. */
INLINE u32 one_residual_bits(const one_work *w, one_output o, u32 token) {
    const qmv_part *p = &w->parts[o.part];
    if (!o.there || tid() % 4 > 0 || !p->residual) return 0;
    return load_bits(p->residual, QMV_TYPE(p->types, QMV_RESIDUAL), (i64)token * p->residual_stride + o.output);
}
INLINE float one_residual(const one_work *w, one_output o, u32 bits) {
    const qmv_part *p = &w->parts[o.part];
    return p->residual ? f32_of(bits, QMV_TYPE(p->types, QMV_RESIDUAL)) : 0;
}

/* ---- x in shared memory -------------------------------------------------------------------------------------------
 */

/* Bytes of x as lanes take them: [unit][pair of products][t][plane], 16 bytes each; what a block's sums are to be
 * multiplied with: [block][2]: of the first two planes; of the third, and the block's sum for the bias. */
typedef struct one_x {
    SHARED u32x4 *planes;
    SHARED f32x4 *factors;
} one_x;
INLINE u32 plane_at(one_form f, u32 unit, u32 pair, u32 t, u32 plane) {
    return ((unit * (lane_columns(f) / 16) + pair) * 4 + t) * 3 + plane;
}

/* The bytes of four numbers: their lowest ones, the next, and those above. */
INLINE void one_bytes(u32 to[3], u32 a, u32 b, u32 c, u32 d) {
    const u32 ab = pick_bytes(a, b, 0x5140), cd = pick_bytes(c, d, 0x5140);
    to[0] = pick_bytes(ab, cd, 0x5410);
    to[1] = pick_bytes(ab, cd, 0x7632);
    to[2] = pick_bytes(pick_bytes(a, b, 0x0062), pick_bytes(c, d, 0x0062), 0x5410);
}

/* Eight columns from `column` on, all lanes of a warp: codes and their block's factors. Scales as of quant/xform.h, a
 * bit coarser: |x| < 2^22 * scale. Of a block with a NaN or an infinity all factors are NaN. */
INLINE void one_put(const one_x *x, one_form f, const eight *e, u32 column) {
    const u32 each = block_columns(f);
    float largest = 0;
    UNROLL for (u32 i = 0; i < 8; i++) largest = __builtin_fmaxf(largest, __builtin_fabsf(e->v[i]));
    largest = lanes_max(largest, each / 8);
    const float sum = lanes_sum(eight_sum(e), each / 8);
    const u32 exponent = as_u32(largest) >> 23, scale_bits = (exponent > 22 ? exponent - 21 : 1) << 23;
    const float inverse = as_f32((254u << 23) - scale_bits);
    const bool finite = exponent < 255 && sum == sum;
    /* 1.5 * 2^23 + q, whose last 22 bits are q's; 0x8080 more gives the digits q = 65536 a + 256 b + c of [-128, 127]
     * as bytes a, b + 128, c + 128. */
    u32 q[8];
    UNROLL for (u32 i = 0; i < 8; i++) q[i] = as_u32(e->v[i] * inverse + 12582912.0f) + (0x8080u - 0x400000u);
    /* A product's first half takes the columns of low halves of bytes, 0, 2, 4, 6; its second those of high ones. */
    const u32 unit = column / unit_columns(f), t = column % unit_columns(f) / lane_columns(f);
    const u32 product = column % lane_columns(f) / 8;
    u32 w[2][3];
    UNROLL for (u32 i = 0; i < 2; i++) {
        const u32 a = f.bits == 4 ? i : 4 * i, by = f.bits == 4 ? 2 : 1;
        one_bytes(w[i], q[a], q[a + by], q[a + 2 * by], q[a + 3 * by]);
    }
    SHARED u32x2 *const to = (SHARED u32x2 *)&x->planes[plane_at(f, unit, product / 2, t, 0)] + product % 2;
    to[0] = (u32x2){w[0][2], w[1][2]};
    to[2] = (u32x2){w[0][1], w[1][1]} ^ 0x80808080;
    to[4] = (u32x2){w[0][0], w[1][0]} ^ 0x80808080;
    if (column % each == 0) {
        const float scale = as_f32(finite ? scale_bits : 0x7fc00000);
        x->factors[column / each * 2] = (f32x4){scale * 65536, scale * 256, 0, 0};
        x->factors[column / each * 2 + 1] = (f32x4){scale, 0, finite ? sum : scale, 0};
    }
}

enum { MOST_TURNS = 3, TURN_COLUMNS = QMV_ONE_THREADS * 8 };
/* Eight columns of each of n turns of `all`, which begin at `from`, or of none; what is beyond `end` is not read. */
INLINE void one_read_turns(eight_raw *to, const GLOBAL u8 *all, u32 type, u64 from, u32 column, u32 end, u32 n) {
    if (all)
        UNROLL for (u32 i = 0; i < n; i++, column += TURN_COLUMNS) if (column < end)
            eight_read(&to[i], all, type, from + column);
}

/* What a launch does before and while it waits: its outputs' residual is on its way behind x. */
typedef struct one_early {
    const one_work *work;
    bool waits; /* for the launch in front */
    one_output output;
    u32 residual; /* its bits */
} one_early;

/* The token's x, with the norm's weights; squares: each warp's part of their sum before these. Loads of `at_once` turns
 * are on their way at once, the weights' before the launch in front is done; normed and both types are constant at
 * compilation, or else at_once is 1. Turns are not unrolled: that is what a launch would wait for. */
INLINE void one_stage_turns(const qmv_part *p, const one_x *x, one_form f, u32 token, SHARED float *squares,
                            u32 at_once, bool normed, u32 type, u32 norm_type, one_early *early) {
    const GLOBAL u8 *const norm = normed ? p->norm : 0;
    const u64 from = (u64)token * p->x_stride;
    float own = 0;
    eight_raw raw[MOST_TURNS], weights[MOST_TURNS];
    one_read_turns(weights, norm, norm_type, 0, tid() * 8, p->k, at_once);
    if (early->waits) previous_done();
    one_read_turns(raw, p->x, type, from, tid() * 8, p->k, at_once);
    early->residual = one_residual_bits(early->work, early->output, token);
    ROLLED for (u32 first = tid() * 8; first < p->k;) {
        ROLLED for (u32 a = 0, column = first; a < at_once && column < p->k; a++, column += TURN_COLUMNS) {
            eight e, w = {{1, 1, 1, 1, 1, 1, 1, 1}};
            eight_of(&e, &raw[0], type);
            if (norm) eight_of(&w, &weights[0], norm_type);
            if (normed) UNROLL for (u32 i = 0; i < 8; i++) {
                    own += e.v[i] * e.v[i];
                    e.v[i] *= p->offset + w.v[i];
                }
            one_put(x, f, &e, column);
            UNROLL for (u32 i = 1; i < at_once; i++) {
                raw[i - 1] = raw[i];
                weights[i - 1] = weights[i];
            }
        }
        first += at_once * TURN_COLUMNS;
        one_read_turns(weights, norm, norm_type, 0, first, p->k, at_once);
        one_read_turns(raw, p->x, type, from, first, p->k, at_once);
    }
    if (!normed) return;
    own = warp_sum(own);
    if (lane_id() == 0) squares[warp_id()] = own;
}
INLINE void one_stage(const qmv_part *p, const one_x *x, one_form f, u32 token, SHARED float *squares,
                      one_early *early) {
    const u32 type = QMV_TYPE(p->types, QMV_X), norm_type = QMV_TYPE(p->types, QMV_NORM);
    if (type == G_F32 && !p->normed)
        one_stage_turns(p, x, f, token, squares, 3, false, G_F32, G_F32, early);
    else if (type == G_F32 && norm_type == G_BF16)
        one_stage_turns(p, x, f, token, squares, 2, true, G_F32, G_BF16, early);
    else
        one_stage_turns(p, x, f, token, squares, 1, p->normed, type, norm_type, early);
}

/* ---- Products -----------------------------------------------------------------------------------------------------
 */

/* Which lanes hold what of operand B, and of the factors; the others' stay zero. */
typedef struct one_lane {
    u32 plane, t;
    bool planes_here[2], factors_here; /* of each set of two blocks */
} one_lane;
INLINE one_lane one_lane_of(one_form f) {
    const u32 column = lane_id() / 4, t = lane_id() % 4, blocks = unit_blocks(f);
    one_lane l = {.plane = column % 4, .t = t};
    const bool plane = column % 4 < 3;
    UNROLL for (u32 set = 0; set < 2; set++) l.planes_here[set] =
        plane && (blocks == 1   ? column < 4
                  : blocks == 2 ? column / 4 == t / 2
                                : t / 2 == set && column / 4 == t % 2);
    l.factors_here = blocks > 1 || t < 2;
    return l;
}

INLINE float one_scale(const u32 *words, one_form f, u32 group, bool either) {
    return half_as_f32(words[group / 2], f.scales, either ? lane_id() % 4 / 2 : group % 2);
}

/* acc: rows g and g + 8, a share in each lane of the four. */
INLINE void one_product(float acc[2], u32x4 codes[MOST_UNITS][2], const one_scales *s, const one_rows *next, bool more,
                        const one_x *x, one_form f, const one_lane *l, u32 step) {
    const u32 sets = unit_blocks(f) == 4 ? 2 : 1, pairs = lane_columns(f) / 16;
    u32x4 b[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    f32x4 factor = {0, 0, 0, 0};
    UNROLL for (u32 u = 0; u < f.units; u++) {
        const u32 unit = step * f.units + u;
        UNROLL for (u32 set = 0; set < sets; set++) {
            i32 c[4] = {0, 0, 0, 0};
            if (sets == 2) b[0] = b[1] = (u32x4){0, 0, 0, 0};
            UNROLL for (u32 pair = 0; pair < pairs; pair++) {
                u32x4 *at = &b[pair % 2];
                shared_load16_if(at, &x->planes[plane_at(f, unit, pair, l->t, l->plane)], l->planes_here[set]);
                UNROLL for (u32 half = 0; half < 2; half++) {
                    u32 a[4];
                    UNROLL for (u32 r = 0; r < 2; r++) {
                        const u32 j = 2 * pair + half;
                        a[r] = f.bits == 4 ? codes[u][r][j] & 0x0f0f0f0f : codes[u][r][2 * j % 4];
                        a[2 + r] = f.bits == 4 ? codes[u][r][j] >> 4 & 0x0f0f0f0f : codes[u][r][(2 * j + 1) % 4];
                    }
                    mma_nv_u8(c, a, (*at)[2 * half], (*at)[2 * half + 1]);
                }
            }
            const u32 blocks = unit_blocks(f), first = u * blocks + 2 * set;
            shared_load16_if((u32x4 *)&factor, (const SHARED u32x4 *)&x->factors[(unit * blocks + 2 * set) * 2 + l->t],
                             l->factors_here);
            UNROLL for (u32 r = 0; r < 2; r++) {
                const u32 group = first * block_columns(f) / f.group_size;
                const float sum = (float)c[2 * r] * factor[0] + (float)c[2 * r + 1] * factor[1];
                acc[r] += one_scale(s->scales[r], f, group, blocks > 1) * sum;
                acc[r] += one_scale(s->biases[r], f, group, blocks > 1) * factor[2];
            }
        }
        if (more) one_load_unit(codes[u], next, u);
    }
}

/* Shared memory; bytes are counted in gpu/qmv.c. sums: [batch % 2][round][warp][row]. */
typedef struct one_places {
    SHARED float *sums, *squares;
    one_x x;
} one_places;
INLINE one_places one_places_of(const qmv_part *p) {
    one_places at;
    at.sums = (SHARED float *)shared_memory();
    at.squares = at.sums + 2 * QMV_ONE_SUMS;
    at.x.planes = (SHARED u32x4 *)(at.squares + QMV_ONE_WARPS);
    at.x.factors = (SHARED f32x4 *)(at.x.planes + p->k * 3 / 16);
    return at;
}

INLINE float one_norm_factor(const qmv_part *p, const SHARED float *squares) {
    return norm_factor(lanes_sum(squares[lane_id() % QMV_ONE_WARPS], QMV_ONE_WARPS), p->k, p->eps);
}

INLINE one_rows one_rows_of(const one_work *w, one_form f, u32 block, u32 tile, u32 step) {
    const u32 part = one_part_of(w, &block);
    return one_rows_at(&w->parts[part], f, block, tile, step);
}

/* A quarter of row `row` of a round's sums: those of every fourth warp, from the one on that has the tile's first step.
 * So which round a tile falls into, which depends on the other tokens, does not matter. */
INLINE float one_quarter(const SHARED float *sums, u32 quarter, u32 row, u32 first) {
    float v = 0;
    UNROLL for (u32 i = 0; i < QMV_ONE_WARPS / 4; i++) v +=
        sums[(first + 4 * i + quarter) % QMV_ONE_WARPS * QMV_ROWS + row];
    return v;
}

/* Sums of a batch that no warp will write: where not every warp has a part of every tile. */
INLINE void one_clear(SHARED float *sums) {
    UNROLL for (u32 i = lane_id(); i < QMV_ONE_ROUNDS * QMV_ROWS; i += WARP)
        sums[(i / QMV_ROWS * QMV_ONE_WARPS + warp_id()) * QMV_ROWS + i % QMV_ROWS] = 0;
}

/* Where the outputs of a token go: of experts. */
typedef struct one_target {
    u32 token, y_at;
    i64 bias_at;
} one_target;

/* The outputs of a batch of the block's rounds, those from `begin` to `end`, four threads for each; o: the thread's,
 * with its residual. Of a gated pair every other warp has summed the second half. */
_Static_assert(QMV_ONE_ROUNDS *QMV_ROWS * 4 == QMV_ONE_THREADS, "four threads for each output of a batch");
INLINE void one_finish(const one_work *w, const SHARED float *all, float norm, one_output o, float residual, u32 begin,
                       u32 end, u32 n_steps, one_target to) {
    const u32 quarter = tid() % 4, i = tid() / 4;
    const qmv_part *p = &w->parts[o.part];
    if (i >= (end - begin) * QMV_ROWS) return;
    const u32 first = (begin + i / QMV_ROWS) * n_steps * (p->act ? 2 : 1);
    float v = one_quarter(all + i / QMV_ROWS * QMV_ONE_WARPS * QMV_ROWS, quarter, i % QMV_ROWS, first) * norm;
    v += shfl_xor(v, 2);
    const float other = shfl_xor(v, 1);
    if (!p->act) v += other;
    if (o.there && quarter == 0) qmv_end(p, v, other, residual, to.token, o.output, to.bias_at, to.y_at);
}

/* The tiles of a block of the launch, of a product with one token; of a gated pair tiles come in twos. Warps run
 * through them on their own and meet when sums are to be added up: those of a tile take its steps in turn and go on
 * counting from tile to tile, so that all have as many. early: the weight is known before the work in front of this
 * launch is done. */
INLINE void one_tiles(const one_work *w, one_form f, one_target to, bool early) {
    const qmv_part *p = w->parts;
    const u32 tiles = p->act ? 2 : 1, tile = warp_id() % tiles, splits = QMV_ONE_WARPS / tiles;
    const u32 n_steps = p->k / one_step_columns(f), start = warp_id() / tiles;
    const one_places at = one_places_of(p);
    const one_lane lane = one_lane_of(f);
    one_rows rows = {0};
    u32x4 codes[MOST_UNITS][2];
    one_scales scales;
    u32 next_round = 0, next_step = start;
    ROLLED for (; next_step >= n_steps; next_round++) next_step -= n_steps;
    if (bid_x() + next_round * w->stride < w->total) {
        rows = one_rows_of(w, f, bid_x() + next_round * w->stride, tile, next_step);
        one_load_scales(&scales, &rows, f);
        UNROLL for (u32 u = 0; u < f.units; u++) one_load_unit(codes[u], &rows, u);
    }
    const u32 mine = (w->total - bid_x() + w->stride - 1) / w->stride; /* rounds */
    if (n_steps < splits) one_clear(at.sums);
    one_early own = {w, early, one_output_of(w, bid_x()), 0};
    one_stage(p, &at.x, f, to.token, at.squares, &own);
    barrier();
    const float norm = p->normed ? one_norm_factor(p, at.squares) : 1;
    /* Sums of two batches of rounds stand side by side: one is still added up while others begin the next one. */
    ROLLED for (u32 begin = 0; begin < mine; begin += QMV_ONE_ROUNDS) {
        const u32 end = begin + QMV_ONE_ROUNDS < mine ? begin + QMV_ONE_ROUNDS : mine;
        SHARED float *const sums = at.sums + begin / QMV_ONE_ROUNDS % 2 * QMV_ONE_SUMS;
        if (begin > 0) {
            if (n_steps < splits) one_clear(sums);
            own.output = one_output_of(w, bid_x() + begin * w->stride);
            own.residual = one_residual_bits(w, own.output, to.token);
        }
        float acc[2] = {0, 0};
        ROLLED while (next_round < end) {
            const u32 round = next_round, step = next_step;
            next_step += splits;
            const bool last = next_step >= n_steps; /* the warp's last step of this tile */
            ROLLED while (next_step >= n_steps) {
                next_step -= n_steps;
                next_round++;
            }
            const bool more = next_round < mine;
            const one_scales now = scales;
            if (!last)
                one_advance(&rows, f, splits);
            else if (more)
                rows = one_rows_of(w, f, bid_x() + next_round * w->stride, tile, next_step);
            if (more) one_load_scales(&scales, &rows, f);
            one_product(acc, codes, &now, &rows, more, &at.x, f, &lane, step);
            if (!last) continue;
            UNROLL for (u32 r = 0; r < 2; r++) {
                const float sum = lanes_sum(acc[r], 4);
                if (lane.t == 0)
                    sums[((round - begin) * QMV_ONE_WARPS + warp_id()) * QMV_ROWS + lane_id() / 4 + 8 * r] = sum;
                acc[r] = 0;
            }
        }
        barrier();
        one_finish(w, sums, norm, own.output, one_residual(w, own.output, own.residual), begin, end, n_steps, to);
    }
}

/* Grid: as many blocks as run at once, or fewer. */
INLINE void one_dense(const struct qmv_params *p, one_form f) {
    one_work w = {.parts = p->part, .n = p->parts.n, .stride = gdim_x()};
    UNROLL for (u32 i = 0; i < GPU_KERNEL_PARTS; i++) {
        w.first[i] = p->parts.first[i];
        if (i < w.n) w.total += p->part[i].blocks;
    }
    one_tiles(&w, f, (one_target){0, 0, 0}, true);
}

/* Grid: blocks of an expert's matrix, pairs of a token and one of its experts. */
INLINE void one_experts(const struct qmv_experts_params *p, one_form f) {
    previous_done();
    const u32 token = bid_y() / p->n_chosen, place = bid_y() % p->n_chosen;
    qmv_part part;
    const u32 e = qmv_expert_of(p, token, place, &part);
    const one_work w = {.parts = &part, .n = 1, .total = part.blocks, .stride = gdim_x()};
    one_tiles(&w, f, (one_target){token, place * p->y_each, (i64)e * part.n}, false);
}

#    define QMV_ONE_KERNELS(name, bits, group_size, units, scales)                                                     \
        KERNEL void name(struct qmv_params p) {                                                                        \
            one_dense(&p, (one_form){bits, group_size, units, scales});                                                \
        }                                                                                                              \
        KERNEL void name##_experts(struct qmv_experts_params p) {                                                      \
            one_experts(&p, (one_form){bits, group_size, units, scales});                                              \
        }

#endif
#endif
