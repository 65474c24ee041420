/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/delta.c and kernels/delta_conv.c: CONV1D, DELTA_GATES, DELTA. The host does not know where sequences
 * begin: a block looks at the slots itself, and has nothing to do at a token that is not a sequence's first. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/delta_params.h"

enum {
    CONV_BLOCK = 128,
    GATES_BLOCK = 64,
    DELTA_BLOCK = DELTA_LANES * DELTA_ROWS,
    PLAIN_BLOCK = 64,
    MAX_GRID_Y = 65535
};

/* ---- CONV1D ------------------------------------------------------------------------------------------------------ */

static const gpu_kernel conv1d = {.module = "delta_conv", .name = "conv1d"},
                        conv1d_state = {.module = "delta_conv", .name = "conv1d_state"},
                        conv1d_run4 = {.module = "delta_conv", .name = "conv1d_run4"},
                        conv1d_tile4 = {.module = "delta_conv", .name = "conv1d_tile4"};

/* param[0]: the kernel that the row is for, 0: any */
static bool conv_takes(const krow *row, const kcall *c) {
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && (row->param[0] == 0 || c->w->k == row->param[0]);
}

static void conv_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)scratch;
    /* Up to here one launch that walks along the sequences takes less time than two. Both compute the same. */
    enum { FEW_TOKENS = 32 };
    const struct conv1d_params p = {.x = gpu_mat_of(&c->x),
                                    .y = gpu_mat_of(&c->y),
                                    .w = {.data = c->w->codes, .type = (u32)c->w->type},
                                    .states = c->states.data,
                                    .slots = c->slots,
                                    .size = c->states.size,
                                    .kernel = (u32)c->w->k,
                                    .act = (u32)c->act};
    const int64_t columns = div_up(c->x.cols, CONV_BLOCK), rows = min_i64(c->x.rows, MAX_GRID_Y);
    if (c->x.rows == 0) return;
    if (row->param[0] == 4 && c->x.rows <= FEW_TOKENS) {
        gpu_add(to, &conv1d_run4, columns, rows, 1, CONV_BLOCK, 0, &p, sizeof p);
        return;
    }
    const int64_t tiles = min_i64(div_up(c->x.rows, CONV_TOKENS), MAX_GRID_Y);
    if (row->param[0] == 4)
        gpu_add(to, &conv1d_tile4, columns, tiles, 1, CONV_BLOCK, 0, &p, sizeof p);
    else
        gpu_add(to, &conv1d, columns, rows, 1, CONV_BLOCK, 0, &p, sizeof p);
    gpu_add(to, &conv1d_state, columns, rows, 1, CONV_BLOCK, 0, &p, sizeof p);
}

/* ---- DELTA_GATES ------------------------------------------------------------------------------------------------- */

static const gpu_kernel delta_gates = {.module = "delta_conv", .name = "delta_gates"};

static bool gates_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->z.type) && is_stored_float(c->y.type);
}

static void gates_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct delta_gates_params p = {.x = gpu_mat_of(&c->x),
                                         .z = gpu_mat_of(&c->z),
                                         .y = gpu_mat_of(&c->y),
                                         .a_log = gpu_vec_of(&c->weight),
                                         .dt_bias = gpu_vec_of(&c->weight2)};
    if (c->x.rows > 0)
        gpu_add(to, &delta_gates, div_up(c->x.rows * c->x.cols, GATES_BLOCK), 1, 1, GATES_BLOCK, 0, &p, sizeof p);
}

/* ---- DELTA ------------------------------------------------------------------------------------------------------- */

static const gpu_kernel delta = {.module = "delta", .name = "delta"}, delta64 = {.module = "delta", .name = "delta64"},
                        delta128 = {.module = "delta", .name = "delta128"};

static struct delta_params delta_params_of(const kcall *c, int64_t grid_y) {
    return (struct delta_params){.x = gpu_mat_of(&c->x),
                                 .z = gpu_mat_of(&c->z),
                                 .y = gpu_mat_of(&c->y),
                                 .states = c->states.data,
                                 .slots = c->slots,
                                 .size = c->states.size,
                                 .n_heads = (u32)c->n_parts,
                                 .n_keys = (u32)c->n_keys,
                                 .key_dim = (u32)c->key_dim,
                                 .value_dim = (u32)(c->y.cols / c->n_parts),
                                 .grid_y = (u32)grid_y,
                                 .eps = c->eps};
}

