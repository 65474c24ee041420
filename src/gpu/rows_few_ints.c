/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens on NVIDIA's matrix units for integers (kernels/few_ints.h), and what puts activations into the
 * form that these read (kernels/form.c). */
#include <stddef.h>

#include "base/num.h"
#include "gpu/kernels/few_ints_params.h"
#include "gpu/kernels/form_params.h"
#include "gpu/kernels/reduce_params.h"
#include "gpu/qmv.h"
#include "gpu/rows.h"
#include "quant/xform.h"

_Static_assert(sizeof(struct ints_params) <= GPU_MAX_PARAMS, "params fit");
_Static_assert(offsetof(struct ints_params, part) == GPU_PARTS_AT, "parts begin where gpu_join puts them");

/* Bytes from the form's beginning to its codes. */
static u32 codes_at(const kmat *form) {
    return (u32)((const uint8_t *)xform_codes(form, 0) - (const uint8_t *)form->data);
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* Rows' params. */
enum { INTS_BITS, INTS_TOKENS };
enum { FEWEST = 2, MOST = 128 };

/* By bits, size of groups, tokens of a tile. */
#define INTS_OF(bits, group, tokens)                                                                                   \
    {                                                                                                                  \
        .module = "few_ints_affine" #bits "_" #group, .name = "few_ints_affine" #bits "_" #group "_" #tokens,          \
        .part_size = sizeof(ints_part), .block_max = 2 * 32 * INTS_WARPS                                               \
    }
#define INTS_GROUP(bits, group)                                                                                        \
    { INTS_OF(bits, group, 8), INTS_OF(bits, group, 16), INTS_OF(bits, group, 32) }
#define INTS_BITS_OF(bits)                                                                                             \
    { INTS_GROUP(bits, 32), INTS_GROUP(bits, 64), INTS_GROUP(bits, 128) }
static const gpu_kernel k_ints[2][3][3] = {INTS_BITS_OF(4), INTS_BITS_OF(8)};
static const gpu_kernel k_sum = {.module = "few_ints_sum", .name = "few_ints_sum", .part_size = sizeof(ints_part)};

static const gpu_kernel *ints_kernel(const krow *row, const kweight *w) {
    const int tokens = row->param[INTS_TOKENS];
    return &k_ints[w->bits == 8][w->group_size == 32   ? 0
                                 : w->group_size == 64 ? 1
                                                       : 2][tokens == 8    ? 0
                                                            : tokens == 16 ? 1
                                                                           : 2];
}

enum { PROCESSORS = 128 /* of a large device */ };

/* Into how many parts the terms are cut, by the weight's shape alone: what a token's sum is made of does not depend on
 * the batch. The time of all units of the largest blocks, in steps, is made least; adding up parts takes some too. */
static i64 splits_of(const kweight *w) {
    const i64 steps = w->k / INTS_K, blocks = div_up(w->n, INTS_WARPS * INTS_WARP_ROWS);
    i64 best = 1;
    double least = 0;
    for (i64 splits = 1; splits <= steps; splits++) {
        const i64 each = div_up(steps, splits);
        if (div_up(steps, each) != splits) continue; /* some would have nothing to do */
        const double adding = splits > 1 ? 1.5 + 0.1 * (double)splits : 0;
        const double time = (double)(div_up(blocks * splits, PROCESSORS) * each) + adding;
        if (splits > 1 && time >= least) continue;
        least = time;
        best = splits;
    }
    return best;
}

static size_t stage_bytes(const krow *row, const kweight *w, int warps) {
    const size_t rows = (size_t)warps * INTS_WARP_ROWS, groups = INTS_K / (size_t)w->group_size;
    const size_t tokens = (size_t)row->param[INTS_TOKENS], bits = (size_t)w->bits;
    const u32 group = (u32)w->group_size;
    return rows * (INTS_K / 8 * bits + ints_codes_pad((u32)bits, group) + 2 * 2 * groups) +
           tokens * (INTS_K * XFORM_PLANES + ints_x_pad(group) + 2 * 4 * groups);
}

/* Warps of a block: as many as memory allows two stages, fewer where there are few outputs. */
static int warps_of(const krow *row, const kweight *w, i64 splits, size_t shared_max) {
    int warps = INTS_WARPS;
    if (div_up(w->n, warps * INTS_WARP_ROWS) * splits < PROCESSORS / 2) warps /= 2;
    while (warps > 1 && 2 * stage_bytes(row, w, warps) > shared_max) warps /= 2;
    return warps;
}

static bool ints_takes(const krow *row, const kcall *c) {
    const kweight *w = c->w;
    if (w->mode != W_AFFINE || w->bits != row->param[INTS_BITS] || dtype_size(w->type) != 2 || !w->biases) return false;
    if (w->group_size != 32 && w->group_size != 64 && w->group_size != 128) return false;
    if (c->x.rows < FEWEST || c->x.rows > MOST || c->x.group != w->group_size || w->k % INTS_K != 0 || c->normed)
        return false;
    const i64 tiles = row->param[INTS_TOKENS];
    if (tiles < 32 && c->x.rows > tiles) return false;
    return is_stored_float(c->y.type) && c->y.stride <= INT32_MAX && c->residual.stride <= INT32_MAX &&
           (u64)c->x.rows * (u64)w->k < UINT32_MAX / 4 && gpu_weight_aligned(w, 16, 16);
}

static size_t ints_scratch(const krow *row, const kcall *c) {
    (void)row;
    const i64 splits = splits_of(c->w);
    return splits > 1 ? (size_t)(splits * c->x.rows * c->w->n) * sizeof(float) : 0;
}

static void ints_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const i64 splits = splits_of(c->w), tokens = row->param[INTS_TOKENS];
    const int warps = warps_of(row, c->w, splits, to->traits->shared_max);
    const size_t stage = stage_bytes(row, c->w, warps);
    const i64 stages = min_i64(INTS_STAGES_MOST, (i64)(to->traits->shared_max / stage));
    const gpu_weight w = gpu_weight_of(c->w, NULL, to);
    ints_part p = {.of = qmv_part_for(c, &w, to->traits),
                   .sums = splits > 1 ? scratch : NULL,
                   .codes_at = codes_at(&c->x),
                   .splits = (u32)splits,
                   .stages = (u32)stages};
    p.of.row_tiles = (u32)warps * 2;
    p.of.blocks = (u32)div_up(c->act ? c->w->n / 2 : c->w->n, warps * (c->act ? 16 : INTS_WARP_ROWS));
    const i64 units = p.of.blocks * splits * div_up(c->x.rows, tokens);
    if (units == 0) return;
    gpu_add_turns(to, ints_kernel(row, c->w), units, to->traits->n_processors, 2 * 32 * warps, (size_t)stages * stage,
                  &p);
    if (splits > 1)
        gpu_add_part(to, &k_sum, div_up(c->y.cols, INTS_SUM_THREADS), c->x.rows, 1, INTS_SUM_THREADS, 0, &p);
}

