/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one token with affine weights of 4 or 8 bits on NVIDIA's matrix units for integers, which take bytes of
 * codes as they are stored. x is operand B as integers of 23 bits with a scale for each block of columns, in signed
 * bytes that are columns of B, so that the sums of a block are exact; two blocks stand side by side in the eight
 * columns. With codes of 8 bits these are three bytes. A byte b of two codes of 4 bits is 16 h + l, and h x1 + l x0 is
 * (b x1 + l (16 x0 - x1)) / 16: so only low codes are masked, and what they are multiplied with has four bytes. A warp
 * streams 16 rows of the weight: a lane's next 16 bytes of a row are on their way as soon as the last ones have been
 * used. */
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
 * Blocks of the launch before `whole` are of the same part and have all their rows. */
typedef struct one_rows {
    const GLOBAL u8 *codes, *scales;
    u32 codes_8, scales_8, whole;
    i64 biases;
} one_rows;

/* Bytes of codes and of scales: of so many steps of a row; of so many rows. */
typedef struct one_distance {
    u32 codes, scales;
} one_distance;
INLINE one_distance one_steps(one_form f, u32 n) {
    return (one_distance){n * f.units * 64, n * scale_words(f) * 4};
}
INLINE one_distance one_full_rows(const qmv_part *p, one_form f, u32 n) {
    return (one_distance){n * (p->k / 8 * f.bits), n * (p->k / f.group_size * 2)};
}
INLINE void one_advance(one_rows *r, one_distance by) {
    r->codes += by.codes;
    r->scales += by.scales;
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

/* A launch's blocks of tiles: those of several products with the same x, one behind the other. What parts share is
 * read from the first one, whose place is known at compilation. */
typedef struct one_work {
    const qmv_part *parts;
    u32 n, first[GPU_KERNEL_PARTS]; /* first[i]: where part i begins; [0] is not used */
    u32 total, stride;              /* a block of the launch takes each stride-th */
} one_work;
/* The part of a block; its number there. */
INLINE u32 one_part_of(const one_work *w, u32 *block) {
    const u32 at = *block;
    u32 part = 0;
    if (w->n > 1) UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < w->n && at >= w->first[i]) {
            part = i;
            *block = at - w->first[i];
        }
    return part;
}
/* Outputs of a part; of a gated pair, halves of the weight. */
INLINE u32 one_outputs(const one_work *w, u32 part) {
    return w->parts[part].n >> (w->parts->act ? 1 : 0);
}

/* The lane's rows of a block's tile, from a step on; beyond the last row it is the last one again. A launch's first
 * loads wait for this, and for every instruction of it to come from memory. */
