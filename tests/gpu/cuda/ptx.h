/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kernels a PTX text holds. */
#ifndef NB_TESTS_GPU_PTX_H
#define NB_TESTS_GPU_PTX_H

#include "gpu/sim/sim.h"

enum { PTX_MOST_KERNELS = 512 };

typedef struct ptx_module {
    const sim_kernel *kernels[PTX_MOST_KERNELS];
    bool waits[PTX_MOST_KERNELS]; /* for the launch in front, which may still run: griddepcontrol */
    int n;
} ptx_module;

/* Finds the module of the same kernels that was compiled for this host, and compares the sizes of their params. False:
 * `error` says what does not fit. */
bool ptx_read(const char *text, ptx_module *out, char error[SIM_ERROR_TEXT]);

#endif
