/* SPDX-License-Identifier: Apache-2.0
 *
 * What code compiled with -fsanitize=thread calls, in place of that sanitizer's own runtime. The names and types are
 * the compiler's. */
#include <stdint.h>
#include <string.h>

#include "gpu/sim/races.h"
#include "gpu/sim/sim.h"

static void accessed(const void *p, size_t bytes, bool writes) {
    races_access(p, bytes, writes, false);
}

/* Of a type whose alignment the code relies on. */
static void accessed_aligned(const void *p, size_t bytes, bool writes) {
    sim_place at;
    if ((uintptr_t)p % (bytes < 8 ? bytes : 8) && sim_here(&at))
        sim_fail("thread %u %s %zu bytes at %p, which is not aligned", at.tid, writes ? "writes" : "reads", bytes, p);
    accessed(p, bytes, writes);
}

static void atomic(volatile const void *p, size_t bytes, bool writes) {
    races_access((const void *)p, bytes, writes, true);
}

#define ACCESS(bytes)                                                                                                  \
    void __tsan_read##bytes(void *p);                                                                                  \
    void __tsan_read##bytes(void *p) {                                                                                 \
        accessed_aligned(p, bytes, false);                                                                             \
    }                                                                                                                  \
    void __tsan_write##bytes(void *p);                                                                                 \
    void __tsan_write##bytes(void *p) {                                                                                \
        accessed_aligned(p, bytes, true);                                                                              \
    }                                                                                                                  \
    void __tsan_unaligned_read##bytes(void *p);                                                                        \
    void __tsan_unaligned_read##bytes(void *p) {                                                                       \
        accessed(p, bytes, false);                                                                                     \
    }                                                                                                                  \
    void __tsan_unaligned_write##bytes(void *p);                                                                       \
    void __tsan_unaligned_write##bytes(void *p) {                                                                      \
        accessed(p, bytes, true);                                                                                      \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

#define ATOMIC(bits)                                                                                                   \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *p, uint##bits##_t v, int order);           \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *p, uint##bits##_t v, int order) {          \
        (void)order;                                                                                                   \
        atomic(p, sizeof *p, true);                                                                                    \
        return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order);                            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order) {                           \
        (void)order;                                                                                                   \
        atomic(p, sizeof *p, false);                                                                                   \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                                   \
    }                                                                                                                  \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order);                         \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order) {                        \
        (void)order;                                                                                                   \
        atomic(p, sizeof *p, true);                                                                                    \
        __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                                      \
    }                                                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *p, uint##bits##_t v, int order);            \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *p, uint##bits##_t v, int order) {           \
        (void)order;                                                                                                   \
        atomic(p, sizeof *p, true);                                                                                    \
        return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                            \
    }                                                                                                                  \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t *p, uint##bits##_t *expected,            \
                                                      uint##bits##_t v, int order, int other);                         \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t *p, uint##bits##_t *expected,            \
                                                      uint##bits##_t v, int order, int other) {                        \
        (void)order, (void)other;                                                                                      \
        atomic(p, sizeof *p, true);                                                                                    \
        return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                 \
    }
ATOMIC(32)
ATOMIC(64)

void __tsan_init(void);
void __tsan_init(void) {}

void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    accessed(from, bytes, false);
    accessed(to, bytes, true);
    return memcpy(to, from, bytes);
}

void *__tsan_memset(void *to, int value, size_t bytes);
void *__tsan_memset(void *to, int value, size_t bytes) {
    accessed(to, bytes, true);
    return memset(to, value, bytes);
}
