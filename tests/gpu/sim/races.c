/* SPDX-License-Identifier: Apache-2.0
 *
 * Races: kernels compiled with clang's instrumentation for ThreadSanitizer call these functions, in place of its
 * runtime, for each access to memory. Two accesses to a byte, one of them a write, must be ordered: by a barrier
 * between them, or, within a warp, by a collective, which real warps order as well. Nothing orders two blocks of a
 * launch. What is remembered of each pair of bytes: the last write and two reads that a write would race with. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/sim/races.h"
#include "gpu/sim/sim.h"

enum { UNIT = 2 };

typedef struct access {
    uint32_t launch, block; /* launch 0: none; for shared memory each block counts as a launch of its own */
    uint16_t tid, barriers, collectives;
    uint8_t bytes; /* of the unit: bit 0, bit 1 */
    bool atomic;
} access;

typedef struct history {
    access write, reads[2];
} history;

static struct {
    history *global; /* of the whole range of addresses */
    history shared[SIM_SHARED_MAX / UNIT + 1];
    uint32_t launch, blocks; /* blocks that have been seen, of launch the block `block` last */
    uint64_t block;
} seen;

static bool same_block(const access *a, const access *b) {
    return a->launch == b->launch && a->block == b->block;
}

static bool same_warp(const access *a, const access *b) {
    return a->tid / SIM_WARP == b->tid / SIM_WARP;
}

/* Whether a, which came first, is known to be over when b happens. */
static bool ordered(const access *a, const access *b) {
    if (a->launch != b->launch) return true;
    if (!same_block(a, b)) return false;
    if (a->tid == b->tid || a->barriers < b->barriers) return true;
    return same_warp(a, b) && a->collectives < b->collectives && a->barriers == b->barriers;
}

static bool race(const access *a, const access *b) {
    return (a->bytes & b->bytes) && !(a->atomic && b->atomic) && !ordered(a, b);
}

/* ---- One access -------------------------------------------------------------------------------------------------- */

static void report(const access *before, bool wrote, const access *now, bool writes, const void *p,
                   const sim_place *at) {
    const uint8_t *address = p;
    const bool shared = address >= at->shared && address < at->shared + at->shared_bytes;
    sim_fail("race: thread %u %s %s memory at %s%lx, which thread %u of %s %s with nothing between that orders them",
             now->tid, writes ? "writes" : "reads", shared ? "shared" : "global", shared ? "+0x" : "0x",
             shared ? (unsigned long)(address - at->shared) : (unsigned long)(uintptr_t)address, before->tid,
             same_block(before, now) ? "its block" : "another block", wrote ? "has written" : "has read");
}

static void remember_read(history *h, const access *now) {
    access *a = &h->reads[0], *b = &h->reads[1];
    if (ordered(a, now))
        *a = *now;
    else if (ordered(b, now) || (same_block(a, b) && same_warp(a, b)))
        *b = *now; /* two warps, or two blocks, say more than two lanes */
}

static void touch(history *h, const access *now, bool writes, const void *p, const sim_place *at) {
    if (race(&h->write, now)) report(&h->write, true, now, writes, p, at);
    if (!writes) {
        remember_read(h, now);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (race(&h->reads[i], now)) report(&h->reads[i], false, now, writes, p, at);
    h->write = *now;
}

static history *history_of(const uint8_t *p, const sim_place *at) {
    const uint8_t *range = sim_range();
    if (p >= at->shared && p < at->shared + at->shared_bytes) return &seen.shared[(p - at->shared) / UNIT];
    if (p < range || (size_t)(p - range) >> SIM_RANGE_SHIFT) return NULL; /* the thread's own, or constants */
    return &seen.global[(p - range) / UNIT];
}

/* Numbers blocks in the order in which they run, which is one after the other. */
static uint32_t number_of_block(const sim_place *at) {
    if (seen.launch != at->launch || seen.block != at->block_number) seen.blocks++;
    seen.launch = at->launch;
    seen.block = at->block_number;
    return seen.blocks;
}

void races_access(const void *p, size_t bytes, bool writes, bool atomic) {
    sim_place at;
    if (!sim_here(&at)) return;
    const uint8_t *first = p, *end = first + bytes;
    const bool near_shared = first >= at.shared && first <= at.shared + at.shared_bytes;
    if (near_shared && end > at.shared + at.shared_bytes)
        sim_fail("thread %u %s shared memory at +0x%lx, but there are only %u bytes", at.tid,
                 writes ? "writes" : "reads", (unsigned long)(first - at.shared), at.shared_bytes);
    if (!history_of(first, &at)) return;
    access now = {.launch = near_shared ? number_of_block(&at) : at.launch,
                  .block = (uint32_t)at.block_number,
                  .tid = (uint16_t)at.tid,
                  .barriers = (uint16_t)at.barriers,
                  .collectives = (uint16_t)at.collectives,
                  .atomic = atomic};
    for (const uint8_t *unit = first; unit < end;) {
        const uint8_t odd = (uintptr_t)unit % UNIT;
        const size_t n = end - unit < UNIT - odd ? (size_t)(end - unit) : (size_t)(UNIT - odd);
        now.bytes = (uint8_t)((n == 2 ? 3 : 1) << odd);
        touch(history_of(unit, &at), &now, writes, unit, &at);
        unit += n;
    }
}

bool races_begin(void) {
    const size_t size = ((size_t)1 << SIM_RANGE_SHIFT) / UNIT * sizeof(history);
    if (!sim_range()) return false;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    seen.global = p;
    sim_alone(true);
    sim_on_release(races_forget);
    return true;
}

void races_forget(const void *p, size_t bytes) {
    if (!seen.global) return;
    const uintptr_t page = 4096;
    const uintptr_t first = (uintptr_t)&seen.global[((const uint8_t *)p - sim_range()) / UNIT] / page * page;
    madvise((void *)first, bytes / UNIT * sizeof(history), MADV_DONTNEED);
}
