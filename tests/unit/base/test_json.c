/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with errors for people: what parses, where a fault is said to be, ranges and kinds of fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/json.h"

static cJSON *parse(const char *text) {
    cJSON *tree = NULL;
    nb_error err = {0};
    assert_int_equal(json_parse(text, strlen(text), "config.json", &tree, &err), NB_OK);
    return tree;
}

static void bad_texts(void **state) {
    (void)state;
    static const char *const bad[] = {"", "{", "[1,]", "{\"a\":1} x", "nul", "{\"a\" 1}", "\"\\ud800\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *tree = NULL;
        nb_error err = {0};
        assert_int_equal(json_parse(bad[i], strlen(bad[i]), "config.json", &tree, &err), NB_ERR_FORMAT);
        assert_null(tree);
        assert_non_null(strstr(err.text, "config.json: not valid JSON"));
    }
    nb_error err = {0};
    cJSON *tree = NULL;
    json_parse("{\n\"a\": 1,\n\"b\": ?\n}", 18, "config.json", &tree, &err);
    assert_non_null(strstr(err.text, "line 3"));
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    size_t n = 1000000;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, '[', n);
    cJSON *tree = NULL;
    assert_int_equal(json_parse(text, n, "x", &tree, NULL), NB_ERR_FORMAT);
    free(text);
}

static void byte_order_mark_and_white_space(void **state) {
    (void)state;
    cJSON_Delete(parse("\xef\xbb\xbf{} \n\t"));
    cJSON_Delete(parse(" 1"));
}

static void integers(void **state) {
    (void)state;
    cJSON *tree =
        parse("{\"n\": 32, \"half\": 0.5, \"big\": 9223372036854775808, \"inf\": 1e999, \"s\": \"32\", \"z\": null}");
    int64_t v = -1;
    bool found = true;
    nb_error err = {0};
    assert_int_equal(json_int(tree, "n", 1, 64, &v, &found, "c", &err), NB_OK);
    assert_true(found && v == 32);
    v = 7;
    assert_int_equal(json_int(tree, "absent", 1, 64, &v, &found, "c", &err), NB_OK);
    assert_true(!found && v == 7);
    assert_int_equal(json_int(tree, "z", 1, 64, &v, &found, "c", &err), NB_OK);
    assert_true(!found && v == 7);
    assert_int_equal(json_int(tree, "n", 33, 64, &v, &found, "c", &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "c: field \"n\" is 32, expected a whole number from 33 to 64");
    assert_int_equal(json_int(tree, "half", 0, 64, &v, &found, "c", &err), NB_ERR_FORMAT);
    assert_int_equal(json_int(tree, "big", 0, INT64_MAX, &v, &found, "c", &err), NB_ERR_FORMAT);
    assert_int_equal(json_int(tree, "inf", INT64_MIN, INT64_MAX, &v, &found, "c", &err), NB_ERR_FORMAT);
    assert_int_equal(json_int(tree, "s", 0, 64, &v, &found, "c", &err), NB_ERR_FORMAT);
    assert_string_equal(err.text, "c: field \"s\" is a string, expected a whole number");
    assert_int_equal(v, 7);
    cJSON_Delete(tree);
}

static void other_kinds(void **state) {
    (void)state;
    cJSON *tree = parse("{\"x\": 1e-5, \"t\": true, \"s\": \"silu\", \"a\": []}");
    double x = 0;
    bool t = false;
    const char *s = NULL;
    assert_int_equal(json_num(tree, "x", 0, 1, &x, NULL, "c", NULL), NB_OK);
    assert_true(x == 1e-5);
    assert_int_equal(json_num(tree, "x", 1, 2, &x, NULL, "c", NULL), NB_ERR_FORMAT);
    assert_int_equal(json_bool(tree, "t", &t, NULL, "c", NULL), NB_OK);
    assert_true(t);
    assert_int_equal(json_bool(tree, "s", &t, NULL, "c", NULL), NB_ERR_FORMAT);
    assert_int_equal(json_str(tree, "s", &s, NULL, "c", NULL), NB_OK);
    assert_string_equal(s, "silu");
    assert_int_equal(json_str(tree, "a", &s, NULL, "c", NULL), NB_ERR_FORMAT);
    assert_null(json_get(json_get(tree, "a"), "x"));
    assert_null(json_get(NULL, "x"));
    cJSON_Delete(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(byte_order_mark_and_white_space),
        cmocka_unit_test(integers),
        cmocka_unit_test(other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
