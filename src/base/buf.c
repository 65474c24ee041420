/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *buf_reserve(buf *b, size_t n) {
    if (b->failed) return NULL;
    if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4 || (b->limit && n > b->limit - b->len)) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->len + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        if (cap < need) cap = need;
        char *data = realloc(b->data, cap);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_put(buf *b, const void *bytes, size_t n) {
    char *to = buf_reserve(b, n);
    if (!to) return;
    if (n) memcpy(to, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_puts(buf *b, const char *text) {
    buf_put(b, text, strlen(text));
}
void buf_putc(buf *b, char c) {
    buf_put(b, &c, 1);
}

void buf_printf(buf *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = n < 0 ? NULL : buf_reserve(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    } else {
        b->failed = true;
    }
    va_end(again);
}

char *buf_take(buf *b, size_t *len) {
    if (!b->data) buf_put(b, "", 0);
    char *data = b->failed ? NULL : b->data;
    if (b->failed) free(b->data);
    if (len) *len = data ? b->len : 0;
    *b = (buf){.limit = b->limit};
    return data;
}

void buf_clear(buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->data) b->data[0] = 0;
}

void buf_free(buf *b) {
    free(b->data);
    *b = (buf){.limit = b->limit};
}
