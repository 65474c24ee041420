/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/qmv.h"

#include <stddef.h>

#include "base/num.h"
#include "gpu/kernels/reduce_params.h"
#include "gpu/weight.h"

_Static_assert(sizeof(struct qmv_any_params) <= GPU_MAX_PARAMS, "params fit");
_Static_assert(sizeof(struct qmv_params) <= GPU_MAX_PARAMS && sizeof(struct qmv_experts_params) <= GPU_MAX_PARAMS,
               "params fit");
_Static_assert(offsetof(struct qmv_params, part) == GPU_PARTS_AT, "parts begin where gpu_join puts them");
_Static_assert(offsetof(struct qmv_any_params, part) == GPU_PARTS_AT, "parts begin where gpu_join puts them");

int qmv_group_index(const kweight *w) {
    return w->group_size == 32 ? 0 : w->group_size == 64 ? 1 : 2;
}

bool qmv_any_takes(const kcall *c) {
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && (!c->z.data || is_stored_float(c->z.type));
}

/* outputs: rows of the weight that a warp computes at a time, one of each half of a gated pair. */
static void add_any(const gpu_kernel *k, const kcall *c, int outputs, size_t shared, void *table, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, table, to);
    const bool experts = c->op == KOP_MATMUL_EXPERTS;
    const int64_t n_chosen = experts ? c->n_chosen : 1, warps = QMV_ANY_THREADS / to->traits->warp;
    const qmv_any_part p = {.x = gpu_mat_of(&c->x),
                            .y = gpu_mat_of(&c->y),
                            .z = gpu_mat_of(&c->z),
                            .residual = gpu_mat_of(&c->residual),
                            .bias = gpu_vec_of(&c->weight),
                            .norm = gpu_vec_of(&c->weight2),
                            .w = w,
                            .k = w.k,
                            .type = w.type,
                            .group_size = w.group_size,
                            .mode = (u32)c->w->mode,
                            .bits = (u32)c->w->bits,
                            .act = (u32)c->act,
                            .n_chosen = (u32)n_chosen,
                            .own_x = experts && c->x.cols != c->w->k,
                            .normed = c->normed,
                            .eps = c->eps,
                            .offset = c->offset};
    const int64_t tasks = c->act ? c->w->n / 2 : div_up(c->w->n, outputs);
    if (c->y.rows > 0 && tasks > 0)
        gpu_add_part(to, k, div_up(tasks, warps), min_i64(c->y.rows * n_chosen, 65535), 1, QMV_ANY_THREADS, shared, &p);
}

void qmv_add_any(const kcall *c, void *table, gpu_launches *to) {
    static const gpu_kernel k = {
        .module = "qmv_any", .name = "qmv_any", .part_size = sizeof(qmv_any_part), .same = offsetof(qmv_any_part, w)};
    add_any(&k, c, 1, 0, table, to);
}

/* ---- 16 bytes at a time ------------------------------------------------------------------------------------------ */

#define FMA_KERNEL(name_, mode, bits)                                                                                  \
    {.module = "qmv_fma",                                                                                              \
     .name = "qmv_fma_" #name_,                                                                                        \
     .part_size = sizeof(qmv_any_part),                                                                                \
     .same = offsetof(qmv_any_part, w)},
static const gpu_kernel k_fma[] = {QMV_FMA_WEIGHTS(FMA_KERNEL)};

bool qmv_fma_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    if (w->mode != (wmode)row->param[QMV_PARAM_MODE] || !qmv_any_takes(c)) return false;
    if (w->mode == W_PLAIN) return w->k % 8 == 0 && gpu_weight_aligned(w, 16, 1);
    return w->bits == row->param[QMV_PARAM_BITS] && w->k % w->group_size == 0 &&
           (w->group_size & (w->group_size - 1)) == 0 &&
           gpu_weight_aligned(w, 16, w->mode == W_AFFINE ? dtype_size(w->type) : 1);
}

void qmv_add_fma(const krow *row, const kcall *c, void *table, gpu_launches *to) {
    const size_t columns = (size_t)min_i64(round_up(c->w->k, 32), QMV_FMA_CHUNK);
    const size_t floats = REDUCE_FLOATS + columns / 32 * QMV_FMA_UNIT_FLOATS;
    add_any(&k_fma[row->param[QMV_PARAM_WHICH]], c, 2, floats * sizeof(float), table, to);
}

