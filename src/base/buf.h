/* SPDX-License-Identifier: Apache-2.0
 *
 * A growable byte buffer, always NUL-terminated once something was put in. A failed growth (no memory, or past
 * `limit`) is sticky: later puts do nothing, and `failed` is looked at once at the end. {0} is an empty buffer. */
#ifndef NB_BASE_BUF_H
#define NB_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct buf {
    char *data;
    size_t len, cap;
    size_t limit; /* 0 = none */
    bool failed;
} buf;

void buf_put(buf *b, const void *bytes, size_t n);
void buf_puts(buf *b, const char *text);
void buf_putc(buf *b, char c);
void buf_printf(buf *b, const char *format, ...) NB_PRINTF(2, 3);
/* Room for n more bytes at the returned place (not yet counted in len), or NULL. */
void *buf_reserve(buf *b, size_t n);
/* Hands the bytes over (free() them); "" allocated when empty, NULL when failed. The buffer is empty after. */
char *buf_take(buf *b, size_t *len);
void buf_clear(buf *b); /* keeps the memory */
void buf_free(buf *b);

#endif
