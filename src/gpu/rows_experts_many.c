/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens with experts: the pairs of a token and an expert are sorted by expert, then each expert's are
 * tiles of the product with its matrix (kernels/qmm_sort.c, kernels/qmm.h), all in one launch. */
#include "base/num.h"
#include "gpu/qmm.h"
#include "gpu/rows.h"

enum { FEWEST = 17 };

static const gpu_kernel k_count = {.module = "qmm_sort", .name = "qmm_count"};
static const gpu_kernel k_sort = {.module = "qmm_sort", .name = "qmm_sort"};

/* Every expert may end with a tile that is not full. */
static int64_t max_tiles(const krow *row, const kcall *c) {
    const int64_t pairs = c->x.rows * c->n_chosen;
    return pairs / qmm_tile_rows[row->param[QMM_TILE]] + min_i64(pairs, c->w->n_experts);
}

/* Tiles about as high as an expert has tokens, where they spread evenly: the first row that takes the call. */
static bool takes(const krow *row, const kcall *c) {
    const int tile = row->param[QMM_TILE];
    const int64_t each = c->x.rows * c->n_chosen / c->w->n_experts;
    return c->x.rows >= FEWEST && (tile + 1 == QMM_N_TILES || each < qmm_tile_rows[tile] * 3 / 2) &&
           max_tiles(row, c) <= 65535 && c->x.rows * c->n_chosen < INT32_MAX && gpu_weight_ok(c->w) &&
           qmm_takes(row, c);
}

/* Where in scratch what lies: words. */
typedef struct places {
    size_t tiles, pairs, table, end;
} places;

static places places_of(const krow *row, const kcall *c) {
    places at;
    at.tiles = round_up((size_t)c->w->n_experts, 16);
    at.pairs = at.tiles + round_up((size_t)max_tiles(row, c) * QMM_ENTRY, 16);
    at.table = at.pairs + round_up((size_t)(c->x.rows * c->n_chosen), 16);
    at.end = at.table + GPU_TABLE_BYTES / sizeof(u32) * (size_t)min_i64(c->w->n_experts, GPU_TABLE_MAX);
    return at;
}

static size_t scratch_bytes(const krow *row, const kcall *c) {
    return places_of(row, c).end * sizeof(u32);
}

static void enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const places at = places_of(row, c);
    u32 *words = scratch;
    const gpu_weight w = gpu_weight_of(c->w, words + at.table, to);
    const struct sort_params p = {.z = gpu_mat_of(&c->z),
                                  .counts = words,
                                  .tiles = words + at.tiles,
                                  .pairs = words + at.pairs,
                                  .n_pairs = (u32)(c->x.rows * c->n_chosen),
                                  .n_chosen = (u32)c->n_chosen,
                                  .n_experts = (u32)c->w->n_experts,
                                  .tile_rows = (u32)qmm_tile_rows[row->param[QMM_TILE]],
                                  .max_tiles = (u32)max_tiles(row, c)};
    const size_t shared = QMM_THREADS * sizeof(u32);
    gpu_add(to, &k_count, c->w->n_experts, 1, 1, QMM_THREADS, shared, &p, sizeof p);
    gpu_add(to, &k_sort, c->w->n_experts, 1, 1, QMM_THREADS, shared, &p, sizeof p);
    qmm_add(row, c, &w, p.tiles, p.pairs, max_tiles(row, c), to);
}

#define ROW(which, mode, type_name, type, rows_, tile)                                                                 \
    {                                                                                                                  \
        .name = "matmul_experts." #mode "." #type_name ".qmm" #rows_ ".gpu", .backend = "gpu",                         \
        .op = KOP_MATMUL_EXPERTS, .rank = 20, .needs = GPU_MATRIX, .x_type = (type), .rounds_to = (type), .chains = 1, \
        .fused = KFUSED_ACT, .param = {[QMM_WHICH] = (which), [QMM_TILE] = (tile)}, .takes = takes,                    \
        .tasks = gpu_one_task, .scratch = scratch_bytes, .enqueue = enqueue                                            \
    }

#define WHICH(file, name, mode, bits, type_name, type) WHICH_##name##_##type_name,
enum { QMM_WEIGHTS(WHICH) };
#define ROWS(file, name, mode, bits, type_name, type)                                                                  \
    ROW(WHICH_##name##_##type_name, name, type_name, type, 32, 0),                                                     \
        ROW(WHICH_##name##_##type_name, name, type_name, type, 64, 1),                                                 \
        ROW(WHICH_##name##_##type_name, name, type_name, type, 128, 2),

static const krow rows[] = {QMM_WEIGHTS(ROWS)};

const gpu_row_list gpu_rows_experts_many = {rows, sizeof rows / sizeof *rows};
