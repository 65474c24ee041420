/* SPDX-License-Identifier: Apache-2.0
 *
 * A bump allocator: many small allocations that live and die together. Not thread safe. */
#ifndef NB_BASE_ARENA_H
#define NB_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/status.h"

typedef struct arena arena;

/* A new arena that refuses to grow beyond `limit` bytes in all (0 = no limit). NULL when out of memory. */
arena *arena_new(size_t limit);
void arena_free(arena *a);

/* 16-byte aligned; arena_alloc leaves the bytes undefined, arena_zalloc zeroes them (and checks count * size).
 * NULL when out of memory or past the limit; every later request then fails or succeeds on its own. */
void *arena_alloc(arena *a, size_t size);
void *arena_zalloc(arena *a, size_t count, size_t size);
char *arena_strdup(arena *a, const char *text);
char *arena_strndup(arena *a, const char *text, size_t length);
char *arena_printf(arena *a, const char *format, ...) NB_PRINTF(2, 3);

/* Bytes handed out so far. */
size_t arena_used(const arena *a);

#endif