/* ---- The form of activations ------------------------------------------------------------------------------------- */

static const gpu_kernel form = {.module = "form", .name = "form"},
                        form_normed = {.module = "form", .name = "form_normed"};

static struct form_params form_params_of(const kcall *c) {
    return (struct form_params){.x = gpu_mat_of(&c->x),
                                .weight = gpu_vec_of(&c->weight),
                                .to = c->y.data,
                                .codes_at = codes_at(&c->y),
                                .group = (u32)c->y.group,
                                .eps = c->eps,
                                .offset = c->offset};
}

static bool form_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && c->y.type == DT_XI8X3 && is_aligned(c->y.data, 64) && c->y.group <= 256 &&
           is_power_of_2(c->y.group) && gpu_mat_aligned(&c->x, 16);
}

static void form_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct form_params p = form_params_of(c);
    if (c->x.rows > 0)
        gpu_add(to, &form, div_up(c->x.cols, FORM_THREADS * FORM_EACH), min_i64(c->x.rows, 65535), 1, FORM_THREADS, 0,
                &p, sizeof p);
}

static bool normed_takes(const krow *row, const kcall *c) {
    return form_takes(row, c) && c->n_parts == 1 && c->x.cols <= FORM_THREADS * FORM_EACH * FORM_HELD &&
           is_aligned(c->weight.data, 16);
}

static void normed_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct form_params p = form_params_of(c);
    if (c->x.rows > 0)
        gpu_add(to, &form_normed, c->x.rows, 1, 1, FORM_THREADS, REDUCE_FLOATS * sizeof(float), &p, sizeof p);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

#define INTS_ROW(bits, tokens, rank_)                                                                                  \
    {                                                                                                                  \
        .name = "matmul.affine" #bits ".ints" #tokens ".gpu", .backend = "gpu", .op = KOP_MATMUL, .rank = (rank_),     \
        .needs = GPU_NVIDIA, .x_type = DT_XI8X3, .chains = 1, .fused = KFUSED_ACT,                                     \
        .param = {[INTS_BITS] = (bits), [INTS_TOKENS] = (tokens)}, .takes = ints_takes, .tasks = gpu_one_task,         \
        .scratch = ints_scratch, .enqueue = ints_enqueue                                                               \
    }

static const krow rows[] = {
    INTS_ROW(4, 8, 52),
    INTS_ROW(4, 16, 51),
    INTS_ROW(4, 32, 50),
    INTS_ROW(8, 8, 52),
    INTS_ROW(8, 16, 51),
    INTS_ROW(8, 32, 50),
    {.name = "quantize.xi8x3.gpu",
     .backend = "gpu",
     .op = KOP_QUANTIZE,
     .takes = form_takes,
     .tasks = gpu_one_task,
     .enqueue = form_enqueue},
    {.name = "rmsnorm.xi8x3.gpu",
     .backend = "gpu",
     .op = KOP_RMSNORM,
     .takes = normed_takes,
     .tasks = gpu_one_task,
     .enqueue = normed_enqueue},
};

const gpu_row_list gpu_rows_few_ints = {rows, sizeof rows / sizeof *rows};
