/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches of the planted kernels, on memory of the simulated device. */
#include <stdio.h>
#include <string.h>

#include "gpu/planted.h"

void planted_run(const char *name, uint32_t n, planted *out) {
    static float x[PLANTED_BLOCKS * PLANTED_BLOCK];
    const uint32_t grid[3] = {PLANTED_BLOCKS, 1, 1};
    const sim_kernel *k = sim_find("planted", name);
    struct planted_params p = {.x = sim_alloc(sizeof x), .y = sim_alloc(sizeof out->y), .n = n};
    memset(out, 0, sizeof *out);
    if (!k || !p.x || !p.y) {
        snprintf(out->error, sizeof out->error, "%s cannot run", name);
        return;
    }
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)i;
    memcpy((void *)(uintptr_t)p.x, x, sizeof x);
    sim_run(k, grid, PLANTED_BLOCK, PLANTED_SHARED, &p, sizeof p, out->error);
    memcpy(out->y, p.y, sizeof out->y);
    sim_release((void *)(uintptr_t)p.x);
    sim_release(p.y);
}
