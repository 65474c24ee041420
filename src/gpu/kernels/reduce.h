/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over a block. */
#ifndef NB_GPU_KERNELS_REDUCE_H
#define NB_GPU_KERNELS_REDUCE_H

#include "gpu.h"
#include "reduce_params.h"

/* The sum over the block, in every thread, by way of REDUCE_FLOATS shared floats that nobody else uses until the next
 * barrier. */
INLINE float block_sum(float v, SHARED float *sums) {
    const u32 n_warps = bdim() / WARP;
    v = warp_sum(v);
    if (lane_id() == 0) sums[warp_id()] = v;
    barrier();
    return warp_sum(lane_id() < n_warps ? sums[lane_id()] : 0);
}

#endif
