/* SPDX-License-Identifier: Apache-2.0
 *
 * Status and error text, versions, the logger and element types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/num.h"
#include "base/status.h"

static void errors_stay_one_line(void **state) {
    (void)state;
    nb_error err = {0};
    assert_int_equal(err_set(&err, NB_ERR_FORMAT, "tensor \"%s\"", "a\nb\x1b[31m"), NB_ERR_FORMAT);
    assert_int_equal(err.status, NB_ERR_FORMAT);
    assert_string_equal(err.text, "tensor \"a b [31m\"");
    err_prefix(&err, err.status, "%s", "file");
    assert_string_equal(err.text, "file: tensor \"a b [31m\"");
    assert_int_equal(err_set(NULL, NB_ERR_IO, "x"), NB_ERR_IO);
    err_no_memory(&err, "the plan", 2500000);
    assert_string_equal(err.text, "out of memory for the plan: 2.5 MB needed");
}

static void long_texts_are_cut(void **state) {
    (void)state;
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    nb_error err = {0};
    err_set(&err, NB_ERR_IO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_prefix(&err, NB_ERR_IO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void names(void **state) {
    (void)state;
    for (int s = NB_OK; s <= NB_ERR_INTERNAL; s++) assert_string_not_equal(nb_status_name(s), "unknown status");
    assert_string_equal(nb_status_name((nb_status)99), "unknown status");
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", NB_VERSION_MAJOR, NB_VERSION_MINOR, NB_VERSION_PATCH);
    assert_string_equal(nb_version(), version);
    for (int t = 0; t < DT_COUNT; t++) {
        assert_non_null(dtype_name((dtype)t));
        const char *spelled = dtype_to_safetensors((dtype)t);
        if (spelled) assert_int_equal(dtype_from_safetensors(spelled), t);
    }
    assert_int_equal(dtype_from_safetensors("F8_E4M3"), DT_NONE);
    assert_int_equal(dtype_size(DT_BF16), 2);
}

static void collect(void *user, nb_log_level level, const char *line) {
    (void)level;
    strcat(user, line);
}

static void logs_to_the_callback_only(void **state) {
    (void)state;
    char lines[100] = "";
    log_msg(NB_LOG_ERROR, "nobody listens");
    nb_log_set(collect, lines, NB_LOG_WARN);
    log_msg(NB_LOG_WARN, "a%d", 1);
    log_msg(NB_LOG_INFO, "b");
    nb_log_set(NULL, NULL, NB_LOG_DEBUG);
    log_msg(NB_LOG_ERROR, "c");
    assert_string_equal(lines, "a1");
}

static void checked_sizes(void **state) {
    (void)state;
    size_t s;
    assert_true(size_mul(3, 4, &s) && s == 12);
    assert_false(size_mul(SIZE_MAX, 2, &s));
    assert_false(size_add(SIZE_MAX, 1, &s));
    int64_t i;
    assert_false(i64_mul(INT64_MAX, 2, &i));
    assert_int_equal(div_up(7, 3), 3);
    assert_int_equal(round_up(65, 64), 128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_stay_one_line),      cmocka_unit_test(long_texts_are_cut), cmocka_unit_test(names),
        cmocka_unit_test(logs_to_the_callback_only), cmocka_unit_test(checked_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
