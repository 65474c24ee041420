/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over the GPU's rows in the simulation, and its command line: [--quick | --full] [--verbose] [--seed N]
 * [PATTERN[,PATTERN...]]; patterns are of rows' names, as in "matmul.*.qmv.gpu", or "!*.mxfp8.*" for all others.
 * Without a level the walk is a lean one: some of the quick walk's cases. */
#ifndef NB_TESTS_GPU_WALK_H
#define NB_TESTS_GPU_WALK_H

#include <stdbool.h>

struct sim_device_kind;
/* Another device than the simulation's, before walk_rows. */
void walk_on(const struct sim_device_kind *kind);

/* False: wrong usage, which it has shown. Also sees to it that a crash says what was running. one_of_each: where code
 * is slow, and no pattern given, of the rows that differ in their weights' mode only a few. */
bool walk_options(int argc, char **argv, bool one_of_each);
/* A test of cmocka. */
void walk_rows(void **state);

#endif
