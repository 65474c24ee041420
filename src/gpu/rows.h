/* SPDX-License-Identifier: Apache-2.0
 *
 * The GPU's rows, in one array for each family of operations (rows_*.c). */
#ifndef NB_GPU_ROWS_H
#define NB_GPU_ROWS_H

#include "gpu/launch.h"
#include "gpu/weight.h"

typedef struct gpu_row_list {
    const krow *rows;
    size_t n;
} gpu_row_list;

extern const gpu_row_list gpu_rows_qmv, gpu_rows_qmm, gpu_rows_few, gpu_rows_form, gpu_rows_gemm, gpu_rows_experts,
    gpu_rows_experts_many, gpu_rows_attention, gpu_rows_rope, gpu_rows_ops, gpu_rows_moe, gpu_rows_delta, gpu_rows_draw;

/* Rows that a single call of PENALIZE or DRAW may have. */
int64_t gpu_draws_at_once(int64_t vocab);

#endif
