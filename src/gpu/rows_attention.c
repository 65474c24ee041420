/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/attention*.c: one for any shape, one for few rows, one for many. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/attention_params.h"

static attention_call call_of(const kcall *c) {
    static const double log2_e = 1.4426950408889634;
    attention_call a = {.x = gpu_mat_of(&c->x),
                        .y = gpu_mat_of(&c->y),
                        .keys = c->keys.data,
                        .values = c->values.data,
                        .tables = (const GLOBAL u64 *)(const void *)c->tables,
                        .positions = c->positions,
                        .sinks = gpu_vec_of(&c->weight),
                        .kv_type = (u32)c->keys.type,
                        .n_kv_heads = (u32)c->keys.n_heads,
                        .head_dim = (u32)c->keys.head_dim,
                        .n_heads = (u32)(c->x.cols / c->keys.head_dim),
                        .page_size = (u32)c->keys.page_size,
                        .window = (u32)min_i64(c->window, INT32_MAX),
                        .scale = (float)((double)c->scale * log2_e)};
    if (c->softcap > 0) {
        a.softcap = (float)((double)c->softcap * log2_e);
        a.per_cap = (float)(1 / ((double)c->softcap * log2_e));
    }
    while (is_power_of_2(c->keys.page_size) && (1u << a.page_shift) < a.page_size) a.page_shift++;
    return a;
}

/* ---- Any shape ----------------------------------------------------------------------------------------------- */

static const gpu_kernel k_plain = {.module = "attention", .name = "attention_plain"};
enum { PLAIN_BLOCK = 128, PLAIN_STRETCH = 256, SHARED_MAX = 48 << 10 };

static size_t plain_shared(const kcall *c) {
    return (size_t)(2 * c->keys.head_dim + PLAIN_STRETCH) * sizeof(float);
}

static bool plain_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && plain_shared(c) <= SHARED_MAX;
}

static void plain_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct attention_params p = {call_of(c)};
    if (c->x.rows > 0)
        gpu_add(to, &k_plain, p.c.n_heads, min_i64(c->x.rows, 65535), 1, PLAIN_BLOCK, plain_shared(c), &p, sizeof p);
}

/* ---- Few rows: contexts are split ------------------------------------------------------------------------------- */

enum { DECODE_ROWS = 64 };

#define DECODE_KERNELS(type, heads)                                                                                    \
    {                                                                                                                  \
        {.module = "attention_decode_" type, .name = "decode_" type "_64_" heads},                                     \
            {.module = "attention_decode_" type, .name = "decode_" type "_128_" heads},                                \
            {.module = "attention_decode_" type, .name = "decode_" type "_256_" heads},                                \
            {.module = "attention_decode_" type, .name = "decode_" type "_512_" heads},                                \
    }
/* By the largest head_dim that they take: 64 times a power of two. */
static const gpu_kernel k_decode_f32[4] = DECODE_KERNELS("f32", "4");
/* And by the query heads that share keys and values: one, two, or up to four. */
static const gpu_kernel k_decode_f16[3][4] = {DECODE_KERNELS("f16", "1"), DECODE_KERNELS("f16", "2"),
                                              DECODE_KERNELS("f16", "4")};
static const gpu_kernel k_decode_bf16[3][4] = {DECODE_KERNELS("bf16", "1"), DECODE_KERNELS("bf16", "2"),
                                               DECODE_KERNELS("bf16", "4")};
static const gpu_kernel k_decode_join = {.module = "attention", .name = "decode_join"};

/* By head_dim, 64 or 128; with a softcap. */
static const gpu_kernel k_decode_mma16[2][2] = {{{.module = "attention_mma16", .name = "decode_mma16_64"},
                                                 {.module = "attention_mma16", .name = "decode_mma16_64_capped"}},
                                                {{.module = "attention_mma16", .name = "decode_mma16_128"},
                                                 {.module = "attention_mma16", .name = "decode_mma16_128_capped"}}};