/* ---- Matrix units of NVIDIA ------------------------------------------------------------------------------------- */

/* A weight's kernels, for each size of groups. */
typedef enum mma_use { FOR_TOKENS, FOR_ONE, FOR_EXPERTS, MMA_USES } mma_use;
enum { SIZES = 3 };
typedef struct mma_kernels {
    gpu_kernel of[SIZES][MMA_USES];
} mma_kernels;
#define SIZE(name_, group)                                                                                             \
    {                                                                                                                  \
        {.module = "qmv_mma_" #name_, .name = "qmv_" #name_ "_" #group, .part_size = sizeof(qmv_part)},                \
            {.module = "qmv_mma_" #name_, .name = "qmv_" #name_ "_" #group "_one", .part_size = sizeof(qmv_part)}, {   \
            .module = "qmv_mma_" #name_, .name = "qmv_" #name_ "_" #group "_experts"                                   \
        }                                                                                                              \
    }
#define KERNELS(name_, mode, bits) {{SIZE(name_, 32), SIZE(name_, 64), SIZE(name_, 128)}},
static const mma_kernels k_mma[] = {QMV_MMA_WEIGHTS(KERNELS)};

static const gpu_kernel *mma_kernel(const krow *row, const kcall *c, mma_use use) {
    return &k_mma[row->param[QMV_PARAM_WHICH]].of[qmv_group_index(c->w)][use];
}

bool qmv_mma_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    const size_t lane = (size_t)(w->group_size * w->bits / 32); /* bytes that a lane reads at once */
    if (w->mode != (wmode)row->param[QMV_PARAM_MODE] || w->bits != row->param[QMV_PARAM_BITS] || lane < 4 ||
        c->x.rows < 1 || c->x.rows > QMV_MOST)
        return false;
    if (!qmv_any_takes(c) || c->x.stride > INT32_MAX || c->y.stride > INT32_MAX || c->residual.stride > INT32_MAX)
        return false;
    return gpu_weight_aligned(w, lane < 16 ? lane : 16, w->mode == W_AFFINE ? dtype_size(w->type) : 1);
}

/* Tiles of a block, by the number of tiles that there are: fewer leave no processor idle, and let blocks end
 * together. */
static u32 row_tiles_of(const kweight *w, bool act, bool experts) {
    const u32 most = w->n >= 65536 ? 4 : w->n > 8192 || experts ? 2 : 1;
    return act && most < 2 ? 2 : most;
}

static i64 tokens_of(const kcall *c) {
    return c->op == KOP_MATMUL_EXPERTS ? 1 : min_i64(c->x.rows, QMV_COLUMNS);
}

/* Two blocks of a processor share its memory. */
static u32 chunk_of(const kcall *c, const gpu_traits *traits) {
    const i64 one = traits->shared_max >= QMV_LARGE_SHARED ? QMV_CHUNK_LARGE : QMV_CHUNK_ONE;
    const i64 tokens = tokens_of(c), most = tokens == 1 ? one : tokens <= 4 ? QMV_CHUNK : QMV_CHUNK / 2;
    return (u32)min_i64(most, (i64)round_up((size_t)c->w->k, QMV_CHUNK_STEP));
}

static size_t shared_of(const kcall *c, const gpu_traits *traits) {
    const size_t chunk = chunk_of(c, traits), tokens = (size_t)tokens_of(c);
    const size_t sums = 2 * QMV_SUMS + QMV_WARPS * QMV_COLUMNS;
    return sums * sizeof(float) + chunk * 6 * tokens + chunk / (size_t)c->w->group_size * tokens * sizeof(float);
}

