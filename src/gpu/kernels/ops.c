/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations that work element by element, and small helpers of other rows. */
#define NB_GPU_DEVICE_CODE
#include "ops_params.h"

/* One thread an element: grid (columns / block, rows). */
KERNEL void add(struct add_params p) {
    const u32 col = bid_x() * bdim() + tid();
    if (col >= p.y.cols) return;
    for (u32 row = bid_y(); row < p.y.rows; row += 65535) {
        const float v = load_as_f32(p.x.data, p.x.type, row * p.x.stride + col) +
                        load_as_f32(p.z.data, p.z.type, row * p.z.stride + col);
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + col, v);
    }
}

/* Addresses of experts' matrices. */
KERNEL void fill_table(struct fill_table_params p) {
    if (tid() < 3 * p.n) p.table[3 * p.first + tid()] = p.entries[tid()];
}
