/* SPDX-License-Identifier: Apache-2.0
 *
 * The ranges of memory that kernels may touch, in order of their addresses. Launches hold the lock for reading while
 * they run, so that what they look up stays. */
#include "gfx/ranges.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static gfx_range *ranges;
static size_t n_ranges, room;

/* The first range that begins behind `at`. */
static size_t behind(uint64_t at) {
    size_t low = 0, high = n_ranges;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (ranges[middle].begin > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void add(const void *p, size_t bytes, uint8_t *written) {
    const uint64_t begin = (uint64_t)(uintptr_t)p;
    pthread_rwlock_wrlock(&lock);
    if (n_ranges == room) {
        const size_t more = room ? 2 * room : 64;
        gfx_range *grown = realloc(ranges, more * sizeof *grown);
        if (!grown) abort(); /* a test's machine without memory for a few words */
        ranges = grown;
        room = more;
    }
    const size_t at = behind(begin);
    memmove(ranges + at + 1, ranges + at, (n_ranges - at) * sizeof *ranges);
    ranges[at] = (gfx_range){begin, begin + bytes, written};
    n_ranges++;
    pthread_rwlock_unlock(&lock);
}

void gfx_memory_add(const void *p, size_t bytes) {
    if (p && bytes) add(p, bytes, NULL);
}

void gfx_memory_add_new(const void *p, size_t bytes) {
    if (p && bytes) add(p, bytes, calloc(bytes, 1)); /* without memory for it all counts as written */
}

void gfx_memory_written(const void *p, size_t bytes) {
    gfx_range r;
    const uint64_t begin = (uint64_t)(uintptr_t)p;
    gfx_ranges_hold();
    if (gfx_range_find(begin, &r) && r.written && bytes <= r.end - begin)
        memset(r.written + (begin - r.begin), 1, bytes);
    gfx_ranges_let_go();
}

void gfx_memory_remove(const void *p) {
    const uint64_t begin = (uint64_t)(uintptr_t)p;
    pthread_rwlock_wrlock(&lock);
    const size_t at = behind(begin);
    if (at > 0 && ranges[at - 1].begin == begin) {
        free(ranges[at - 1].written);
        memmove(ranges + at - 1, ranges + at, (n_ranges - at) * sizeof *ranges);
        n_ranges--;
    }
    pthread_rwlock_unlock(&lock);
}

void gfx_ranges_hold(void) {
    pthread_rwlock_rdlock(&lock);
}

void gfx_ranges_let_go(void) {
    pthread_rwlock_unlock(&lock);
}

bool gfx_range_find(uint64_t address, gfx_range *out) {
    const size_t at = behind(address);
    if (at == 0 || ranges[at - 1].end <= address) return false;
    *out = ranges[at - 1];
    return true;
}

bool gfx_memory_holds(const void *p, size_t bytes) {
    gfx_range r;
    gfx_ranges_hold();
    const bool holds = gfx_range_find((uint64_t)(uintptr_t)p, &r) && bytes <= r.end - (uint64_t)(uintptr_t)p;
    gfx_ranges_let_go();
    return holds;
}