qmv_part qmv_part_for(const kcall *c, const gpu_weight *w, const gpu_traits *traits) {
    const u32 types[] = {
        [QMV_X] = (u32)c->x.type,         [QMV_Y] = (u32)c->y.type,          [QMV_RESIDUAL] = (u32)c->residual.type,
        [QMV_BIAS] = (u32)c->weight.type, [QMV_NORM] = (u32)c->weight2.type, [QMV_SCALE] = w->type};
    qmv_part p = {.codes = w->codes,
                  .scales = w->scales,
                  .biases = w->biases,
                  .x = c->x.data,
                  .bias = c->weight.data,
                  .norm = c->weight2.data,
                  .residual = c->residual.data,
                  .y = c->y.data,
                  .x_stride = (u32)c->x.stride,
                  .y_stride = (u32)c->y.stride,
                  .residual_stride = (u32)c->residual.stride,
                  .n = w->n,
                  .k = w->k,
                  .rows = (u32)c->x.rows,
                  .act = (u32)c->act,
                  .row_tiles = row_tiles_of(c->w, c->act != ACT_NONE, c->op == KOP_MATMUL_EXPERTS),
                  .chunk = chunk_of(c, traits),
                  .normed = c->normed,
                  .eps = c->eps,
                  .offset = c->offset};
    for (u32 i = 0; i < sizeof types / sizeof *types; i++) p.types |= types[i] << 4 * i;
    return p;
}

/* Of a gated pair, half of a block's tiles are the second half's. */
static i64 blocks_of(const qmv_part *p) {
    return p->act ? div_up(p->n / 2, QMV_ROWS * p->row_tiles / 2) : div_up(p->n, QMV_ROWS * p->row_tiles);
}

/* Blocks that are launched for each of `columns` tiles of tokens: as many as the device runs at once, two on a
 * processor. */
static i64 launched_of(qmv_part *p, i64 columns, const gpu_traits *traits) {
    const i64 room = max_i64(1, 2 * traits->n_processors / columns);
    p->blocks = (u32)blocks_of(p);
    p->stride = (u32)min_i64(p->blocks, room);
    return p->stride;
}

void qmv_add_mma(const krow *row, const kcall *c, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, NULL, to);
    qmv_part p = qmv_part_for(c, &w, to->traits);
    const i64 columns = div_up(p.rows, QMV_COLUMNS), launched = launched_of(&p, columns, to->traits);
    if (launched > 0)
        gpu_add_part(to, mma_kernel(row, c, p.rows == 1 ? FOR_ONE : FOR_TOKENS), launched, columns, 1, QMV_THREADS,
                     shared_of(c, to->traits), &p);
}

static void add_experts(const kcall *c, const gpu_kernel *k, const gpu_weight *w, const qmv_part *part, i64 launched,
                        int threads, size_t shared, gpu_launches *to) {
    const struct qmv_experts_params p = {.part = *part,
                                         .z = c->z.data,
                                         .z_stride = c->z.stride,
                                         .codes_step = w->codes_step,
                                         .scales_step = w->scales_step,
                                         .table = w->table,
                                         .z_type = (u32)c->z.type,
                                         .n_chosen = (u32)c->n_chosen,
                                         .own_x = c->x.cols != c->w->k,
                                         .y_each = (u32)(c->act ? c->w->n / 2 : c->w->n)};
    gpu_add(to, k, launched, c->x.rows * c->n_chosen, 1, threads, shared, &p, sizeof p);
}

void qmv_add_mma_experts(const krow *row, const kcall *c, void *table, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, table, to);
    qmv_part part = qmv_part_for(c, &w, to->traits);
    add_experts(c, mma_kernel(row, c, FOR_EXPERTS), &w, &part, launched_of(&part, c->x.rows * c->n_chosen, to->traits),
                QMV_THREADS, shared_of(c, to->traits), to);
}

/* ---- One token, on NVIDIA's units for integers ---------------------------------------------------------------------
 */

/* Of a step of four units of columns, and of two. Whether there is such a kernel, one_units says. */
typedef struct one_kernels {
    gpu_kernel dense, experts;
} one_kernels;
#define ONE_UNITS(bits, scales, group, units)                                                                          \
    {                                                                                                                  \
        {.module = "qmv_one_affine" #bits "_" #scales "_" #group,                                                      \
         .name = "qmv_one_affine" #bits "_" #scales "_" #group "_" #units,                                             \
         .part_size = sizeof(qmv_part),                                                                                \
         .same = offsetof(qmv_part, codes),                                                                            \
         .block_max = QMV_ONE_THREADS},                                                                                \
        {                                                                                                              \
            .module = "qmv_one_affine" #bits "_" #scales "_" #group,                                                   \
            .name = "qmv_one_affine" #bits "_" #scales "_" #group "_" #units "_experts", .block_max = QMV_ONE_THREADS  \
        }                                                                                                              \
    }
