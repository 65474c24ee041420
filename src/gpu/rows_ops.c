/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/ops.c, kernels/ops_embed.c and kernels/norm.c. Where operands allow it they read and write four
 * elements at a time: element by element that computes the same bits. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/norm_params.h"
#include "gpu/kernels/ops_params.h"
#include "gpu/kernels/reduce_params.h"

enum { BLOCK = 256, MAX_GRID_Y = 65535 };

/* Whether rows can be taken four elements at a time. */
static bool by_four(const kmat *m) {
    return m->cols % 4 == 0 && gpu_mat_aligned(m, 4 * dtype_size(m->type));
}

/* One thread for n columns of a row. */
static void add_columns(gpu_launches *to, const gpu_kernel *k, const kmat *y, int n, const void *params, size_t size) {
    if (y->rows > 0)
        gpu_add(to, k, div_up(y->cols, BLOCK * n), min_i64(y->rows, MAX_GRID_Y), 1, BLOCK, 0, params, size);
}

/* ---- ADD, ACT_MUL, SCALE, SOFTCAP, QUANTIZE -------------------------------------------------------------------- */

typedef struct each_kernels {
    kop op;
    gpu_kernel by[2]; /* one element a thread, four */
} each_kernels;

static const each_kernels each[] = {
    {KOP_ADD, {{.module = "ops", .name = "add"}, {.module = "ops", .name = "add4"}}},
    {KOP_ACT_MUL, {{.module = "ops", .name = "act_mul"}, {.module = "ops", .name = "act_mul4"}}},
    {KOP_SCALE, {{.module = "ops", .name = "scale"}, {.module = "ops", .name = "scale4"}}},
    {KOP_SOFTCAP, {{.module = "ops", .name = "softcap"}, {.module = "ops", .name = "softcap4"}}},
    {KOP_QUANTIZE, {{.module = "ops", .name = "convert"}, {.module = "ops", .name = "convert4"}}},
};

static bool has_two(const kcall *c) {
    return c->op == KOP_ADD || c->op == KOP_ACT_MUL;
}

static bool each_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && (!has_two(c) || is_stored_float(c->z.type));
}

static void each_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct each_params p = {
        .x = gpu_mat_of(&c->x), .z = gpu_mat_of(&c->z), .y = gpu_mat_of(&c->y), .act = (u32)c->act, .scale = c->scale};
    const bool one_factor = c->op == KOP_ACT_MUL && c->x.cols == 1;
    const bool four = by_four(&c->y) && (one_factor || by_four(&c->x)) && (!has_two(c) || by_four(&c->z));
    size_t i = 0;
    while (each[i].op != c->op) i++;
    add_columns(to, &each[i].by[four], &c->y, four ? 4 : 1, &p, sizeof p);
}

/* ---- SELECT_ROWS, SELECT_COLS, EMBED ----------------------------------------------------------------------------- */

static const gpu_kernel select_rows[2] = {{.module = "ops", .name = "select_rows"},
                                          {.module = "ops", .name = "select_rows4"}},
                        select_cols = {.module = "ops", .name = "select_cols"},
                        embed = {.module = "ops_embed", .name = "embed"};

static bool select_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type);
}

static void select_rows_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct select_params p = {gpu_mat_of(&c->x), gpu_mat_of(&c->y), c->rows};
    const bool four = by_four(&c->x) && by_four(&c->y);
    add_columns(to, &select_rows[four], &c->y, four ? 4 : 1, &p, sizeof p);
}

static void select_cols_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct select_params p = {gpu_mat_of(&c->x), gpu_mat_of(&c->y), c->columns};
    add_columns(to, &select_cols, &c->y, 1, &p, sizeof p);
}

static bool embed_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->y.type);
}

static void embed_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct embed_params p = {.y = gpu_mat_of(&c->y),
                                   .w = gpu_weight_of(c->w, NULL, to),
                                   .tokens = c->tokens,
                                   .mode = (u32)c->w->mode,
                                   .bits = (u32)c->w->bits,
                                   .scale = c->scale};
    add_columns(to, &embed, &c->y, 1, &p, sizeof p);
}

/* ---- RMSNORM ----------------------------------------------------------------------------------------------------- */

enum { NORM_BLOCK_MAX = 768 /* kernels.mk, BOUNDS */, NORM_GROUP = 32 };

static const gpu_kernel rmsnorm = {.module = "norm", .name = "rmsnorm"},
                        rmsnorm4 = {.module = "norm", .name = "rmsnorm4", .block_max = NORM_BLOCK_MAX},
                        rmsnorm_heads = {.module = "norm", .name = "rmsnorm_heads"};

