/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated device's memory: addresses from a range that nothing else has, handed out once only. */
#define _GNU_SOURCE
#include "gpu/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/num.h"

enum { PAGE = 4096, ALIGN = 256, MOST = 4096 };
static const size_t RANGE = (size_t)1 << SIM_RANGE_SHIFT;

/* Of the device: $NB_SIM_MEMORY bytes, or 2 GiB. */
static size_t total_bytes(void) {
    const char *wanted = getenv("NB_SIM_MEMORY");
    return wanted ? (size_t)strtoull(wanted, NULL, 10) : (size_t)2 << 30;
}

typedef struct block {
    uint8_t *data, *pages;
    size_t bytes, mapped;
} block;

static struct {
    uint8_t *range, *next, *end;
    block blocks[MOST];
    size_t n, used;
    bool closed;
    void (*released)(const void *p, size_t bytes);
} memory;

const uint8_t *sim_range(void) {
    if (memory.range) return memory.range;
    void *range = mmap(NULL, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return NULL;
    memory.range = memory.next = range;
    memory.end = memory.next + RANGE;
    return range;
}

void *sim_alloc(size_t bytes) {
    const size_t size = round_up(bytes ? bytes : 1, ALIGN), mapped = round_up(size, PAGE);
    if (!sim_range()) return NULL;
    const bool room = mapped + PAGE <= (size_t)(memory.end - memory.next) && memory.used + mapped <= total_bytes();
    if (!room || memory.n == MOST || mprotect(memory.next, mapped, PROT_READ | PROT_WRITE) != 0) return NULL;
    block *b = &memory.blocks[memory.n++];
    *b = (block){.data = memory.next + mapped - size, .pages = memory.next, .bytes = bytes, .mapped = mapped};
    memset(b->pages, 0xff, mapped);
    memory.next += mapped + PAGE;
    memory.used += mapped;
    if (memory.closed) mprotect(b->pages, mapped, PROT_NONE);
    return b->data;
}

bool sim_release(void *p) {
    for (size_t i = 0; i < memory.n; i++) {
        block *b = &memory.blocks[i];
        if (b->data != p) continue;
        /* Unreadable from now on, and given back to the system. */
        mmap(b->pages, b->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        if (memory.released) memory.released(b->pages, b->mapped);
        memory.used -= b->mapped;
        *b = memory.blocks[--memory.n];
        return true;
    }
    return false;
}

bool sim_holds(const void *p, size_t bytes) {
    const uint8_t *at = p;
    for (size_t i = 0; i < memory.n; i++) {
        const block *b = &memory.blocks[i];
        if (at >= b->data && at <= b->data + b->bytes) return bytes <= (size_t)(b->data + b->bytes - at);
    }
    return false;
}

void sim_memory(uint64_t *free_bytes, uint64_t *total) {
    *total = total_bytes();
    *free_bytes = *total > memory.used ? *total - memory.used : 0;
}

void sim_open(bool open) {
    if (memory.closed == !open) return;
    memory.closed = !open;
    for (size_t i = 0; i < memory.n; i++)
        mprotect(memory.blocks[i].pages, memory.blocks[i].mapped, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void sim_on_release(void (*fn)(const void *p, size_t bytes)) {
    memory.released = fn;
}