#define ONE(bits, scales, group)                                                                                       \
    { ONE_UNITS(bits, scales, group, 4), ONE_UNITS(bits, scales, group, 2) }
#define ONE_SIZES(bits, scales)                                                                                        \
    { ONE(bits, scales, 32), ONE(bits, scales, 64), ONE(bits, scales, 128) }
/* By bits, type of scales, size of groups. */
static const one_kernels k_one[2][2][SIZES][2] = {{ONE_SIZES(4, f16), ONE_SIZES(4, bf16)},
                                                  {ONE_SIZES(8, f16), ONE_SIZES(8, bf16)}};

static int unit_columns(const kweight *w) {
    return 512 / w->bits;
}

/* Whether there are kernels whose steps have so many units, of which k is a multiple. */
static bool has_units(const kweight *w, int units) {
    const int none = units == 4 ? 128 : 1024; /* too many scales in a step, or half a word of them */
    return w->bits * w->group_size != none && w->k % (units * unit_columns(w)) == 0;
}

/* Of a step. Larger ones make less work and ask for more at a time; few columns of few outputs are better cut into
 * smaller ones. Products of one x, which can be joined, are too small for the number of outputs to count. */
static int one_units(const kweight *w) {
    const bool large = kweight_long_rows(w) || kweight_many_outputs(w);
    return has_units(w, 4) && (!has_units(w, 2) || large) ? 4 : 2;
}

static const one_kernels *one_of(const kweight *w) {
    return &k_one[w->bits == 8][w->type == DT_BF16][qmv_group_index(w)][one_units(w) == 2];
}

bool qmv_one_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w, *first = w->experts ? w->experts : w;
    if (w->mode != W_AFFINE || w->bits != row->param[QMV_PARAM_BITS] || dtype_size(w->type) != 2 || !first->biases)
        return false;
    if (w->group_size != 32 && w->group_size != 64 && w->group_size != 128) return false;
    enum { OF_A_WARP = 256 }; /* columns of x that a warp stages at a time */
    if ((!has_units(w, 4) && !has_units(w, 2)) || w->k % OF_A_WARP != 0 || w->k > row->param[QMV_PARAM_MOST] ||
        c->x.rows < 1 || !qmv_any_takes(c))
        return false;
    if (c->x.stride > INT32_MAX || c->y.stride > INT32_MAX || c->residual.stride > INT32_MAX) return false;
    return (w->experts || c->x.rows == 1) && gpu_weight_aligned(w, 16, 16) && gpu_mat_aligned(&c->x, 16) &&
           (uintptr_t)c->weight2.data % 16 == 0;
}

static size_t one_shared_of(const kweight *w) {
    const int64_t units = w->k / unit_columns(w), sets = w->group_size * 4 == unit_columns(w) ? 2 : 1;
    const int64_t pairs = w->bits == 4 ? 2 : 1, floats = 2 * QMV_ONE_SUMS + QMV_ONE_WARPS + units * sets * 8;
    return (size_t)floats * sizeof(float) + (size_t)(units * pairs) * qmv_one_places((u32)w->bits) * 16;
}

/* A block has one tile at a time, or a gated pair of them. */
static qmv_part one_part_of(const kcall *c, const gpu_weight *w, const gpu_traits *traits) {
    qmv_part p = qmv_part_for(c, w, traits);
    p.row_tiles = c->act ? 2 : 1;
    p.blocks = (u32)blocks_of(&p);
    return p;
}

void qmv_add_one(const kcall *c, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, NULL, to);
    const qmv_part p = one_part_of(c, &w, to->traits);
    if (p.blocks > 0)
        gpu_add_turns(to, &one_of(c->w)->dense, p.blocks, to->traits->n_processors, QMV_ONE_THREADS,
                      one_shared_of(c->w), &p);
}

void qmv_add_one_experts(const kcall *c, void *table, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, table, to);
    const qmv_part part = one_part_of(c, &w, to->traits);
    const i64 room = max_i64(1, to->traits->n_processors / (c->x.rows * c->n_chosen));
    add_experts(c, &one_of(c->w)->experts, &w, &part, min_i64(part.blocks, room), QMV_ONE_THREADS, one_shared_of(c->w),
                to);
}
