/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens by a vendor's GEMM, of plain 16-bit weights as they are and of the others dequantized into a
 * workspace, as many rows of the weight at a time as fit; and products in fp32 of any weight with any x, in tiles, for
 * what no other row takes. */
#include "base/num.h"
#include "gpu/qmm.h"
#include "gpu/rows.h"

enum {
    FEWEST = 17,
    ROWS_UNIT = 256,            /* a piece of a weight has a multiple of so many rows */
    MOST_PIECES = 10,           /* each takes up to three launches */
    WORKSPACE = 64 << 20,       /* bytes: of dequantized weights, and of what an act waits for */
    MOST_WORKSPACE = 256 << 20, /* larger weights are left to other rows */
    BLOCK = 256
};
_Static_assert(3 * MOST_PIECES + 1 <= GPU_MAX_LAUNCHES, "launches of a call fit");

/* ---- Pieces --------------------------------------------------------------------------------------------------------
 */

/* A weight in pieces of so many outputs (with an act: pairs of outputs), and where in scratch what lies. */
typedef struct pieces {
    int64_t n, each;
    size_t weights, products; /* bytes */
} pieces;

static pieces pieces_of(const kcall *c) {
    const int64_t halves = c->act ? 2 : 1, k = c->w->k;
    pieces p = {.n = c->w->n / halves};
    const bool dequantized = c->w->mode != W_PLAIN;
    int64_t fit = p.n;
    if (dequantized) fit = min_i64(fit, WORKSPACE / (2 * k * halves));
    if (c->act) fit = min_i64(fit, WORKSPACE / ((int64_t)sizeof(float) * halves * max_i64(1, c->x.rows)));
    p.each = max_i64(div_up(p.n, MOST_PIECES), fit);
    p.each = p.each >= p.n ? p.n : max_i64(ROWS_UNIT, p.each / ROWS_UNIT * ROWS_UNIT);
    while (div_up(p.n, p.each) > MOST_PIECES) p.each += ROWS_UNIT;
    p.weights = dequantized ? round_up((size_t)(p.each * halves * k * 2), 256) : 0;
    p.products = c->act ? (size_t)(p.each * halves * c->x.rows) * sizeof(float) : 0;
    return p;
}

static bool gemm_takes(const krow *row, const kcall *c) {
    if (c->x.rows < FEWEST || (c->act == ACT_NONE && (c->y.type != DT_F32 || !gpu_mat_aligned(&c->y, 16))))
        return false;
    if (!qmm_takes(row, c)) return false;
    /* Plain halves are products of their own, side by side: the second one's begins at a multiple of 16 bytes too. */
    if (c->act && c->w->mode == W_PLAIN && c->w->n / 2 % 4 != 0) return false;
    const pieces p = pieces_of(c);
    return p.weights <= MOST_WORKSPACE && p.products <= MOST_WORKSPACE;
}

static size_t gemm_scratch(const krow *row, const kcall *c) {
    (void)row;
    const pieces p = pieces_of(c);
    return p.weights + p.products;
}

/* ---- Launches ------------------------------------------------------------------------------------------------------
 */

