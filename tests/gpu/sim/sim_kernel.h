/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel compiled for the host: kernels.sh writes one of these for each KERNEL of src/gpu/kernels, into a section of
 * the program, so that they make up one array. Plain types only: device code includes it as well. */
#ifndef NB_TESTS_GPU_SIM_KERNEL_H
#define NB_TESTS_GPU_SIM_KERNEL_H

typedef struct sim_kernel {
    const char *module, *name;
    void (*run)(const void *params); /* as the thread that is running now */
    unsigned long params_size;
} sim_kernel;

#endif
