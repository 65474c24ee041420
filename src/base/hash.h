/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash that tells things apart, for names of files and keys of caches; it resists no attacker. */
#ifndef NB_BASE_HASH_H
#define NB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START 0xcbf29ce484222325u

/* Goes on with hash h over n more bytes: FNV-1a (Fowler, Noll, Vo) with words of 8 bytes for its bytes, and a shift
 * that lets high bits reach low ones. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t n) {
    const char *bytes = data;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, n - i < 8 ? n - i : 8);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return (h ^ n) * 0x100000001b3u;
}

static inline uint64_t hash_text(uint64_t h, const char *text) {
    return hash_bytes(h, text, strlen(text));
}

#endif
