/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/ops.c, kernels/ops_embed.c and kernels/norm.c: for any operands, and above them those that read and
 * write four elements at a time. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/norm_params.h"
#include "gpu/kernels/ops_params.h"
#include "gpu/kernels/reduce_params.h"

enum { BLOCK = 256, MAX_GRID_Y = 65535 };

static bool is_float(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

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
    {KOP_ADD, {{"ops", "add", 0}, {"ops", "add4", 0}}},
    {KOP_ACT_MUL, {{"ops", "act_mul", 0}, {"ops", "act_mul4", 0}}},
    {KOP_SCALE, {{"ops", "scale", 0}, {"ops", "scale4", 0}}},
    {KOP_SOFTCAP, {{"ops", "softcap", 0}, {"ops", "softcap4", 0}}},
    {KOP_QUANTIZE, {{"ops", "convert", 0}, {"ops", "convert4", 0}}},
};

/* param[0]: elements a thread */
static bool each_takes(const krow *row, const kcall *c) {
    const bool two = c->op == KOP_ADD || c->op == KOP_ACT_MUL;
    if (!is_float(c->x.type) || !is_float(c->y.type) || (two && !is_float(c->z.type))) return false;
    return row->param[0] == 1 ||
           (by_four(&c->y) && (!two || by_four(&c->z)) && ((two && c->x.cols == 1) || by_four(&c->x)));
}

static void each_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    const struct each_params p = {
        .x = gpu_mat_of(&c->x), .z = gpu_mat_of(&c->z), .y = gpu_mat_of(&c->y), .act = (u32)c->act, .scale = c->scale};
    size_t i = 0;
    while (each[i].op != c->op) i++;
    add_columns(to, &each[i].by[row->param[0] == 4], &c->y, row->param[0], &p, sizeof p);
}

/* ---- SELECT_ROWS, SELECT_COLS, EMBED ----------------------------------------------------------------------------- */

static const gpu_kernel select_rows[2] = {{"ops", "select_rows", 0}, {"ops", "select_rows4", 0}},
                        select_cols = {"ops", "select_cols", 0}, embed = {"ops_embed", "embed", 0};

static bool select_takes(const krow *row, const kcall *c) {
    return is_float(c->x.type) && is_float(c->y.type) && (row->param[0] == 1 || (by_four(&c->x) && by_four(&c->y)));
}

static void select_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    const bool rows = c->op == KOP_SELECT_ROWS;
    const struct select_params p = {gpu_mat_of(&c->x), gpu_mat_of(&c->y), rows ? c->rows : c->columns};
    add_columns(to, rows ? &select_rows[row->param[0] == 4] : &select_cols, &c->y, row->param[0], &p, sizeof p);
}

static bool embed_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_float(c->y.type);
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

enum { NORM_BLOCK_MAX = 1024, NORM_GROUP = 32 };

static const gpu_kernel rmsnorm = {"norm", "rmsnorm", 0}, rmsnorm4 = {"norm", "rmsnorm4", 0},
                        rmsnorm_heads = {"norm", "rmsnorm_heads", 0};

static struct norm_params norm_params_of(const kcall *c) {
    return (struct norm_params){.x = gpu_mat_of(&c->x),
                                .y = gpu_mat_of(&c->y),
                                .residual = gpu_mat_of(&c->residual),
                                .weight = gpu_vec_of(&c->weight),
                                .size = (u32)(c->x.cols / c->n_parts),
                                .n_parts = (u32)c->n_parts,
                                .eps = c->eps,
                                .offset = c->offset};
}

static bool norm_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_float(c->x.type) && is_float(c->y.type);
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
    return is_float(c->x.type) && is_float(c->y.type) && c->x.cols / c->n_parts % 4 == 0 && by_four(&c->x) &&
           by_four(&c->y) && (!c->residual.data || by_four(&c->residual)) &&
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

#define ROW(ROW_NAME, OP, RANK, TAKES, ENQUEUE, ...)                                                                   \
    {                                                                                                                  \
        .name = ROW_NAME, .backend = "gpu", .op = OP, .rank = RANK, .takes = TAKES, .tasks = gpu_one_task,             \
        .enqueue = ENQUEUE, __VA_ARGS__                                                                                \
    }
#define ONE_AND_FOUR(NAME, OP, TAKES, ENQUEUE)                                                                         \
    ROW(NAME ".gpu", OP, 0, TAKES, ENQUEUE, .param = {1}), ROW(NAME ".by4.gpu", OP, 10, TAKES, ENQUEUE, .param = {4})

static const krow rows[] = {
    ONE_AND_FOUR("add", KOP_ADD, each_takes, each_enqueue),
    ONE_AND_FOUR("act_mul", KOP_ACT_MUL, each_takes, each_enqueue),
    ONE_AND_FOUR("scale", KOP_SCALE, each_takes, each_enqueue),
    ONE_AND_FOUR("softcap", KOP_SOFTCAP, each_takes, each_enqueue),
    ONE_AND_FOUR("quantize.float", KOP_QUANTIZE, each_takes, each_enqueue),
    ONE_AND_FOUR("select_rows", KOP_SELECT_ROWS, select_takes, select_enqueue),
    ROW("select_cols.gpu", KOP_SELECT_COLS, 0, select_takes, select_enqueue, .param = {1}),
    ROW("embed.gpu", KOP_EMBED, 0, embed_takes, embed_enqueue),
    ROW("rmsnorm.gpu", KOP_RMSNORM, 0, norm_takes, norm_enqueue, .fused = KFUSED_RESIDUAL),
    ROW("rmsnorm.wide.gpu", KOP_RMSNORM, 10, norm_wide_takes, norm_wide_enqueue, .fused = KFUSED_RESIDUAL),
    ROW("rmsnorm.heads.gpu", KOP_RMSNORM, 20, norm_heads_takes, norm_heads_enqueue, .fused = KFUSED_RESIDUAL),
};

const gpu_row_list gpu_rows_ops = {rows, sizeof rows / sizeof *rows};
