/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable MATMUL rows for weights as they are stored: a task is 8 outputs, each turned into a row of fp32 weights once
 * and multiplied with every token. */
#include "cpu/cpu_rows.h"
#include "cpu/scalar_weight.h"

#include "base/half.h"
#include "base/num.h"

enum { TASK_OUTPUTS = 8 };

static bool plain_takes(const krow *row, const kcall *c) {
    return c->w->mode == W_PLAIN && c->w->type == (dtype)row->param[0] && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

static bool affine_takes(const krow *row, const kcall *c) {
    return c->w->mode == W_AFFINE && c->w->bits == row->param[0] && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

static bool mode_takes(const krow *row, const kcall *c) {
    return c->w->mode == (wmode)row->param[0] && c->y.type == DT_F32 &&
           (!c->residual.data || c->residual.type == DT_F32);
}

static int64_t matmul_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->w->n, TASK_OUTPUTS);
}

static size_t matmul_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)c->w->k * sizeof(float);
}

static void matmul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    float *weights = scratch;
    for (int64_t i = begin * TASK_OUTPUTS; i < min_i64(end * TASK_OUTPUTS, c->w->n); i++) {
        float bias = c->weight.data ? (float)float_at(c->weight.data, c->weight.type, i) : 0.0f;
        scalar_weight_row(c->w, i, weights);
        for (int64_t t = 0; t < c->x.rows; t++) {
            float y = scalar_dot((const float *)c->x.data + t * c->x.stride, weights, c->w->k);
            if (c->weight.data) y += bias;
            if (c->residual.data) y += ((const float *)c->residual.data)[t * c->residual.stride + i];
            ((float *)c->y.data)[t * c->y.stride + i] = y;
        }
    }
}

#define MATMUL_ROW(what, takes_it, p)                                                                                  \
    {                                                                                                                  \
        .name = "matmul." what ".scalar", .backend = "cpu", .op = KOP_MATMUL, .x_type = DT_F32, .param = {p},          \
        .chains = SCALAR_DOT_CHAINS, .takes = takes_it, .tasks = matmul_tasks, .scratch = matmul_scratch,              \
        .run = matmul_run,                                                                                             \
    }

static const krow rows[] = {
    MATMUL_ROW("plain.f32", plain_takes, DT_F32),   MATMUL_ROW("plain.f16", plain_takes, DT_F16),
    MATMUL_ROW("plain.bf16", plain_takes, DT_BF16), MATMUL_ROW("affine2", affine_takes, 2),
    MATMUL_ROW("affine3", affine_takes, 3),         MATMUL_ROW("affine4", affine_takes, 4),
    MATMUL_ROW("affine5", affine_takes, 5),         MATMUL_ROW("affine6", affine_takes, 6),
    MATMUL_ROW("affine8", affine_takes, 8),         MATMUL_ROW("mxfp4", mode_takes, W_MXFP4),
    MATMUL_ROW("mxfp8", mode_takes, W_MXFP8),       MATMUL_ROW("nvfp4", mode_takes, W_NVFP4),
};
const krow_table scalar_matmul_rows = KROW_TABLE(rows);
