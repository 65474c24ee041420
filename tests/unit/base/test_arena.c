/* SPDX-License-Identifier: Apache-2.0
 *
 * The arena: alignment, zeroing, many sizes, its limit, overflowing requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void aligned_and_apart(void **state) {
    (void)state;
    arena *a = arena_new(0);
    assert_non_null(a);
    unsigned char *parts[200];
    for (size_t i = 0; i < 200; i++) {
        parts[i] = arena_alloc(a, i * 37);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % 16, 0);
        memset(parts[i], (int)i, i * 37);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t j = 0; j < i * 37; j++) assert_int_equal(parts[i][j], i);
    arena_free(a);
}

static void larger_than_any_block(void **state) {
    (void)state;
    arena *a = arena_new(0);
    unsigned char *p = arena_zalloc(a, 3 << 20, 2);
    assert_non_null(p);
    for (size_t i = 0; i < 6 << 20; i += 4095) assert_int_equal(p[i], 0);
    assert_true(arena_used(a) >= 6 << 20);
    arena_free(a);
}

static void limit_and_overflow(void **state) {
    (void)state;
    arena *a = arena_new(1000);
    assert_null(arena_alloc(a, 1001));
    assert_non_null(arena_alloc(a, 900));
    assert_null(arena_alloc(a, 200));
    assert_non_null(arena_alloc(a, 64)); /* a refusal does not spoil what still fits */
    arena_free(a);
    a = arena_new(0);
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 100));
    assert_null(arena_zalloc(a, SIZE_MAX / 2, 3));
    assert_null(arena_strndup(a, "x", SIZE_MAX));
    arena_free(a);
}

static void texts(void **state) {
    (void)state;
    arena *a = arena_new(0);
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strdup(a, "name"), "name");
    assert_string_equal(arena_strndup(a, "names", 4), "name");
    assert_string_equal(arena_printf(a, "layers.%d.%s", 7, "up"), "layers.7.up");
    arena_free(a);
    arena_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_apart),
        cmocka_unit_test(larger_than_any_block),
        cmocka_unit_test(limit_and_overflow),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
