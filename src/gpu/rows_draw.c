/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/sample.c: PENALIZE and DRAW. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/sample_params.h"

enum {
    SHARED = SAMPLE_PICK_BLOCK * sizeof(double),
    CANDIDATES_MAX = 64 << 20, /* bytes of a call's scratch */
    ROWS_MAX = 65535,
    VOCAB_MAX = 1 << 24 /* floats hold whole numbers up to there */
};

static const gpu_kernel penalties = {.module = "sample", .name = "sample_penalties"},
                        largest = {.module = "sample", .name = "sample_largest"},
                        windows = {.module = "sample", .name = "sample_windows"},
                        candidates = {.module = "sample", .name = "sample_candidates"},
                        pick = {.module = "sample", .name = "sample_pick", .block_max = SAMPLE_PICK_BLOCK};

static int64_t candidates_bytes(int64_t vocab) {
    return vocab * (int64_t)sizeof(struct sample_candidate);
}

int64_t gpu_draws_at_once(int64_t vocab) {
    return max_i64(1, min_i64(CANDIDATES_MAX / candidates_bytes(vocab), ROWS_MAX));
}

static bool takes(const kcall *c) {
    const bool small = c->x.rows <= gpu_draws_at_once(c->x.cols) && c->x.cols <= VOCAB_MAX;
    return c->x.type == DT_F32 && c->y.type == DT_F32 && small;
}
static bool penalize_takes(const krow *row, const kcall *c) {
    (void)row;
    return takes(c);
}
static bool greedy_takes(const krow *row, const kcall *c) {
    (void)row;
    return takes(c) && !c->samplers;
}
static bool random_takes(const krow *row, const kcall *c) {
    (void)row;
    return takes(c) && c->samplers;
}

static size_t slices_bytes(const kcall *c) {
    return (size_t)c->x.rows * SAMPLE_SLICES * sizeof(struct sample_slice);
}
static size_t greedy_scratch(const krow *row, const kcall *c) {
    (void)row;
    return slices_bytes(c);
}
static size_t random_scratch(const krow *row, const kcall *c) {
    (void)row;
    return slices_bytes(c) + (size_t)(c->x.rows * candidates_bytes(c->x.cols));
}

static struct sample_params params_of(const kcall *c, void *scratch) {
    return (struct sample_params){.logits = c->x.data,
                                  .stride = c->x.stride,
                                  .vocab = (u32)c->x.cols,
                                  .samplers = c->samplers,
                                  .slots = c->slots,
                                  .slices = scratch,
                                  .tokens = c->y.data,
                                  .tokens_stride = c->y.stride};
}

/* In place. */
static void penalize_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    const struct sample_params p = params_of(c, scratch);
    if (c->x.rows > 0) gpu_add(to, &penalties, 1, c->x.rows, 1, SAMPLE_BLOCK, 0, &p, sizeof p);
}

static void greedy_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    const struct sample_params p = params_of(c, scratch);
    if (c->x.rows == 0) return;
    gpu_add(to, &largest, SAMPLE_SLICES, c->x.rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    gpu_add(to, &pick, 1, c->x.rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
}

static void random_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    struct sample_params p = params_of(c, scratch);
    if (c->x.rows == 0) return;
    p.candidates = (void *)((uint8_t *)scratch + slices_bytes(c));
    gpu_add(to, &largest, SAMPLE_SLICES, c->x.rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    gpu_add(to, &windows, SAMPLE_SLICES, c->x.rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    gpu_add(to, &candidates, SAMPLE_SLICES, c->x.rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    gpu_add(to, &pick, 1, c->x.rows, 1, SAMPLE_PICK_BLOCK, SHARED, &p, sizeof p);
}

static const krow rows[] = {
    {.name = "penalize.gpu",
     .backend = "gpu",
     .op = KOP_PENALIZE,
     .takes = penalize_takes,
     .tasks = gpu_one_task,
     .enqueue = penalize_enqueue},
    {.name = "draw.greedy.gpu",
     .backend = "gpu",
     .op = KOP_DRAW,
     .takes = greedy_takes,
     .tasks = gpu_one_task,
     .scratch = greedy_scratch,
     .enqueue = greedy_enqueue},
    {.name = "draw.random.gpu",
     .backend = "gpu",
     .op = KOP_DRAW,
     .takes = random_takes,
     .tasks = gpu_one_task,
     .scratch = random_scratch,
     .enqueue = random_enqueue},
};

const gpu_row_list gpu_rows_draw = {rows, sizeof rows / sizeof *rows};
