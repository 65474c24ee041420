/* SPDX-License-Identifier: Apache-2.0
 *
 * The two hash tables of a BPE model: token spelling -> id, and pair of ids -> merge. Open addressing with linear
 * probing at a load of at most one half; both are written at load only. */
#include <string.h>

#include "base/clock.h"
#include "text/tok_internal.h"

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

/* Different in every process and table, so that no file can be made whose keys all collide. */
static uint64_t new_seed(const void *table) {
    double now = clock_now();
    uint64_t bits;
    memcpy(&bits, &now, sizeof bits);
    return mix(bits ^ (uint64_t)(uintptr_t)table);
}

uint64_t tok_hash(uint64_t seed, const char *s, size_t n) {
    uint64_t h = seed ^ n, word;
    for (; n >= 8; n -= 8, s += 8) {
        memcpy(&word, s, 8);
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, s, n);
    return mix(h ^ word);
}

/* The power of two that is at least twice n; 0 when too large. */
static size_t table_size(size_t n) {
    if (n > SIZE_MAX / 256) return 0;
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

bool tok_map_init(tok_map *m, arena *mem, size_t n) {
    size_t size = table_size(n);
    m->slots = size ? arena_alloc(mem, size * sizeof *m->slots) : NULL;
    if (!m->slots) return false;
    m->mask = size - 1;
    m->seed = new_seed(m->slots);
    m->n = 0;
    memset(m->slots, 0xff, size * sizeof *m->slots); /* ids -1 */
    return true;
}

static uint16_t tag_of(uint64_t hash) {
    return (uint16_t)(hash >> 48);
}

static tok_slot *map_slot(const tok_map *m, uint64_t hash, const char *text, size_t len) {
    for (size_t i = (size_t)hash & m->mask;; i = (i + 1) & m->mask) {
        tok_slot *s = &m->slots[i];
        if (s->id < 0) return s;
        if (s->tag == tag_of(hash) && s->len == len && memcmp(s->text, text, len) == 0) return s;
    }
}

uint64_t tok_map_prepare(const tok_map *m, const char *text, size_t len) {
    uint64_t hash = tok_hash(m->seed, text, len);
    if (m->slots) __builtin_prefetch(&m->slots[(size_t)hash & m->mask]);
    return hash;
}

int32_t tok_map_find(const tok_map *m, uint64_t hash, const char *text, size_t len) {
    return m->slots ? map_slot(m, hash, text, len)->id : -1;
}

int32_t tok_map_get(const tok_map *m, const char *text, size_t len) {
    return m->slots ? map_slot(m, tok_hash(m->seed, text, len), text, len)->id : -1;
}

void tok_map_put(tok_map *m, const char *text, uint32_t len, int32_t id) {
    uint64_t hash = tok_hash(m->seed, text, len);
    tok_slot *s = map_slot(m, hash, text, len);
    if (s->id < 0) m->n++;
    *s = (tok_slot){.text = text, .id = id, .len = (uint16_t)len, .tag = tag_of(hash)};
}

bool tok_merges_init(tok_merges *m, arena *mem, size_t n) {
    size_t size = table_size(n);
    m->slots = size ? arena_alloc(mem, size * sizeof *m->slots) : NULL;
    if (!m->slots) return false;
    m->mask = size - 1;
    m->seed = new_seed(m->slots);
    memset(m->slots, 0xff, size * sizeof *m->slots);
    return true;
}

void tok_merges_prepare(const tok_merges *m, uint64_t pair) {
    __builtin_prefetch(&m->slots[(size_t)mix(pair ^ m->seed) & m->mask]);
}

static tok_merge *merge_slot(const tok_merges *m, uint64_t pair) {
    size_t i = (size_t)mix(pair ^ m->seed) & m->mask;
    while (m->slots[i].pair != pair && m->slots[i].pair != UINT64_MAX) i = (i + 1) & m->mask;
    return &m->slots[i];
}

void tok_merges_put(tok_merges *m, const tok_merge *merge) {
    *merge_slot(m, merge->pair) = *merge;
}

const tok_merge *tok_merges_get(const tok_merges *m, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const tok_merge *slot = merge_slot(m, pair);
    return slot->pair == pair ? slot : NULL;
}
