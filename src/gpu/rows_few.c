/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units, as fast as memory gives the weight (kernels/few_stage.h): up to 16
 * in integers, more of them in 16 bits. */
#include <stddef.h>

#include "base/num.h"
#include "gpu/kernels/few_params.h"
#include "gpu/qmm.h"
#include "gpu/qmv.h"
#include "gpu/rows.h"
#include "quant/xform.h"

_Static_assert(sizeof(struct few_params) <= GPU_MAX_PARAMS, "params fit");
_Static_assert(offsetof(struct few_params, part) == GPU_PARTS_AT, "parts begin where gpu_join puts them");

static const gpu_kernel k_sum = {.module = "few_sum", .name = "few_sum", .part_size = sizeof(few_part)};

/* ---- How a product is cut -----------------------------------------------------------------------------------------
 */

enum {
    PROCESSORS = 132, /* of a large device; each has BLOCKS at once */
    BLOCKS = 2,
    BLOCK_OWN = 2048 /* bytes that the driver adds to all of them */
};

/* Into how many parts the terms are cut, by the weight's shape alone: what a token's sum is made of does not depend on
 * the batch. The time that the processor with the most units takes is made least, in steps of one of two blocks (a
 * block alone takes 1.3 for each; figures of an H200); units begin and end, and parts have to be added up. */
static i64 splits_of(const kweight *w) {
    const i64 steps = w->k / FEW_K, blocks = div_up(w->n, FEW_ROWS);
    i64 best = 1;
    double least = 0;
    for (i64 splits = 1; splits <= steps; splits++) {
        const i64 each = div_up(steps, splits), units = div_up(blocks * splits, PROCESSORS);
        if (div_up(steps, each) != splits) continue; /* some would have nothing to do */
        const double adding = splits > 1 ? 0.3 + 0.09 / 4096 * (double)(splits * w->n) : 0;
        const double time = ((double)units + (units % 2 ? 0.3 : 0)) * (double)each + 0.5 * (double)units + adding;
        if (splits > 1 && time >= least) continue;
        least = time;
        best = splits;
    }
    return best;
}

static size_t scratch_bytes(const krow *row, const kcall *c) {
    (void)row;
    const i64 splits = splits_of(c->w);
    return splits > 1 ? (size_t)(splits * c->x.rows * c->w->n) * sizeof(float) : 0;
}

static void add(const kcall *c, const gpu_kernel *k, const few_shape *shape, few_part *p, void *scratch,
                gpu_launches *to) {
    const i64 splits = splits_of(c->w);
    const u32 stage = few_stage_bytes(shape);
    const i64 room = (i64)((to->traits->shared_max - BLOCK_OWN) / 2 / stage),
              one_alone = (i64)(to->traits->shared_max / stage);
    const gpu_weight w = gpu_weight_of(c->w, NULL, to);
    const GLOBAL u8 *x = p->of.x;
    p->of = qmv_part_for(c, &w, to->traits);
    p->of.x = x;
    p->of.blocks = (u32)(c->act ? div_up(c->w->n / 2, FEW_ROWS / 2) : div_up(c->w->n, FEW_ROWS));
    p->sums = splits > 1 ? scratch : NULL;
    p->splits = (u32)splits;
    p->stages = (u32)min_i64(FEW_STAGES, max_i64(room, min_i64(one_alone, 2)));
    p->scale_bytes = shape->scale_bytes;
    const i64 units = p->of.blocks * splits * div_up(c->x.rows, shape->tokens);
    if (units == 0) return;
    gpu_add_turns(to, k, units, 2 * to->traits->n_processors, FEW_THREADS, p->stages * stage, p);
    if (splits > 1) gpu_add_part(to, &k_sum, div_up(c->y.cols, FEW_SUM_THREADS), c->x.rows, 1, FEW_SUM_THREADS, 0, p);
}

/* What all rows ask. */
static bool fits(const kcall *c, i64 fewest, i64 most) {
    return c->x.rows >= fewest && c->x.rows <= most && c->w->k % FEW_K == 0 && !c->normed &&
           is_stored_float(c->y.type) && c->y.stride <= INT32_MAX && c->residual.stride <= INT32_MAX &&
           gpu_weight_aligned(c->w, 16, 16);
}

/* ---- In integers --------------------------------------------------------------------------------------------------
 */

/* Rows' params. */
enum { INTS_BITS, INTS_TOKENS };

/* By bits, size of groups, tokens of a tile. */
#define INTS_OF(bits, group, tokens)                                                                                   \
    {                                                                                                                  \
        .module = "few_ints_affine" #bits "_" #group, .name = "few_ints_affine" #bits "_" #group "_" #tokens,          \
        .part_size = sizeof(few_part), .same = offsetof(few_part, of)                                                  \
    }
#define INTS_GROUP(bits, group)                                                                                        \
    { INTS_OF(bits, group, 8), INTS_OF(bits, group, 16) }
#define INTS_BITS_OF(bits)                                                                                             \
    { INTS_GROUP(bits, 32), INTS_GROUP(bits, 64), INTS_GROUP(bits, 128) }
static const gpu_kernel k_ints[2][3][2] = {INTS_BITS_OF(4), INTS_BITS_OF(8)};

static bool ints_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    if (w->mode != W_AFFINE || w->bits != row->param[INTS_BITS] || dtype_size(w->type) != 2 || !w->biases) return false;
    return (w->group_size == 32 || w->group_size == 64 || w->group_size == 128) && c->x.group == w->group_size &&
           fits(c, 2, row->param[INTS_TOKENS]);
}

