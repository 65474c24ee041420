/* SPDX-License-Identifier: Apache-2.0
 *
 * The check at load in a fresh process of the nibble command. */
#ifndef NB_ENGINE_CHECK_PROCESS_H
#define NB_ENGINE_CHECK_PROCESS_H

#include "engine/engine.h"

/* What is to be checked; all that a verdict holds for. */
typedef struct check_process {
    const device_info *device;
    const char *model; /* its folder */
    dtype kv_type;
    int64_t n_batch;
    int gpu_layers; /* 0: all */
    bool full;
} check_process;

/* Runs `nibble verify --at-load` to its end; `user` is a check_process. $NIBBLE_COMMAND says where nibble is (the
 * command sets it to itself); without it the error says what a person can do. NB_OK also where something was found. */
nb_status check_process_run(void *user, nb_error *err);

#endif
