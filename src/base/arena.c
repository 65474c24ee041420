/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

typedef struct block {
    struct block *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
} block;

struct arena {
    block *blocks; /* the newest first; only the newest has room that is looked at */
    size_t used, limit;
};

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };

arena *arena_new(size_t limit) {
    arena *a = calloc(1, sizeof *a);
    if (a) a->limit = limit;
    return a;
}

void arena_free(arena *a) {
    if (!a) return;
    for (block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(arena *a, size_t size) {
    if (size > SIZE_MAX - 64) return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size == 0) size = 16;
    if (a->limit && (size > a->limit || a->used > a->limit - size)) return NULL;
    block *b = a->blocks;
    if (!b || b->size - b->used < size) {
        size_t want = b ? b->size * 2 : FIRST_BLOCK;
        if (want > LARGEST_STEP) want = LARGEST_STEP;
        if (want < size) want = size;
        block *fresh = malloc(sizeof *fresh + want);
        if (!fresh) return NULL;
        *fresh = (block){.next = b, .size = want};
        a->blocks = b = fresh;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    a->used += size;
    return p;
}

void *arena_zalloc(arena *a, size_t count, size_t size) {
    size_t total;
    if (!size_mul(count, size, &total)) return NULL;
    void *p = arena_alloc(a, total);
    if (p) memset(p, 0, total);
    return p;
}

char *arena_strndup(arena *a, const char *text, size_t length) {
    char *p = length < SIZE_MAX ? arena_alloc(a, length + 1) : NULL;
    if (!p) return NULL;
    memcpy(p, text, length);
    p[length] = 0;
    return p;
}

char *arena_strdup(arena *a, const char *text) {
    return arena_strndup(a, text, strlen(text));
}

char *arena_printf(arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p) vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

size_t arena_used(const arena *a) {
    return a->used;
}
