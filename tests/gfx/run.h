/* SPDX-License-Identifier: Apache-2.0
 *
 * A launch that is running, as all its threads see it. */
#ifndef NB_TESTS_GFX_RUN_H
#define NB_TESTS_GFX_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "gfx/object.h"
#include "gfx/wave.h"

/* The packet that starts a kernel, of which device code may read (HSA's kernel dispatch packet). */
typedef struct gfx_packet {
    uint16_t header, setup, group_size[3], reserved0;
    uint32_t grid_size[3], private_size, group_segment;
    uint64_t code, kernarg, reserved1, signal;
} gfx_packet;

struct gfx_run_state {
    const gfx_launch *launch;
    const gfx_code *code;
    uint8_t *kernarg; /* all of the kernel's arguments, the hidden ones too */
    gfx_packet packet;
    uint64_t n_blocks;
    _Atomic uint64_t next_block;
    _Atomic bool failed;
    pthread_mutex_t lock; /* of error */
    char error[GFX_ERROR_TEXT];
};

#endif
