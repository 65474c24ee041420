/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers that catch a kernel's stray reads and writes: inputs end at a page that cannot be read, outputs stand between
 * bands of a known pattern. Regions are kept and grow, so that thousands of cases cost no system calls. */
#ifndef NB_VERIFY_GUARD_H
#define NB_VERIFY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct guard {
    uint8_t *base; /* NULL: none yet */
    size_t cap;    /* bytes in front of the unreadable page */
    size_t page;   /* bytes of that page */
    size_t gap;    /* of these, behind the end of what guard_input_before gave */
} guard;

enum { GUARD_BAND = 256 }; /* bytes on each side of an output */

/* `size` bytes whose end is the end of readable memory; contents undefined. Aligned as far as size is a multiple of
 * the alignment. NULL when out of memory. What an earlier call returned is gone. */
void *guard_input(guard *g, size_t size);

/* The same, `gap` bytes before the end: at another alignment. They are 0xff. */
void *guard_input_before(guard *g, size_t size, size_t gap);
/* How many bytes past the end of an input an address in the unreadable page is, counted from 1; 0: it lies elsewhere.
 */
size_t guard_past_end(const guard *g, const void *address);

/* `size` bytes, 64-byte aligned, between two bands, all filled with `poison`. NULL when out of memory. */
void *guard_output(guard *g, size_t size, uint8_t poison);
/* Whether both bands still hold the poison that guard_output put there. */
bool guard_intact(const void *output, size_t size, uint8_t poison);

void guard_free(guard *g);

#endif