INLINE one_rows one_rows_of(const one_work *w, one_form f, u32 block, u32 tile, u32 step) {
    const u32 at = block, part = one_part_of(w, &block);
    const qmv_part *p = &w->parts[part];
    const u32 n = one_outputs(w, part), row = block * QMV_ROWS + lane_id() / 4, k = w->parts->k;
    const u32 here = row < n ? row : n - 1, further = (row + 8 < n ? row + 8 : n - 1) - here, own = tile * n + here;
    const u32 groups = k / f.group_size, row_bytes = k / 8 * f.bits;
    return (one_rows){
        .codes = p->codes + (u64)own * row_bytes + (step * f.units * 64 + lane_id() % 4 * 16),
        .scales = p->scales + ((u64)own * (groups * 2) + step * 4 * scale_words(f)),
        .codes_8 = further * row_bytes,
        .scales_8 = further * groups * 2,
        .whole = at - block + n / QMV_ROWS,
        .biases = (i64)p->biases - (i64)p->scales,
    };
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
    return (one_output){part, output, inside && output < one_outputs(w, part)};
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

/* Bytes of x as lanes take them, by unit and pair of products: [t][plane], 16 bytes each, the highest bytes first. By
 * unit and set of two blocks, [t]: what the lane's sums, 256 times those of one plane and those of the next, are
 * multiplied with; the block's sum, for the bias, in one lane of the two that have a block. */
typedef struct one_x {
    SHARED u32x4 *planes;
    SHARED f32x2 *factors;
} one_x;
INLINE u32 one_planes(one_form f) {
    return f.bits == 4 ? 4 : 3;
}
INLINE u32 unit_pairs(one_form f) {
    return lane_columns(f) / 16;
}
INLINE u32 unit_sets(one_form f) {
    return unit_blocks(f) == 4 ? 2 : 1;
}
INLINE u32 plane_at(one_form f, u32 unit, u32 pair, u32 t, u32 plane) {
    return (unit * unit_pairs(f) + pair) * qmv_one_places(f.bits) + t * one_planes(f) + plane;
}

/* The bytes of four numbers, the highest ones first. */
INLINE void one_bytes(u32 to[4], u32 a, u32 b, u32 c, u32 d) {
    const u32 ab = pick_bytes(a, b, 0x5140), cd = pick_bytes(c, d, 0x5140);
    const u32 high_ab = pick_bytes(a, b, 0x7362), high_cd = pick_bytes(c, d, 0x7362);
    to[0] = pick_bytes(high_ab, high_cd, 0x7632);
    to[1] = pick_bytes(high_ab, high_cd, 0x5410);
    to[2] = pick_bytes(ab, cd, 0x7632);
    to[3] = pick_bytes(ab, cd, 0x5410);
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
    const bool low_codes = f.bits == 4;
    u32 q[8];
    UNROLL for (u32 i = 0; i < 8; i++) q[i] = as_u32(e->v[i] * inverse + 12582912.0f) - 0x4b400000u; /* 1.5 * 2^23 */
    if (low_codes) UNROLL for (u32 i = 0; i < 8; i += 2) q[i] = 16 * q[i] - q[i + 1];
    /* Digits of [-128, 127]: with 128 more of all but the highest they are the bytes of a sum. */
    UNROLL for (u32 i = 0; i < 8; i++) q[i] += low_codes ? 0x808080u : 0x8080u;
    /* A product's first half takes the columns of low codes, 0, 2, 4, 6, or the first four; its second the others. */
    const u32 unit = column / unit_columns(f), t = column % unit_columns(f) / lane_columns(f);
    const u32 product = column % lane_columns(f) / 8, planes = one_planes(f);
    u32 w[2][4];
    UNROLL for (u32 i = 0; i < 2; i++) {
        const u32 first = low_codes ? i : 4 * i, by = low_codes ? 2 : 1;
        one_bytes(w[i], q[first], q[first + by], q[first + 2 * by], q[first + 3 * by]);
    }
    SHARED u32x2 *const to = (SHARED u32x2 *)&x->planes[plane_at(f, unit, product / 2, t, 0)] + product % 2;
    UNROLL for (u32 i = 0; i < planes; i++) to[2 * i] =
        (u32x2){w[0][i + 4 - planes], w[1][i + 4 - planes]} ^ (i > 0 ? 0x80808080 : 0);
    if (column % each > 0) return;
    /* What one of the lowest digit is worth; of three, each lane's second one is 1/256 of its first. */
    const float one = as_f32(finite ? scale_bits : 0x7fc00000) / (low_codes ? 16 : 256);
    SHARED f32x4 *const own =
        (SHARED f32x4 *)(x->factors + unit * unit_sets(f) * 4 + column % unit_columns(f) / each * 2);
    own[0] = (f32x4){one * 65536, 0, one, finite ? sum : one};
    if (unit_blocks(f) == 1) own[1] = (f32x4){0, 0, 0, 0};
}

enum { MOST_TURNS = 3, TURN_COLUMNS = QMV_ONE_THREADS * 8 };
/* Eight columns of each of n turns of `all`, which begin at `from`, or of none; what is beyond `end` is not read. */
INLINE void one_read_turns(eight_raw *to, const GLOBAL u8 *all, u32 type, u64 from, u32 column, u32 end, u32 n) {
    if (all)
        UNROLL for (u32 i = 0; i < n; i++, column += TURN_COLUMNS) if (column < end)
            eight_read(&to[i], all, type, from + column);
}

/* Sums of a batch that no warp will write: where not every warp has a part of every tile. */
INLINE void one_clear(SHARED float *sums) {
    UNROLL for (u32 i = lane_id(); i < QMV_ONE_ROUNDS * QMV_ROWS; i += WARP)
        sums[(i / QMV_ROWS * QMV_ONE_WARPS + warp_id()) * QMV_ROWS + i % QMV_ROWS] = 0;
}

/* A batch of rounds from block `first` of the launch on: sums are cleared if need be, the residual is on its way. */
typedef struct one_batch {
    one_output output;
    u32 residual; /* its bits */
} one_batch;
INLINE one_batch one_begin(const one_work *w, u32 first, u32 token, SHARED float *sums, bool clear) {
    if (clear) one_clear(sums);
    const one_output o = one_output_of(w, first);
    return (one_batch){o, one_residual_bits(w, o, token)};
}

/* What happens while x is on its way: the first batch begins. */
typedef struct one_early {
    const one_work *work;
    bool waits; /* for the launch in front */
    SHARED float *sums;
    bool clear;
    one_batch batch;
} one_early;

/* The token's x, with the norm's weights; squares: each warp's part of their sum before these. Loads of `at_once` turns
 * are on their way at once, the weights' before the launch in front is done; normed and both types are constant at
 * compilation, or else at_once is 1. */
INLINE void one_stage_turns(const qmv_part *p, const one_x *x, one_form f, u32 token, SHARED float *squares,
                            u32 at_once, bool normed, u32 type, u32 norm_type, one_early *early) {
    const GLOBAL u8 *const norm = normed ? p->norm : 0;
    const u64 from = (u64)token * p->x_stride;
    float own = 0;
    eight_raw raw[MOST_TURNS], weights[MOST_TURNS];
    one_read_turns(weights, norm, norm_type, 0, tid() * 8, p->k, at_once);
    if (early->waits) previous_done();
    one_read_turns(raw, p->x, type, from, tid() * 8, p->k, at_once);
    early->batch = one_begin(early->work, bid_x(), token, early->sums, early->clear);
    ROLLED for (u32 first = tid() * 8; first < p->k;) {
        UNROLL for (u32 a = 0; a < at_once; a++) {
            const u32 column = first + a * TURN_COLUMNS;
            if (column >= p->k) break;
            eight e, w = {{1, 1, 1, 1, 1, 1, 1, 1}};
            eight_of(&e, &raw[a], type);
            if (norm) eight_of(&w, &weights[a], norm_type);
            if (normed) UNROLL for (u32 i = 0; i < 8; i++) {
                    own += e.v[i] * e.v[i];
                    e.v[i] *= p->offset + w.v[i];
                }
            one_put(x, f, &e, column);
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

/* Which of operand B a lane holds; here: of each set of two blocks, whether it has any: the others' stays zero. */
typedef struct one_lane {
    u32 plane, t;
    bool here[2];
} one_lane;
INLINE one_lane one_lane_of(one_form f) {
    const u32 column = lane_id() / 4, t = lane_id() % 4, blocks = unit_blocks(f);
    one_lane l = {.plane = column % 4, .t = t};
    const bool plane = column % 4 < one_planes(f);
    UNROLL for (u32 set = 0; set < 2; set++) l.here[set] =
        plane && (blocks == 1   ? column < 4
                  : blocks == 2 ? column / 4 == t / 2
                                : t / 2 == set && column / 4 == t % 2);
    return l;
}

INLINE float one_scale(const u32 *words, one_form f, u32 group, bool either) {
    return half_as_f32(words[group / 2], f.scales, either ? lane_id() % 4 / 2 : group % 2);
}

/* acc: rows g and g + 8, a share in each lane of the four. */
INLINE void one_product(float acc[2], u32x4 codes[MOST_UNITS][2], const one_scales *s, const one_rows *next, bool more,
                        const one_x *x, one_form f, const one_lane *l, u32 step) {
    const u32 sets = unit_sets(f), pairs = unit_pairs(f), blocks = unit_blocks(f);
    const SHARED u32x4 *const planes =
        x->planes + plane_at(f, 0, 0, l->t, l->plane) + plane_at(f, step * f.units, 0, 0, 0);
    const SHARED f32x2 *const factors = x->factors + l->t + step * (f.units * sets * 4);
    u32x4 b[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    UNROLL for (u32 u = 0; u < f.units; u++) {
        UNROLL for (u32 set = 0; set < sets; set++) {
            i32 c[4] = {0, 0, 0, 0};
            if (sets == 2) b[0] = b[1] = (u32x4){0, 0, 0, 0};
            UNROLL for (u32 pair = 0; pair < pairs; pair++) {
                u32x4 *at = &b[pair % 2];
                shared_load16_if(at, planes + plane_at(f, u, pair, 0, 0), l->here[set]);
                UNROLL for (u32 half = 0; half < 2; half++) {
                    u32 a[4];
                    UNROLL for (u32 r = 0; r < 2; r++) {
                        const u32 j = 2 * pair + half;
                        a[r] = f.bits == 4 ? codes[u][r][j] & 0x0f0f0f0f : codes[u][r][2 * j % 4];
                        a[2 + r] = f.bits == 4 ? codes[u][r][j] : codes[u][r][(2 * j + 1) % 4];
                    }
                    mma_nv_u8(c, a, (*at)[2 * half], (*at)[2 * half + 1]);
                }
            }
            const f32x2 factor = factors[(u * sets + set) * 4];
            const u32 group = (u * blocks + 2 * set) * block_columns(f) / f.group_size;
            UNROLL for (u32 r = 0; r < 2; r++) {
                const float sum = (float)(c[2 * r] * 256 + c[2 * r + 1]) * factor[0];
                acc[r] += one_scale(s->scales[r], f, group, blocks > 1) * sum;
                acc[r] += one_scale(s->biases[r], f, group, blocks > 1) * factor[1];
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
INLINE one_places one_places_of(const qmv_part *p, one_form f) {
    one_places at;
    at.sums = (SHARED float *)shared_memory();
    at.squares = at.sums + 2 * QMV_ONE_SUMS;
    at.x.planes = (SHARED u32x4 *)(at.squares + QMV_ONE_WARPS);
    at.x.factors = (SHARED f32x2 *)(at.x.planes + plane_at(f, p->k / unit_columns(f), 0, 0, 0));
    return at;
}

INLINE float one_norm_factor(const qmv_part *p, const SHARED float *squares) {
    return norm_factor(lanes_sum(squares[lane_id() % QMV_ONE_WARPS], QMV_ONE_WARPS), p->k, p->eps);
}

/* A quarter of row `row` of a round's sums: those of every fourth warp, from the one on that has the tile's first step.
 * So which round a tile falls into, which depends on the other tokens, does not matter. */
INLINE float one_quarter(const SHARED float *sums, u32 quarter, u32 row, u32 first) {
    float v = 0;
    UNROLL for (u32 i = 0; i < QMV_ONE_WARPS / 4; i++) v +=
        sums[(first + 4 * i + quarter) % QMV_ONE_WARPS * QMV_ROWS + row];
    return v;
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
    const one_places at = one_places_of(p, f);
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
    /* From step to step of a tile, and from behind a row to the beginning of the next tile's. */
    const one_distance by_step = one_steps(f, splits), by_tile = one_full_rows(p, f, w->stride * QMV_ROWS - 1);
    one_early begun = {.work = w, .waits = early, .sums = at.sums, .clear = n_steps < splits};
    one_stage(p, &at.x, f, to.token, at.squares, &begun);
    one_batch batch = begun.batch;
    barrier();
    const float norm = p->normed ? one_norm_factor(p, at.squares) : 1;
    /* Sums of two batches of rounds stand side by side: one is still added up while others begin the next one. */
    ROLLED for (u32 begin = 0; begin < mine; begin += QMV_ONE_ROUNDS) {
        const u32 end = begin + QMV_ONE_ROUNDS < mine ? begin + QMV_ONE_ROUNDS : mine;
        SHARED float *const sums = at.sums + begin / QMV_ONE_ROUNDS % 2 * QMV_ONE_SUMS;
        if (begin > 0) batch = one_begin(w, bid_x() + begin * w->stride, to.token, sums, begun.clear);
        float acc[2] = {0, 0};
        ROLLED while (next_round < end) {
            const u32 round = next_round, step = next_step;
            next_step += splits;
            one_advance(&rows, by_step);
            const bool last = next_step >= n_steps; /* the warp's last step of this tile */
            ROLLED while (next_step >= n_steps) {
                next_step -= n_steps;
                next_round++;
                one_advance(&rows, by_tile);
            }
            const bool more = next_round < mine;
            const one_scales now = scales;
            const u32 block = bid_x() + next_round * w->stride;
            if (last && more && block >= rows.whole) rows = one_rows_of(w, f, block, tile, next_step);
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
        one_finish(w, sums, norm, batch.output, one_residual(w, batch.output, batch.residual), begin, end, n_steps, to);
    }
}

/* Grid: as many blocks as run at once, or fewer. */
INLINE void one_dense(const struct qmv_params *p, one_form f) {
    one_work w = {.parts = p->part, .n = p->parts.n, .total = p->part[0].blocks, .stride = gdim_x()};
    if (w.n > 1) UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) {
            w.first[i] = p->parts.first[i];
            if (i < w.n) w.total = w.first[i] + p->part[i].blocks;
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