static void ints_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const kweight *w = c->w;
    const int tokens = row->param[INTS_TOKENS], size = qmv_group_index(w);
    const few_shape shape = few_ints_shape((u32)w->bits, (u32)w->group_size, (u32)tokens);
    few_part p = {.of.x = (const GLOBAL u8 *)xform_codes(&c->x, 0),
                  .x_scales = (const GLOBAL u8 *)xform_scales(&c->x),
                  .x_row = (u32)w->k * XFORM_PLANES};
    add(c, &k_ints[w->bits == 8][size][tokens > 8], &shape, &p, scratch, to);
}

/* ---- In 16 bits ---------------------------------------------------------------------------------------------------
 */

enum { FEWEST = 17, MOST = 128, TILE = 32 };

#define KERNELS(file, name_, mode, bits, type_name, type)                                                              \
    {.module = "few_" #file,                                                                                           \
     .name = "few_" #name_ "_" #type_name,                                                                             \
     .part_size = sizeof(few_part),                                                                                    \
     .same = offsetof(few_part, of)},
static const gpu_kernel k_halves[] = {QMM_WEIGHTS(KERNELS)}; /* plain ones are not asked for */

static bool halves_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    return qmm_takes(row, c) && fits(c, FEWEST, MOST) && c->x.stride <= INT32_MAX / 2 &&
           (w->mode != W_AFFINE || (w->biases && (w->group_size == 32 || w->group_size == 64 || w->group_size == 128)));
}

static void halves_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const kweight *w = c->w;
    const bool affine = w->mode == W_AFFINE;
    const u32 scale_bytes = affine ? 2 * FEW_K / (u32)w->group_size : w->mode == W_NVFP4 ? FEW_K / 16 : FEW_K / 32;
    const few_shape shape = few_halves_shape((u32)w->bits, scale_bytes, affine, TILE);
    few_part p = {.of.x = c->x.data, .x_row = (u32)c->x.stride * 2};
    add(c, &k_halves[row->param[QMM_WHICH]], &shape, &p, scratch, to);
}

/* The same on sm_90a: by bits, size of groups, type. */
#define WG(bits, group, type)                                                                                          \
    {                                                                                                                  \
        .module = "few_wg_affine" #bits, .name = "few_wg_affine" #bits "_" #group "_" #type,                           \
        .part_size = sizeof(few_part), .same = offsetof(few_part, of)                                                  \
    }
#define WG_GROUP(bits, group)                                                                                          \
    { WG(bits, group, f16), WG(bits, group, bf16) }
#define WG_BITS(bits)                                                                                                  \
    { WG_GROUP(bits, 32), WG_GROUP(bits, 64), WG_GROUP(bits, 128) }
static const gpu_kernel k_wg[2][3][2] = {WG_BITS(4), WG_BITS(8)};

static void wg_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    const kweight *w = c->w;
    const few_shape shape = few_wg_shape((u32)w->bits, (u32)w->group_size);
    few_part p = {.of.x = c->x.data, .x_row = (u32)c->x.stride * 2};
    add(c, &k_wg[w->bits == 8][qmv_group_index(w)][w->type == DT_BF16], &shape, &p, scratch, to);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

#define INTS_ROW(bits, tokens, rank_)                                                                                  \
    {                                                                                                                  \
        .name = "matmul.affine" #bits ".ints" #tokens ".gpu", .backend = "gpu", .op = KOP_MATMUL, .rank = (rank_),     \
        .needs = GPU_NVIDIA, .x_type = DT_XI8X3, .chains = 1, .fused = KFUSED_ACT,                                     \
        .param = {[INTS_BITS] = (bits), [INTS_TOKENS] = (tokens)}, .takes = ints_takes, .tasks = gpu_one_task,         \
        .scratch = scratch_bytes, .enqueue = ints_enqueue                                                              \
    }
#define HALVES_ROW_OF(which, mode, type_name, type, way, needs_, rank_, enqueue_)                                      \
    {                                                                                                                  \
        .name = "matmul." #mode "." #type_name "." #way ".gpu", .backend = "gpu", .op = KOP_MATMUL, .rank = (rank_),   \
        .needs = (needs_), .x_type = (type), .rounds_to = (type), .chains = 1, .fused = KFUSED_ACT,                    \
        .param = {[QMM_WHICH] = (which)}, .takes = halves_takes, .tasks = gpu_one_task, .scratch = scratch_bytes,      \
        .enqueue = (enqueue_)                                                                                          \
    }
#define HALVES_ROW(which, mode, type_name, type)                                                                       \
    HALVES_ROW_OF(which, mode, type_name, type, few, GPU_NVIDIA, 45, halves_enqueue)
#define WG_ROW(mode, type_name, type)                                                                                  \
    HALVES_ROW_OF(WHICH_##mode##_##type_name, mode, type_name, type, few90, GPU_NVIDIA | GPU_SM90, 46, wg_enqueue)

#define WHICH(file, name, mode, bits, type_name, type) WHICH_##name##_##type_name,
enum { QMM_WEIGHTS(WHICH) };
#define ROWS(file, name, mode, bits, type_name, type) HALVES_ROW(WHICH_##name##_##type_name, name, type_name, type),

static const krow rows[] = {INTS_ROW(4, 8, 52),           INTS_ROW(4, 16, 51),
                            INTS_ROW(8, 8, 52),           INTS_ROW(8, 16, 51),
                            WG_ROW(affine4, f16, DT_F16), WG_ROW(affine4, bf16, DT_BF16),
                            WG_ROW(affine8, f16, DT_F16), WG_ROW(affine8, bf16, DT_BF16),
                            QMM_QUANTIZED(ROWS)};

const gpu_row_list gpu_rows_few = {rows, sizeof rows / sizeof *rows};