/* Rows' params: how many rows at least, of which more need fewer splits to keep a device busy; whether on matrix units
 * (kernels/attention_mma16.h). */
enum { DECODE_MANY, DECODE_MMA16 };
enum { MANY_ROWS = 4, MOST_ROWS = 16 };

typedef struct decode_plan {
    const gpu_kernel *kernel;
    int heads;    /* query heads that a block takes */
    int threads;  /* of a block */
    int n_groups; /* blocks for a KV head */
    int n_splits, stretch_shift;
} decode_plan;

/* By the shape of heads alone: results must not depend on the number of rows. */
static decode_plan decode_plan_of(const krow *row, const kcall *c) {
    const int64_t ratio = c->x.cols / c->keys.head_dim / c->keys.n_heads;
    const int log2_heads = c->keys.type == DT_F32 || ratio > 2 ? 2 : ratio == 2;
    int size = 0;
    while (64 << size < c->keys.head_dim) size++;
    decode_plan p = {.kernel = &(c->keys.type == DT_F16 ? k_decode_f16 : k_decode_bf16)[log2_heads][size],
                     .heads = 1 << log2_heads};
    if (c->keys.type == DT_F32) p.kernel = &k_decode_f32[size];
    const u32 columns = 64u << size, threads = decode_block((u32)p.heads, columns);
    const u32 at_once = threads / (columns < 256 ? columns / 8 : 32) * decode_ahead((u32)p.heads, columns);
    p.threads = (int)threads;
    p.stretch_shift = at_once < 32 ? 4 : 5; /* a stretch is read at once, where that is not too short */
    if (row->param[DECODE_MMA16]) {
        p.kernel = &k_decode_mma16[c->keys.head_dim == 128][c->softcap > 0];
        p.heads = M16_HEADS;
        p.threads = M16_BLOCK;
    }
    p.n_groups = (int)div_up(ratio, p.heads);
    const int64_t blocks = c->keys.n_heads * p.n_groups;
    p.n_splits = blocks <= 4 ? ATTEND_MOST_SPLITS : blocks <= 8 ? ATTEND_MOST_SPLITS / 2 : ATTEND_MOST_SPLITS / 4;
    if (row->param[DECODE_MANY]) {
        p.n_splits = (int)max_i64(1, p.n_splits / (row->param[DECODE_MANY] == MOST_ROWS ? 32 : 4));
        p.stretch_shift += 2;
    }
    if (c->window > 0) p.n_splits = (int)min_i64(p.n_splits, ((c->window - 1) >> p.stretch_shift) + 2);
    return p;
}

static bool decode_takes(const krow *row, const kcall *c) {
    if (c->x.rows < row->param[DECODE_MANY]) return false;
    if (row->param[DECODE_MMA16] && (c->keys.type != DT_F16 || (c->keys.head_dim != 64 && c->keys.head_dim != 128) ||
                                     c->keys.page_size % M16_POSITIONS != 0))
        return false;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && c->x.rows <= DECODE_ROWS &&
           c->keys.head_dim % 8 == 0 && c->keys.head_dim <= 512 && is_power_of_2(c->keys.page_size) &&
           is_aligned(c->keys.data, 16) && is_aligned(c->values.data, 16) && gpu_mat_aligned(&c->x, 16);
}

static size_t decode_sums(const krow *row, const kcall *c) {
    return (size_t)(c->x.rows * c->x.cols * decode_plan_of(row, c).n_splits) * sizeof(float);
}

static size_t decode_scratch(const krow *row, const kcall *c) {
    const int64_t n_heads = c->x.cols / c->keys.head_dim;
    return decode_sums(row, c) + (size_t)(c->x.rows * n_heads * decode_plan_of(row, c).n_splits) * 2 * sizeof(float);
}

