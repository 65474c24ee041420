/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts of executed instructions, by mnemonic as the table of opcodes has it (VOPD counts as both of its halves). */
#include "gfx/count.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 2048 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *name;
    uint64_t n;
} table[MOST];
static size_t n_names;
static _Atomic bool counting;
static _Atomic uint64_t all;

void gfx_count(bool on) {
    atomic_store(&counting, on);
}

uint64_t gfx_executed(void) {
    return atomic_load(&all);
}

void gfx_count_waves(uint64_t executed) {
    atomic_fetch_add_explicit(&all, executed, memory_order_relaxed);
}

uint64_t *gfx_counts_new(const gfx_code *c) {
    return atomic_load(&counting) ? calloc((size_t)c->n + 1, sizeof(uint64_t)) : NULL;
}

static void add(const char *name, uint64_t n) {
    size_t i = 0;
    while (i < n_names && strcmp(table[i].name, name) != 0) i++;
    if (i == MOST) return;
    if (i == n_names) table[n_names++].name = name; /* of the table of opcodes, which stays */
    table[i].n += n;
}

void gfx_counts_add(const gfx_code *c, uint64_t *counts) {
    if (!counts) return;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < c->n; i++) {
        if (!counts[i] || !c->ops[i].inst.spec) continue;
        add(c->ops[i].inst.spec->name, counts[i]);
        if (c->ops[i].inst.y) add(c->ops[i].inst.y->name, counts[i]);
    }
    pthread_mutex_unlock(&lock);
    free(counts);
}

bool gfx_counted(size_t i, const char **name, uint64_t *n) {
    pthread_mutex_lock(&lock);
    const bool there = i < n_names;
    if (there) {
        *name = table[i].name;
        *n = table[i].n;
    }
    pthread_mutex_unlock(&lock);
    return there;
}
