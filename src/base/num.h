/* SPDX-License-Identifier: Apache-2.0
 *
 * Checked arithmetic for sizes that come from files, and small integer helpers. */
#ifndef NB_BASE_NUM_H
#define NB_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a op b; false when it does not fit (then *out is undefined). */
static inline bool size_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool i64_mul(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

static inline int64_t div_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline size_t round_up(size_t a, size_t unit) {
    return (a + unit - 1) / unit * unit;
}
static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline bool is_power_of_2(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}
static inline bool is_aligned(const void *p, size_t bytes) {
    return (uintptr_t)p % bytes == 0;
}

#endif
