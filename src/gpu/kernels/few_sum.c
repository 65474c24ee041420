/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds the parts that the splits of few_stage.h leave, in their order. */
#define NB_GPU_DEVICE_CODE
#include "few_params.h"
#include "qmv_stage.h"

#if !defined(__AMDGCN__)
/* A thread an element of y. Grid: (the parts' columns / block, tokens). */
KERNEL void few_sum(struct few_params p) {
    u32 block;
    const few_part *of = &p.part[gpu_part_of(&p.parts, &block)];
    const u32 n = of->of.act ? of->of.n / 2 : of->of.n, column = block * bdim() + tid(), token = bid_y();
    if (column >= n) return;
    float v = 0, second = 0;
    for (u32 i = 0; i < of->splits; i++) {
        const GLOBAL float *sums = of->sums + (i * (u64)of->of.rows + token) * of->of.n + column;
        v += sums[0];
        if (of->of.act) second += sums[n];
    }
    qmv_end(&of->of, v, second, qmv_residual(&of->of, token, column), token, column, 0, 0);
}
#endif
