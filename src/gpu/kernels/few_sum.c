/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds the parts that the splits of qmm_few.h leave, in their order. */
#define NB_GPU_DEVICE_CODE
#include "qmm.h"

#if MMA_16X8
/* A thread an element of y: grid (columns / block, tokens). */
KERNEL void few_sum(struct qmm_params p) {
    const u32 n = p.act ? p.w.n / 2 : p.w.n, column = bid_x() * bdim() + tid(), token = bid_y();
    if (column >= n) return;
    float v = 0, up = 0;
    for (u32 i = 0; i < p.splits; i++) {
        const GLOBAL float *part = p.parts + (i * (u64)p.x.rows + token) * p.w.n + column;
        v += part[0];
        if (p.act) up += part[n];
    }
    qmm_write(&p, 0, token, 0, column, v, up);
}
#endif
