/* SPDX-License-Identifier: Apache-2.0
 *
 * A loaded code object as the executor sees it. Each kernel's instructions are decoded when it is first launched and
 * kept here. */
#ifndef NB_TESTS_GFX_OBJECT_H
#define NB_TESTS_GFX_OBJECT_H

#include <pthread.h>

#include "gfx/gfx.h"

struct gfx_code;

typedef struct gfx_object_kernel_entry {
    gfx_kernel k;
    struct gfx_code *code; /* NULL: not decoded yet */
} gfx_object_kernel_entry;

struct gfx_object {
    uint8_t *image; /* the loadable segments, at the addresses that the ELF gives, from 0 on */
    size_t image_size;
    uint32_t machine; /* of e_flags */
    size_t n_kernels;
    gfx_object_kernel_entry *kernels;
    pthread_mutex_t decoding;
};

/* metadata.c: kernels, each with its name, symbol and arguments, from the note's MessagePack. `name` and `symbol` point
 * into data; their ends are not marked. */
typedef struct gfx_meta_text {
    const char *at;
    size_t length;
} gfx_meta_text;
typedef struct gfx_meta_kernel {
    gfx_meta_text name, symbol;
    gfx_kernel k; /* args, most_threads, n_vgprs, n_sgprs, kernarg_size */
} gfx_meta_kernel;
/* False: err says what is wrong. To be freed by the caller. */
bool gfx_metadata(const uint8_t *data, size_t size, gfx_meta_kernel **out, size_t *n, char *err, size_t err_size);

#endif
