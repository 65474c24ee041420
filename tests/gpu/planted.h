/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the kernels of planted.c. */
#ifndef NB_TESTS_GPU_PLANTED_H
#define NB_TESTS_GPU_PLANTED_H

#include "gpu/planted_params.h"
#include "gpu/sim/sim.h"

enum { PLANTED_BLOCK = 128, PLANTED_BLOCKS = 4, PLANTED_SHARED = PLANTED_BLOCK * sizeof(float) };

/* PLANTED_BLOCKS blocks, with x = 0, 1, ..; y is what they have left. An error: its text, else "". */
typedef struct planted {
    float y[PLANTED_BLOCKS * PLANTED_BLOCK];
    char error[SIM_ERROR_TEXT];
} planted;
void planted_run(const char *name, uint32_t n, planted *out);

#endif
