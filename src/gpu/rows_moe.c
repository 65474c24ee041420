/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernels/moe.c: ROUTE and SUM_EXPERTS. */
#include "gpu/rows.h"

#include "base/num.h"
#include "gpu/kernels/moe_params.h"
#include "gpu/kernels/reduce_params.h"

enum { ROUTE_MAX = 4096 /* experts: what fits into shared memory */, ROUTE_BLOCK_MAX = 512, SUM_BLOCK = 256 };

static const gpu_kernel route = {.module = "moe", .name = "route", .block_max = ROUTE_BLOCK_MAX},
                        sum_experts[2] = {{.module = "moe", .name = "sum_experts"},
                                          {.module = "moe", .name = "sum_experts4"}};

static bool route_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && c->y.type == DT_F32 && c->x.cols <= ROUTE_MAX;
}

static void route_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct route_params p = {.x = gpu_mat_of(&c->x),
                                   .y = gpu_mat_of(&c->y),
                                   .weight = gpu_vec_of(&c->weight),
                                   .n_chosen = (u32)c->n_chosen,
                                   .normalize = c->normalize};
    const size_t padded = round_up((size_t)c->x.cols, ROUTE_STEP);
    const int64_t block = min_i64(ROUTE_BLOCK_MAX, (int64_t)round_up(padded, 64));
    const size_t shared = (REDUCE_FLOATS + 2 * padded + (size_t)c->n_chosen) * sizeof(float);
    if (c->x.rows > 0) gpu_add(to, &route, c->x.rows, 1, 1, (int)block, shared, &p, sizeof p);
}

static bool sum_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && is_stored_float(c->y.type);
}

static bool by_four(const kmat *m) {
    return gpu_mat_aligned(m, 4 * dtype_size(m->type));
}

static void sum_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct sum_experts_params p = {.x = gpu_mat_of(&c->x),
                                         .z = gpu_mat_of(&c->z),
                                         .y = gpu_mat_of(&c->y),
                                         .residual = gpu_mat_of(&c->residual),
                                         .n_chosen = (u32)c->n_chosen};
    const bool four = c->y.cols % 4 == 0 && by_four(&c->x) && by_four(&c->y) && /* the same bits */
                      (!c->residual.data || by_four(&c->residual));
    if (c->y.rows > 0)
        gpu_add(to, &sum_experts[four], div_up(c->y.cols, SUM_BLOCK * (four ? 4 : 1)), min_i64(c->y.rows, 65535), 1,
                SUM_BLOCK, 0, &p, sizeof p);
}

static const krow rows[] = {
    {.name = "route.gpu",
     .backend = "gpu",
     .op = KOP_ROUTE,
     .takes = route_takes,
     .tasks = gpu_one_task,
     .enqueue = route_enqueue},
    {.name = "sum_experts.gpu",
     .backend = "gpu",
     .op = KOP_SUM_EXPERTS,
     .fused = KFUSED_RESIDUAL,
     .takes = sum_takes,
     .tasks = gpu_one_task,
     .enqueue = sum_enqueue},
};

const gpu_row_list gpu_rows_moe = {rows, sizeof rows / sizeof *rows};
