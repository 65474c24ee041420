/* SPDX-License-Identifier: Apache-2.0
 *
 * Guarded buffers on top of mmap. */
#include "verify/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"

static bool grow(guard *g, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), cap = round_up(size + size / 2 + 1, page);
    if (g->base && size <= g->cap) return true;
    guard_free(g);
    uint8_t *base = mmap(NULL, cap + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return false;
    g->base = base;
    g->cap = cap;
    g->page = page;
    if (mprotect(base + cap, page, PROT_NONE) == 0) return true;
    guard_free(g);
    return false;
}

void guard_free(guard *g) {
    if (g->base) munmap(g->base, g->cap + g->page);
    *g = (guard){0};
}

void *guard_input_before(guard *g, size_t size, size_t gap) {
    if (!grow(g, size + gap)) return NULL;
    g->gap = gap;
    uint8_t *end = g->base + g->cap;
    memset(end - gap, 0xff, gap);
    return end - gap - size;
}

void *guard_input(guard *g, size_t size) {
    return guard_input_before(g, size, 0);
}

/* Asked for in a signal handler: the size of a page was found out before. */
size_t guard_past_end(const guard *g, const void *address) {
    uintptr_t end = (uintptr_t)g->base + g->cap, at = (uintptr_t)address;
    if (!g->base || at < end || at >= end + g->page) return 0;
    return at - end + 1 + g->gap;
}

void *guard_output(guard *g, size_t size, uint8_t poison) {
    size_t whole = round_up(size, 64) + 2 * GUARD_BAND;
    if (!grow(g, whole)) return NULL;
    g->gap = g->cap - whole;
    memset(g->base, poison, whole);
    return g->base + GUARD_BAND;
}

bool guard_intact(const void *output, size_t size, uint8_t poison) {
    const uint8_t *bytes = output;
    for (int i = 1; i <= GUARD_BAND; i++)
        if (bytes[-i] != poison) return false;
    for (size_t i = size; i < round_up(size, 64) + GUARD_BAND; i++)
        if (bytes[i] != poison) return false;
    return true;
}
