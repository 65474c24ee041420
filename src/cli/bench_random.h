/* SPDX-License-Identifier: Apache-2.0
 *
 * A model of any config.json with random weights, so that its shapes can be timed with no checkpoint. */
#ifndef NB_CLI_BENCH_RANDOM_H
#define NB_CLI_BENCH_RANDOM_H

#include "cli/cli.h"

/* Writes a model directory for this config.json under $TMPDIR; its name goes to dir. cleanup_run removes it (the end of
 * the program and signals do so too); what is mapped by then stays readable. */
nb_status random_model_write(const char *config_path, char dir[512], nb_error *err);

#endif