static void decode_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const decode_plan plan = decode_plan_of(row, c);
    const struct attention_split_params p = {.c = call_of(c),
                                             .sums = scratch,
                                             .weights = (float *)((char *)scratch + decode_sums(row, c)),
                                             .n_splits = (u32)plan.n_splits,
                                             .n_groups = (u32)plan.n_groups,
                                             .stretch_shift = (u32)plan.stretch_shift};
    const int n_warps = plan.threads / to->traits->warp;
    const size_t shared = (size_t)(n_warps * plan.heads) * (size_t)(c->keys.head_dim + 2) * sizeof(float);
    if (c->x.rows <= 0) return;
    gpu_add(to, plan.kernel, c->keys.n_heads * plan.n_groups, c->x.rows, plan.n_splits, plan.threads, shared, &p,
            sizeof p);
    if (plan.n_splits > 1)
        gpu_add(to, &k_decode_join, p.c.n_heads, c->x.rows, div_up(c->keys.head_dim, DECODE_JOIN_COLUMNS),
                DECODE_JOIN_BLOCK, DECODE_JOIN_BLOCK / to->traits->warp * DECODE_JOIN_COLUMNS * sizeof(float), &p,
                sizeof p);
}

/* ---- Many rows, on matrix units ------------------------------------------------------------------------------ */

#define TILE_KERNELS(type)                                                                                             \
    {                                                                                                                  \
        {.module = "attention_narrow_" type, .name = "tiles_" type "_64"},                                             \
            {.module = "attention_narrow_" type, .name = "tiles_" type "_80"},                                         \
            {.module = "attention_narrow_" type, .name = "tiles_" type "_96"},                                         \
            {.module = "attention_narrow_" type, .name = "tiles_" type "_128"},                                        \
            {.module = "attention_wide_" type, .name = "tiles_" type "_192"},                                          \
            {.module = "attention_wide_" type, .name = "tiles_" type "_256"},                                          \
            {.module = "attention_wide_" type, .name = "tiles_" type "_512"},                                          \
    }
enum { N_TILE_KERNELS = 7 };
static const gpu_kernel k_tiles_f16[N_TILE_KERNELS] = TILE_KERNELS("f16");
static const gpu_kernel k_tiles_bf16[N_TILE_KERNELS] = TILE_KERNELS("bf16");
static const gpu_kernel k_list = {.module = "attention", .name = "attention_list"};
static const struct {
    int dim, columns, keys;
} tile_shapes[N_TILE_KERNELS] = {{64, 64, 64},   {80, 80, 64},   {96, 96, 64},  {128, 128, 64},
                                 {192, 192, 64}, {256, 256, 32}, {512, 256, 32}};

typedef struct tile_plan {
    const gpu_kernel *kernel;
    int parts; /* blocks that share the columns of the values */
    int n_warps, n_stages;
    size_t shared;
} tile_plan;

static size_t tile_shared(const gpu_traits *traits, int shape, int n_warps, int n_stages) {
    const bool amd = traits->caps & GPU_AMD, keeps_query = !amd && tile_shapes[shape].dim <= 192;
    const int dim = tile_shapes[shape].dim, keys = amd && dim == 512 ? 16 : tile_shapes[shape].keys;
    const int query = n_warps * 16 * (dim + ATTEND_PAD);
    const int stages = n_stages * keys * (dim + tile_shapes[shape].columns + 2 * ATTEND_PAD);
    const int turn = n_warps * ATTEND_TURN;
    return (size_t)((keeps_query ? max_i64(query, stages) : query + stages) + turn) * 2;
}

/* As many warps as there is shared memory for, which is better than a second stage. */
static tile_plan tile_plan_of(const gpu_traits *traits, const kcall *c) {
    int shape = 0;
    while (tile_shapes[shape].dim < c->keys.head_dim) shape++;
    tile_plan p = {.kernel = &(c->keys.type == DT_F16 ? k_tiles_f16 : k_tiles_bf16)[shape],
                   .parts = (int)div_up(tile_shapes[shape].dim, tile_shapes[shape].columns)};
    for (p.n_warps = 8; p.n_warps > 2 && tile_shared(traits, shape, p.n_warps, 1) > traits->shared_max;) p.n_warps /= 2;
    p.n_stages = tile_shared(traits, shape, p.n_warps, 2) <= traits->shared_max ? 2 : 1;
    p.shared = tile_shared(traits, shape, p.n_warps, p.n_stages);
    return p;
}