static struct norm_params norm_params_of(const kcall *c) {
    return (struct norm_params){.x = gpu_mat_of(&c->x),
                                .y = gpu_mat_of(&c->y),
                                .residual = gpu_mat_of(&c->residual),
                                .weight = gpu_vec_of(&c->weight),
                                .size = (u32)(c->x.cols / c->n_parts),
                                .n_parts = (u32)c->n_parts,
                                .eps = c->eps,
                                .offset = c->offset,
                                .scale = kcall_norm_scale(c)};
}

static bool norm_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type);
}

static void norm_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct norm_params p = norm_params_of(c);
    if (c->y.rows > 0)
        gpu_add(to, &rmsnorm, c->y.rows * c->n_parts, 1, 1, BLOCK, REDUCE_FLOATS * sizeof(float), &p, sizeof p);
}

static bool norm_by_four(const kcall *c) {
    const kvec *w = &c->weight;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && c->x.cols / c->n_parts % 4 == 0 &&
           by_four(&c->x) && by_four(&c->y) && (!c->residual.data || by_four(&c->residual)) &&
           (!w->data || (uintptr_t)w->data % (4 * dtype_size(w->type)) == 0);
}

static bool norm_wide_takes(const krow *row, const kcall *c) {
    (void)row;
    return norm_by_four(c) && c->x.cols / c->n_parts <= 4 * NORM_HELD * NORM_BLOCK_MAX;
}

/* A thread for four or eight elements: the fewer, the shorter the way to the sum. */
static void norm_wide_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct norm_params p = norm_params_of(c);
    const int64_t block = min_i64(NORM_BLOCK_MAX, round_up(div_up(p.size, 4), 64));
    if (c->y.rows > 0)
        gpu_add(to, &rmsnorm4, c->y.rows * c->n_parts, 1, 1, (int)block, REDUCE_FLOATS * sizeof(float), &p, sizeof p);
}

static bool norm_heads_takes(const krow *row, const kcall *c) {
    (void)row;
    return norm_by_four(c) && c->x.cols / c->n_parts <= 4 * NORM_HELD * NORM_GROUP;
}

static void norm_heads_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    enum { HEADS_BLOCK = 128 };
    const struct norm_params p = norm_params_of(c);
    if (c->y.rows > 0)
        gpu_add(to, &rmsnorm_heads, div_up(c->y.rows * c->n_parts, HEADS_BLOCK / NORM_GROUP), 1, 1, HEADS_BLOCK, 0, &p,
                sizeof p);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

#define ROW(ROW_NAME, OP, RANK, FUSED, TAKES, ENQUEUE)                                                                 \
    {                                                                                                                  \
        .name = ROW_NAME, .backend = "gpu", .op = OP, .rank = RANK, .takes = TAKES, .tasks = gpu_one_task,             \
        .enqueue = ENQUEUE, .fused = FUSED                                                                             \
    }

static const krow rows[] = {
    ROW("add.gpu", KOP_ADD, 0, 0, each_takes, each_enqueue),
    ROW("act_mul.gpu", KOP_ACT_MUL, 0, 0, each_takes, each_enqueue),
    ROW("scale.gpu", KOP_SCALE, 0, 0, each_takes, each_enqueue),
    ROW("softcap.gpu", KOP_SOFTCAP, 0, 0, each_takes, each_enqueue),
    ROW("quantize.float.gpu", KOP_QUANTIZE, 0, 0, each_takes, each_enqueue),
    ROW("select_rows.gpu", KOP_SELECT_ROWS, 0, 0, select_takes, select_rows_enqueue),
    ROW("select_cols.gpu", KOP_SELECT_COLS, 0, 0, select_takes, select_cols_enqueue),
    ROW("embed.gpu", KOP_EMBED, 0, 0, embed_takes, embed_enqueue),
    ROW("rmsnorm.gpu", KOP_RMSNORM, 0, KFUSED_RESIDUAL | KFUSED_SCALE, norm_takes, norm_enqueue),
    ROW("rmsnorm.wide.gpu", KOP_RMSNORM, 10, KFUSED_RESIDUAL | KFUSED_SCALE, norm_wide_takes, norm_wide_enqueue),
    ROW("rmsnorm.heads.gpu", KOP_RMSNORM, 20, KFUSED_RESIDUAL | KFUSED_SCALE, norm_heads_takes, norm_heads_enqueue),
};

const gpu_row_list gpu_rows_ops = {rows, sizeof rows / sizeof *rows};
