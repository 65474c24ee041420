/* SPDX-License-Identifier: Apache-2.0
 *
 * What test_run.c and its kernels have in common. */
#ifndef NB_TESTS_GFX_KERNELS_PARAMS_H
#define NB_TESTS_GFX_KERNELS_PARAMS_H

struct run_params {
    unsigned *out;
    const unsigned *in;
    unsigned n, how;
};

enum { RUN_BLOCK = 256, SORTED = 48 };

#endif
