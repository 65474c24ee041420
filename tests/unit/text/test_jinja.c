/* SPDX-License-Identifier: Apache-2.0
 *
 * The Jinja interpreter against jinja2: small templates of tests/data/templates/cases.json (made by
 * tools/make_template_goldens.py), the way of numbers from JSON, and one template in several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/file.h"
#include "base/json.h"
#include "text/jinja.h"

/* Compiles and renders; *text is NULL on an error. */
static nb_status run(const char *source, const cJSON *vars, char **text, nb_error *err) {
    jinja *t;
    *text = NULL;
    nb_status status = jinja_compile(source, strlen(source), "t", &t, err);
    if (!status) status = jinja_render(t, vars, NULL, text, NULL, err);
    jinja_free(t);
    return status;
}

/* 0 if nibble does what jinja2 did. */
static int check_case(const cJSON *one, const cJSON *vars) {
    const char *source = json_get(one, "template")->valuestring;
    const cJSON *want = cJSON_GetObjectItem(one, "expected"), *error = cJSON_GetObjectItem(one, "error");
    char *text;
    nb_error err = {0};
    nb_status status = run(source, vars, &text, &err);
    bool good;
    if (want)
        good = status == NB_OK && strcmp(text, want->valuestring) == 0;
    else if (json_get(one, "raised"))
        good = status == NB_ERR_TEMPLATE && strcmp(err.text, error->valuestring) == 0;
    else
        good = (status == NB_ERR_FORMAT || status == NB_ERR_LIMIT) && strstr(err.text, error->valuestring);
    if (!good)
        print_error("template: %s\n  want %s: %s\n  got  %s\n", source, want ? "text" : "error",
                    want ? want->valuestring : error->valuestring, status ? err.text : text);
    free(text);
    return !good;
}

static void as_jinja2_does(void **state) {
    (void)state;
    char *path = path_join(getenv("NB_TEST_DATA"), "templates/cases.json");
    buf file = {0};
    cJSON *all;
    nb_error err;
    assert_int_equal(file_read(path, 1 << 24, &file, &err), NB_OK);
    assert_int_equal(jinja_json_parse(file.data, file.len, path, &all, &err), NB_OK);
    int bad = 0, n = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, json_get(all, "cases")) {
        bad += check_case(one, json_get(all, "vars"));
        n++;
    }
    assert_true(n >= 200);
    assert_int_equal(bad, 0);
    cJSON_Delete(all);
    buf_free(&file);
    free(path);
}

static void errors_say_where(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a\nb {{ nope.x }}", "t: line 2: 'nope' is undefined"},
        {"{% if 1 %}\n\n{{ 1 + 'a' }}{% endif %}", "t: line 3: unsupported operand type(s) for +: 'int' and 'str'"},
        {"\n{{ 1 ", "t: line 2: unexpected end of template, expected '}}'"},
        {"{% if 1 %}\n", "t: line 1: Unexpected end of template. Expected 'endif'."},
        {"\n{% frob %}", "t: line 2: Encountered unknown tag 'frob'."},
        {"{{ x | frob }}", "t: line 1: No filter named 'frob'."},
        {"{{ x is frob }}", "t: line 1: No test named 'frob'."},
        {"\xff", "t: line 1: the template is not valid UTF-8"},
        {"{{ [].append(1) }}", "t: line 1: access to attribute 'append' of 'list' object is unsafe."},
        {"{{ 'a'.frob }}{{ 'a'.frob() }}", "t: line 1: 'str object' has no attribute 'frob'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nb_error err = {0};
        char *text;
        assert_int_equal(run(cases[i][0], NULL, &text, &err), NB_ERR_FORMAT);
        assert_string_equal(err.text, cases[i][1]);
    }
}

static void numbers_keep_their_spelling(void **state) {
    (void)state;
    const char *json =
        "{\"k 1.5\": \"a \\\" 2.5\", \"v\": [1, 1.0, -2, 1e2, 1152921504606846977, 0.5, -0.0, 1234567890123456789012]}";
    cJSON *vars;
    nb_error err;
    char *text;
    assert_int_equal(jinja_json_parse(json, strlen(json), "vars", &vars, &err), NB_OK);
    assert_int_equal(run("{{ v }}", vars, &text, &err), NB_OK);
    assert_string_equal(text, "[1, 1.0, -2, 100.0, 1152921504606846977, 0.5, -0.0, 1.2345678901234568e+21]");
    free(text);
    cJSON_Delete(vars);
    vars = cJSON_Parse(json); /* without the spelling whole numbers are ints */
    assert_int_equal(run("{{ v[:4] }}", vars, &text, &err), NB_OK);
    assert_string_equal(text, "[1, 1, -2, 100]");
    free(text);
    cJSON_Delete(vars);
}

static void invalid_utf8_in_variables(void **state) {
    (void)state;
    cJSON *vars = cJSON_CreateObject();
    nb_error err;
    char *text;
    cJSON_AddStringToObject(vars, "x", "a\xff\xc3\xa9\xe2\x82");
    assert_int_equal(run("{{ x }} {{ x|length }} {{ x[1:3] }}", vars, &text, &err), NB_OK);
    assert_string_equal(text, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd 5 \xef\xbf\xbd\xc3\xa9");
    free(text);
    cJSON_Delete(vars);
}

static void strftime_writes_the_date(void **state) {
    (void)state;
    nb_error err;
    char *text;
    assert_int_equal(run("{{ strftime_now('%Y') | int > 2020 }} {{ strftime_now('%%d') }}", NULL, &text, &err), NB_OK);
    assert_string_equal(text, "True %d");
    free(text);
}

typedef struct shared {
    const jinja *t;
    const cJSON *vars;
    int wrong;
} shared;

static void *render_often(void *user) {
    shared *s = user;
    for (int i = 0; i < 200; i++) {
        char *text;
        if (jinja_render(s->t, s->vars, NULL, &text, NULL, NULL) || strcmp(text, "0<a>1<b>,a b") != 0) s->wrong++;
        free(text);
    }
    return NULL;
}

static void one_template_in_threads(void **state) {
    (void)state;
    const char *source =
        "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for w in words %}{{ loop.index0 }}{{ m(w) }}{% endfor %}"
        ",{{ words | join(' ') }}";
    jinja *t;
    cJSON *vars = cJSON_Parse("{\"words\": [\"a\", \"b\"]}");
    assert_int_equal(jinja_compile(source, strlen(source), "t", &t, NULL), NB_OK);
    shared s[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        s[i] = (shared){t, vars, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, render_often, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(s[i].wrong, 0);
    }
    jinja_free(t);
    cJSON_Delete(vars);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_jinja2_does),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(numbers_keep_their_spelling),
        cmocka_unit_test(invalid_utf8_in_variables),
        cmocka_unit_test(strftime_writes_the_date),
        cmocka_unit_test(one_template_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
