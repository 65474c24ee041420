/* SPDX-License-Identifier: Apache-2.0
 *
 * Libraries of GPU vendors, opened while nibble runs. They may be absent, too old, or half there. */
#ifndef NB_GPU_LIBRARY_H
#define NB_GPU_LIBRARY_H

#include "base/status.h"

typedef struct gpu_library {
    void *handle;    /* NULL: it could not be opened; it is never closed, since drivers do not survive that */
    char name[256];  /* by which it was opened */
    char error[300]; /* why not, for people */
} gpu_library;

/* Opens the first of `names` (ended by NULL) that there is; with `folder` (may be NULL), which may also be
 * a library's own path, it is looked for there before anywhere else. False: all failed. */
bool gpu_library_open(gpu_library *l, const char *const *names, const char *folder);

/* Looks up n symbols into the array of function pointers at `to`; a NULL among the names stays NULL, and so does one
 * that is missing where its name begins with '?'. False: another is missing, which l->error says. */
bool gpu_library_symbols(gpu_library *l, const char *const *names, size_t n, void *to);

#endif
