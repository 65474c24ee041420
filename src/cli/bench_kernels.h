/* SPDX-License-Identifier: Apache-2.0
 *
 * `nibble bench kernels`: times the rows of the registry. */
#ifndef NB_CLI_BENCH_KERNELS_H
#define NB_CLI_BENCH_KERNELS_H

#include "cli/cli.h"

/* Rows whose name matches `filter` ('*' is any text; NULL: all) on the device `where` (as --device
 * has it), a CPU with n_threads threads (0: all). Returns an exit code. */
int bench_kernels(const char *filter, const char *where, int n_threads, bool json);

#endif