static bool delta_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->z.type) && is_stored_float(c->y.type);
}

static void delta_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const int64_t grid_y = min_i64(c->x.rows, MAX_GRID_Y);
    const struct delta_params p = delta_params_of(c, grid_y);
    if (grid_y > 0) gpu_add(to, &delta, div_up(c->y.cols, PLAIN_BLOCK / 32), grid_y, 1, PLAIN_BLOCK, 0, &p, sizeof p);
}

static bool heads_takes(const krow *row, const kcall *c) {
    return delta_takes(row, c) && (c->key_dim == 64 || c->key_dim == 128) && c->y.cols / c->n_parts % DELTA_ROWS == 0 &&
           c->x.type == DT_F32 && gpu_mat_aligned(&c->x, 16) && (uintptr_t)c->states.data % 16 == 0;
}

/* Sequences side by side. A block of many looks for further ones, which takes less time than to start a block that
 * finds none for each token of a prompt. */
enum { SEQUENCES = 64 };

/* Floats of a batch in shared memory, whose vectors lie so many further apart than they need. */
static int64_t batch_floats(const kcall *c, int64_t pad) {
    return DELTA_TOKENS * (2 * (c->key_dim + pad) + DELTA_ROWS + 2);
}

static void heads_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const int64_t grid_y = min_i64(c->x.rows, SEQUENCES);
    const struct delta_params p = delta_params_of(c, grid_y);
    if (grid_y > 0)
        gpu_add(to, c->key_dim == 64 ? &delta64 : &delta128, c->y.cols / DELTA_ROWS, grid_y, 1, DELTA_BLOCK,
                2 * (size_t)batch_floats(c, 0) * sizeof(float), &p, sizeof p);
}

/* For prompts: for the single tokens of several sequences a chunk is too much. */
enum { FEWEST_OF_CHUNKS = 128 };

static bool chunks_takes(const krow *row, const kcall *c) {
    return heads_takes(row, c) && c->x.rows >= FEWEST_OF_CHUNKS;
}

static void chunks_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    static const gpu_kernel of_64 = {.module = "delta_chunks", .name = "delta_chunks64"},
                            of_128 = {.module = "delta_chunks", .name = "delta_chunks128"};
    (void)row;
    (void)scratch;
    const int64_t grid_y = min_i64(c->x.rows, SEQUENCES), vector = c->key_dim + DELTA_CHUNK_PAD;
    const struct delta_params p = delta_params_of(c, grid_y);
    const int64_t floats = 2 * batch_floats(c, DELTA_CHUNK_PAD) + DELTA_ROWS * vector + DELTA_CHUNK_FLOATS;
    gpu_add(to, c->key_dim == 64 ? &of_64 : &of_128, c->y.cols / DELTA_ROWS, grid_y, 1, DELTA_CHUNK_BLOCK,
            (size_t)floats * sizeof(float), &p, sizeof p);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

#define ROW(ROW_NAME, OP, RANK, PARAM, TAKES, ENQUEUE)                                                                 \
    {                                                                                                                  \
        .name = ROW_NAME, .backend = "gpu", .op = OP, .rank = RANK, .param = {PARAM}, .takes = TAKES,                  \
        .tasks = gpu_one_task, .enqueue = ENQUEUE                                                                      \
    }

static const krow rows[] = {
    ROW("conv1d.gpu", KOP_CONV1D, 0, 0, conv_takes, conv_enqueue),
    ROW("conv1d.k4.gpu", KOP_CONV1D, 10, 4, conv_takes, conv_enqueue),
    ROW("delta_gates.gpu", KOP_DELTA_GATES, 0, 0, gates_takes, gates_enqueue),
    ROW("delta.gpu", KOP_DELTA, 0, 0, delta_takes, delta_enqueue),
    ROW("delta.heads.gpu", KOP_DELTA, 10, 0, heads_takes, heads_enqueue),
    {.name = "delta.chunks.gpu",
     .backend = "gpu",
     .op = KOP_DELTA,
     .rank = 20,
     .in_chunks = true,
     .takes = chunks_takes,
     .tasks = gpu_one_task,
     .enqueue = chunks_enqueue},
};

const gpu_row_list gpu_rows_delta = {rows, sizeof rows / sizeof *rows};