#define DEQUANT(file, name_, mode, bits, type_name, type)                                                              \
    {.module = "dequant", .name = "dequant_" #name_ "_" #type_name},
static const gpu_kernel k_dequant[] = {QMM_WEIGHTS(DEQUANT)}; /* the plain ones do not exist, nor are asked for */
static const gpu_kernel k_begin = {.module = "dequant", .name = "gemm_begin"};
static const gpu_kernel k_act = {.module = "dequant", .name = "gemm_act"};

static void add_edge(const gpu_kernel *k, const kcall *c, const void *products, int64_t first, int64_t n,
                     gpu_launches *to) {
    const struct gemm_edge_params p = {.y = gpu_mat_of(&c->y),
                                       .residual = gpu_mat_of(&c->residual),
                                       .bias = gpu_vec_of(&c->weight),
                                       .p = products,
                                       .first = (u32)first,
                                       .n = (u32)n,
                                       .act = (u32)c->act,
                                       .half = (u32)(c->w->n / 2)};
    gpu_add(to, k, div_up(n, BLOCK), min_i64(c->y.rows, 65535), 1, BLOCK, 0, &p, sizeof p);
}

/* Outputs [first, first + n) and, with a second, those from there on: as 16-bit rows. */
static void add_dequant(const krow *row, const kcall *c, void *weights, int64_t first, int64_t n, int64_t second,
                        gpu_launches *to) {
    const struct dequant_params p = {
        .w = gpu_weight_of(c->w, NULL, to), .to = weights, .first = (u32)first, .n = (u32)n, .second = (u32)second};
    const int64_t units = n * (second ? 2 : 1) * (c->w->k / 32);
    gpu_add(to, &k_dequant[row->param[QMM_WHICH]], div_up(units, QMM_THREADS), 1, 1, QMM_THREADS, 0, &p, sizeof p);
}

static gpu_gemm gemm_of(const krow *row, const kcall *c, int64_t n, const void *w) {
    return (gpu_gemm){.type = row->x_type,
                      .m = c->x.rows,
                      .n = n,
                      .k = c->w->k,
                      .x_stride = c->x.stride,
                      .w_stride = c->w->k,
                      .y_stride = c->y.stride,
                      .x = c->x.data,
                      .w = w};
}

static const void *plain_row(const kcall *c, int64_t i) {
    return (const uint16_t *)c->w->codes + i * c->w->k;
}

/* y = x w^T, on top of residual and bias where there are any. */
static void enqueue_sum(const krow *row, const kcall *c, const pieces *p, void *weights, gpu_launches *to) {
    const bool in_place = c->residual.data == c->y.data && c->residual.stride == c->y.stride;
    const bool begin = c->weight.data || (c->residual.data && !in_place);
    if (begin) add_edge(&k_begin, c, NULL, 0, c->y.cols, to);
    for (int64_t i = 0; i < p->n; i += p->each) {
        const int64_t n = min_i64(p->each, p->n - i);
        if (c->w->mode != W_PLAIN) add_dequant(row, c, weights, i, n, 0, to);
        gpu_gemm g = gemm_of(row, c, n, c->w->mode == W_PLAIN ? plain_row(c, i) : weights);
        g.y = (float *)c->y.data + i;
        g.accumulate = begin || c->residual.data;
        gpu_add_gemm(to, &g);
    }
}

/* Both factors of a piece's elements side by side in scratch, then y. */
static void enqueue_act(const krow *row, const kcall *c, const pieces *p, void *weights, float *products,
                        gpu_launches *to) {
    for (int64_t i = 0; i < p->n; i += p->each) {
        const int64_t n = min_i64(p->each, p->n - i);
        if (c->w->mode != W_PLAIN) add_dequant(row, c, weights, i, n, p->n + i, to);
        for (int half = 0; half < (c->w->mode == W_PLAIN ? 2 : 1); half++) {
            gpu_gemm g = gemm_of(row, c, n, plain_row(c, half * p->n + i));
            if (c->w->mode != W_PLAIN) g.w = weights, g.n = 2 * n;
            g.y = products + half * n;
            g.y_stride = 2 * n;
            gpu_add_gemm(to, &g);
        }
        add_edge(&k_act, c, products, i, n, to);
    }
}

static void gemm_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    const pieces p = pieces_of(c);
    if (c->act)
        enqueue_act(row, c, &p, scratch, (float *)((char *)scratch + p.weights), to);
    else
        enqueue_sum(row, c, &p, scratch, to);
}

/* ---- In fp32 -------------------------------------------------------------------------------------------------------
 */

static const gpu_kernel k_any = {.module = "gemm", .name = "gemm_any"};

static bool any_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.rows >= FEWEST && !c->normed && is_stored_float(c->x.type) && is_stored_float(c->y.type) &&
           div_up(c->w->n, GEMM_TILE) <= 65535;
}

static void any_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct gemm_params p = {.x = gpu_mat_of(&c->x),
                                  .y = gpu_mat_of(&c->y),
                                  .residual = gpu_mat_of(&c->residual),
                                  .bias = gpu_vec_of(&c->weight),
                                  .w = gpu_weight_of(c->w, NULL, to),
                                  .mode = (u32)c->w->mode,
                                  .bits = (u32)c->w->bits,
                                  .act = (u32)c->act};
    const size_t shared = 2 * GEMM_STEP * GEMM_STRIDE * sizeof(float);
    gpu_add(to, &k_any, div_up(c->x.rows, GEMM_TILE), div_up(c->w->n, GEMM_TILE), 1, QMM_THREADS, shared, &p, sizeof p);
}

/* ---- Rows ----------------------------------------------------------------------------------------------------------
 */

#define WHICH(file, name, mode, bits, type_name, type) WHICH_##name##_##type_name,
enum { QMM_WEIGHTS(WHICH) };
/* A vendor's order of terms is not ours to know. */
#define ROW(file, name_, mode, bits, type_name, type)                                                                  \
    {.name = "matmul." #name_ "." #type_name ".gemm.gpu",                                                              \
     .backend = "gpu",                                                                                                 \
     .op = KOP_MATMUL,                                                                                                 \
     .rank = 30,                                                                                                       \
     .needs = GPU_GEMM16,                                                                                              \
     .x_type = (type),                                                                                                 \
     .rounds_to = (type),                                                                                              \
     .chains = 1,                                                                                                      \
     .free_order = true,                                                                                               \
     .fused = KFUSED_ACT,                                                                                              \
     .dequant_gemm = (mode) != W_PLAIN,                                                                                \
     .param = {[QMM_WHICH] = WHICH_##name_##_##type_name},                                                             \
     .takes = gemm_takes,                                                                                              \
     .tasks = gpu_one_task,                                                                                            \
     .scratch = gemm_scratch,                                                                                          \
     .enqueue = gemm_enqueue},

static const krow rows[] = {
    QMM_WEIGHTS(ROW){.name = "matmul.any.tiled.gpu",
                     .backend = "gpu",
                     .op = KOP_MATMUL,
                     .rank = 12, /* above rows for few tokens, which take many as well */
                     .chains = 1,
                     .fused = KFUSED_ACT,
                     .takes = any_takes,
                     .tasks = gpu_one_task,
                     .enqueue = any_enqueue},
};

const gpu_row_list gpu_rows_gemm = {rows, sizeof rows / sizeof *rows};