static bool tiles_takes(const krow *row, const kcall *c) {
    return is_stored_float(c->x.type) && is_stored_float(c->y.type) && c->keys.type == row->rounds_to &&
           c->keys.head_dim % 8 == 0 && c->keys.head_dim <= 512 && is_power_of_2(c->keys.page_size) &&
           is_aligned(c->keys.data, 16) && is_aligned(c->values.data, 16);
}

static size_t tiles_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)(c->x.rows + 2) * sizeof(u32);
}

static void tiles_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    enum { SEQUENCES = 64 }; /* more of them take turns */
    const tile_plan plan = tile_plan_of(to->traits, c);
    const int64_t height = plan.n_warps * 16;
    const int64_t n_tiles = min_i64(div_up(c->x.rows, height) + min_i64(c->x.rows - 1, SEQUENCES), 65535);
    const struct attention_tiles_params list = {.tables = (const GLOBAL u64 *)(const void *)c->tables,
                                                .tiles = scratch,
                                                .rows = (u32)c->x.rows,
                                                .height = (u32)height};
    const struct attention_tile_params p = {
        .c = call_of(c), .tiles = scratch, .n_stages = (u32)plan.n_stages, .grid_tiles = (u32)n_tiles};
    if (c->x.rows <= 0) return;
    gpu_add(to, &k_list, 1, 1, 1, ATTEND_TILES_BLOCK, ATTEND_TILES_BLOCK * sizeof(u32), &list, sizeof list);
    gpu_add(to, plan.kernel, (int64_t)p.c.n_heads * plan.parts, n_tiles, 1, plan.n_warps * to->traits->warp,
            plan.shared, &p, sizeof p);
}

#define DECODE_ROW(name_, rank_, needs_, rows_, mma16)                                                                 \
    {.name = "attention.decode" name_ ".gpu",                                                                          \
     .backend = "gpu",                                                                                                 \
     .op = KOP_ATTENTION,                                                                                              \
     .rank = (rank_),                                                                                                  \
     .needs = (needs_),                                                                                                \
     .param = {[DECODE_MANY] = (rows_), [DECODE_MMA16] = (mma16)},                                                     \
     .takes = decode_takes,                                                                                            \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = decode_scratch,                                                                                        \
     .enqueue = decode_enqueue},
#define TILES_ROW(type_name, type)                                                                                     \
    {.name = "attention." type_name ".tiles.gpu",                                                                      \
     .backend = "gpu",                                                                                                 \
     .op = KOP_ATTENTION,                                                                                              \
     .rank = 10,                                                                                                       \
     .needs = GPU_MATRIX,                                                                                              \
     .rounds_to = (type),                                                                                              \
     .takes = tiles_takes,                                                                                             \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = tiles_scratch,                                                                                         \
     .enqueue = tiles_enqueue},

/* clang-format off */
static const krow rows[] = {
    {.name = "attention.plain.gpu",
     .backend = "gpu",
     .op = KOP_ATTENTION,
     .takes = plain_takes,
     .tasks = gpu_one_task,
     .enqueue = plain_enqueue},
    TILES_ROW("f16", DT_F16)
    TILES_ROW("bf16", DT_BF16)
    DECODE_ROW("", 20, 0, 0, false)
    DECODE_ROW(".many", 21, 0, MANY_ROWS, false)
    DECODE_ROW(".mma16", 22, GPU_NVIDIA, MANY_ROWS, true)
    DECODE_ROW(".mma16.many", 23, GPU_NVIDIA, MOST_ROWS, true)
};
/* clang-format on */

const gpu_row_list gpu_rows_attention = {rows, sizeof rows / sizeof *rows};
