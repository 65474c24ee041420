/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds the parts that the splits of few_stage.h leave, in their order. */
#define NB_GPU_DEVICE_CODE
#include "few_params.h"
#include "qmv_stage.h"

#if !defined(__AMDGCN__)
enum { AT_ONCE = 8 };

/* A thread an element of y. Grid: (the parts' columns / block, tokens). */
KERNEL void few_sum(struct few_params p) {
    u32 part = 0, block = bid_x();
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) if (i < p.parts.n && bid_x() >= p.parts.first[i]) {
        part = i;
        block = bid_x() - p.parts.first[i];
    }
    const few_part *of = &p.part[part];
    const u32 n = of->of.act ? of->of.n / 2 : of->of.n, column = block * bdim() + tid(), token = bid_y();
    if (column >= n) return;
    const u64 step = (u64)of->of.rows * of->of.n;
    const GLOBAL float *sums = of->sums + (u64)token * of->of.n + column;
    float v = 0, second = 0;
    for (u32 first = 0; first < of->splits; first += AT_ONCE, sums += AT_ONCE * step) {
        float a[AT_ONCE], b[AT_ONCE]; /* all on their way before the first is added */
        UNROLL for (u32 i = 0; i < AT_ONCE; i++) {
            a[i] = first + i < of->splits ? sums[i * step] : 0;
            b[i] = of->of.act && first + i < of->splits ? sums[i * step + n] : 0;
        }
        UNROLL for (u32 i = 0; i < AT_ONCE; i++) {
            v += a[i];
            second += b[i];
        }
    }
    qmv_end(&of->of, v, second, qmv_residual(&of->of, token, column), token, column, 0, 0);
}
#endif
