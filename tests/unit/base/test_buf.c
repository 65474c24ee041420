/* SPDX-License-Identifier: Apache-2.0
 *
 * The growable buffer: contents, termination, the sticky failure past its limit, and handing the bytes over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void puts_and_terminates(void **state) {
    (void)state;
    buf b = {0};
    buf_puts(&b, "ab");
    buf_putc(&b, 'c');
    buf_printf(&b, "%d-%s", 42, "x");
    buf_put(&b, "\0z", 2);
    assert_false(b.failed);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "abc42-x\0z", 10); /* the terminating NUL included */
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void grows(void **state) {
    (void)state;
    buf b = {0};
    for (int i = 0; i < 100000; i++) buf_putc(&b, (char)('a' + i % 26));
    assert_false(b.failed);
    assert_int_equal(b.len, 100000);
    for (int i = 0; i < 100000; i++) assert_int_equal(b.data[i], 'a' + i % 26);
    buf_free(&b);
}

static void refuses_more_than_its_limit(void **state) {
    (void)state;
    buf b = {.limit = 10};
    buf_puts(&b, "0123456789");
    assert_false(b.failed);
    buf_putc(&b, 'x');
    assert_true(b.failed);
    buf_clear(&b);
    buf_put(&b, "a", SIZE_MAX - 2); /* would wrap; must not read or write anything */
    assert_true(b.failed);
    size_t length = 7;
    assert_null(buf_take(&b, &length));
    buf_free(&b);
}

static void hands_over(void **state) {
    (void)state;
    buf b = {0};
    size_t length = 7;
    char *empty = buf_take(&b, &length);
    assert_string_equal(empty, "");
    assert_int_equal(length, 0);
    free(empty);
    buf_puts(&b, "text");
    char *text = buf_take(&b, &length);
    assert_string_equal(text, "text");
    assert_int_equal(length, 4);
    assert_null(b.data);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_and_terminates),
        cmocka_unit_test(grows),
        cmocka_unit_test(refuses_more_than_its_limit),
        cmocka_unit_test(hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
