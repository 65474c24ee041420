/* SPDX-License-Identifier: Apache-2.0 */
#include "support/oom/fail_alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static atomic_long countdown; /* allocations until one fails; 0: none will */
static atomic_long seen;

/* Whether this allocation is the one. */
static bool fails(void) {
    atomic_fetch_add(&seen, 1);
    if (atomic_load(&countdown) == 0 || atomic_fetch_sub(&countdown, 1) != 1) return false;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n) {
    return fails() ? NULL : __real_malloc(n);
}
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n) {
    return fails() ? NULL : __real_realloc(p, n);
}
char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s) {
    return fails() ? NULL : __real_strdup(s);
}
char *__real_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n) {
    return fails() ? NULL : __real_strndup(s, n);
}
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n) {
    return fails() ? NULL : __real_aligned_alloc(alignment, n);
}
int __real_posix_memalign(void **p, size_t alignment, size_t n);
int __wrap_posix_memalign(void **p, size_t alignment, size_t n);
int __wrap_posix_memalign(void **p, size_t alignment, size_t n) {
    return fails() ? ENOMEM : __real_posix_memalign(p, alignment, n);
}
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, long offset) {
    return fails() ? (void *)-1 : __real_mmap(at, n, protection, flags, fd, offset);
}

long fail_each_allocation(nb_status (*fn)(void *user, nb_error *err), void *user, long dense) {
    long runs = 0;
    for (long nth = 1;; nth += nth < dense ? 1 : 1 + nth / 8) {
        nb_error err = {0};
        atomic_store(&seen, 0);
        atomic_store(&countdown, nth);
        nb_status status = fn(user, &err);
        long left = atomic_exchange(&countdown, 0);
        if (left > 0) { /* fewer allocations than that */
            if (status != NB_OK) fail_msg("without a failure: %s", err.text);
            return runs;
        }
        if (status != NB_ERR_NO_MEMORY || !err.text[0])
            fail_msg("allocation %ld failed, and the call returned \"%s\" with the text \"%s\"", nth,
                     nb_status_name(status), err.text);
        runs++;
    }
}
