/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that test the simulation: some right, some with one fault each that it must find. Not part of nibble. */
#define NB_GPU_DEVICE_CODE
#include "planted_params.h"

/* The sum of each block's numbers, by warps first. */
KERNEL void sum_blocks(struct planted_params p) {
    float *sums = (float *)shared_memory();
    const float s = warp_sum(p.x[bid_x() * bdim() + tid()]);
    if (lane_id() == 0) sums[warp_id()] = s;
    barrier();
    float total = 0;
    for (u32 i = 0; i < bdim() / WARP; i++) total += sums[i];
    if (tid() == 0) p.y[bid_x()] = total;
}

/* The same without a barrier. */
KERNEL void sum_too_early(struct planted_params p) {
    float *sums = (float *)shared_memory();
    const float s = warp_sum(p.x[bid_x() * bdim() + tid()]);
    if (lane_id() == 0) sums[warp_id()] = s;
    float total = 0;
    for (u32 i = 0; i < bdim() / WARP; i++) total += sums[i];
    if (tid() == 0) p.y[bid_x()] = total;
}

/* Numbers are overwritten that other threads still read. */
KERNEL void turn_in_place(struct planted_params p) {
    float *all = (float *)shared_memory();
    all[tid()] = p.x[tid()];
    barrier();
    all[bdim() - 1 - tid()] = all[tid()];
    barrier();
    p.y[bid_x() * bdim() + tid()] = all[tid()];
}

/* Lanes of a warp read what another lane of it has written: right, since a collective stands between. */
KERNEL void order_in_warp(struct planted_params p) {
    float *all = (float *)shared_memory();
    all[tid()] = p.x[tid()];
    const float max = warp_max(0.0f);
    p.y[bid_x() * bdim() + tid()] = all[tid() ^ 1] + max;
}

KERNEL void disorder_in_warp(struct planted_params p) {
    float *all = (float *)shared_memory();
    all[tid()] = p.x[tid()];
    p.y[bid_x() * bdim() + tid()] = all[tid() ^ 1];
}

/* All blocks write one place. */
KERNEL void blocks_collide(struct planted_params p) {
    if (tid() == 0) p.y[0] = (float)bid_x();
}

/* Blocks write what others read. */
KERNEL void blocks_follow(struct planted_params p) {
    if (tid() == 0) p.y[bid_x() + 1] = p.y[bid_x()];
}

KERNEL void lane_missing(struct planted_params p) {
    float v = p.x[tid()];
    if (tid() != 37) v = warp_sum(v);
    p.y[bid_x() * bdim() + tid()] = v;
}

KERNEL void barrier_missed(struct planted_params p) {
    if (tid() >= 64) return;
    barrier();
    p.y[bid_x() * bdim() + tid()] = 0;
}

KERNEL void writes_past_shared(struct planted_params p) {
    u8 *all = shared_memory();
    if (tid() == 3) all[p.n] = 1;
}

KERNEL void writes_before_shared(struct planted_params p) {
    u8 *all = shared_memory();
    if (tid() == 3) all[-(i64)p.n] = 1;
}

KERNEL void reads_past_shared(struct planted_params p) {
    const float *all = (const float *)shared_memory();
    p.y[bid_x() * bdim() + tid()] = all[p.n + tid()];
}

KERNEL void not_aligned(struct planted_params p) {
    p.y[bid_x() * bdim() + tid()] = *(const GLOBAL float *)((const GLOBAL u8 *)p.x + 1);
}

/* What each lane gets from all others. */
KERNEL void exchange(struct planted_params p) {
    u64 mine[2] = {tid(), 3 * tid()}, all[2 * WARP];
    for (int round = 0; round < 3; round++) {
        warp_exchange(mine, all, sizeof mine);
        mine[0] = all[(2 * lane_id() + 2) % (2 * WARP)];
    }
    p.y[bid_x() * bdim() + tid()] = (float)mine[0] + (float)all[2 * WARP - 1];
}
