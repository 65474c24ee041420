/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile templates: each must end with an error, in little memory and without overflowing the stack. That it ends soon
 * is the limit of steps; one that does not end at all meets CTest's time limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "text/jinja.h"

static nb_status run(const char *source, size_t n, const jinja_limits *limits, nb_error *err) {
    jinja *t;
    char *text = NULL;
    nb_status status = jinja_compile(source, n, "t", &t, err);
    if (!status) status = jinja_render(t, NULL, limits, &text, NULL, err);
    jinja_free(t);
    free(text);
    return status;
}

static void stopped(const char *source, size_t n) {
    nb_error err = {0};
    nb_status status = run(source, n, &(jinja_limits){.max_steps = 5000000}, &err);
    if (status != NB_ERR_LIMIT) fail_msg("status %d, %s for: %.100s", status, err.text, source);
    assert_true(err.text[0] != 0);
}

static void one_line_bombs(void **state) {
    (void)state;
    static const char *const bombs[] = {
        "{{ 'a' * 1000000000 }}",
        "{{ 'a' * 9223372036854775807 }}",
        "{{ [1] * 1000000000 }}",
        "{{ range(1000000000000) }}",
        "{% for i in range(-9223372036854775807, 9223372036854775807) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x + [1] %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        ("{% set ns = namespace(x=[], y=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}"
         "{% endfor %}{{ ns.x == ns.y }}"),
        "{% set ns = namespace(x=()) %}{% for i in range(99999) %}{% set ns.x = (ns.x,) %}{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% if caller %}{% endif %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{% set x %}{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}{% endset %}",
        "{% set b = 'a' * 9999999 %}{% for i in range(99999) %}{% if 'b' in b %}{% endif %}{% endfor %}",
        "{% set b = 'a' * 9999999 %}{% for i in range(99999) %}{{ b.find('ab') }}{% endfor %}",
        "{% set b = 'a' * 9999999 %}{% for i in range(99999) %}{{ b.replace('b', 'c') | length }}{% endfor %}",
        "{% set b = 'a b ' * 999999 %}{% for i in range(99999) %}{{ b.split() | length }}{% endfor %}",
        "{% set b = 'a' * 9999999 %}{{ b | list | length }}{{ b.replace('', b) }}",
        "{{ '%1000000000d' % 5 }}",
        "{{ '%*d' % (1000000000, 5) }}",
        "{{ '{:1000000000}'.format(5) }}",
        "{{ '{:.1000000000f}'.format(5.0) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.zfill(9223372036854775807) }}",
        "{{ 'x' | indent(1000000000) }}",
        "{{ [1] | tojson(indent=1000000000) }}",
        "{{ [1] | batch(1000000000, 'x') | list }}",
        "{{ [1] | slice(1000000000, 'x') | list }}",
        "{{ 10 ** 100 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 99999999999999999999 }}",
        "{{ -9223372036854775807 - 2 }}",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) stopped(bombs[i], strlen(bombs[i]));
}

/* `open` n times, then `mid`, then `close` n times. */
static void nested(const char *open, const char *mid, const char *close, size_t n) {
    buf b = {0};
    for (size_t i = 0; i < n; i++) buf_puts(&b, open);
    buf_puts(&b, mid);
    for (size_t i = 0; i < n; i++) buf_puts(&b, close);
    stopped(b.data, b.len);
    buf_free(&b);
}

static void deep_nesting(void **state) {
    (void)state;
    nested("{% if 1 %}", "", "{% endif %}", 100000);
    nested("{% for x in [1] %}", "", "{% endfor %}", 100000);
    nested("{% macro m() %}", "", "{% endmacro %}", 100000);
    nested("{% set x %}", "", "{% endset %}", 100000);
}

static void deep_expressions(void **state) {
    (void)state;
    static const char *const forms[][3] = {
        {"(", "1", ")"},      {"[", "1", "]"},    {"{1:", "1", "}"},      {"-", "1", ""},
        {"not ", "1", ""},    {"f(", "1", ")"},   {"x[", "1", "]"},       {"1 if 1 else ", "1", ""},
        {"", "x", ".a"},      {"", "x", "[0]"},   {"", "x", "()"},        {"", "x", " | string"},
        {"(", "1", " if 1)"}, {"x|d(", "1", ")"}, {"x is eq(", "1", ")"}, {"(", "1", ",)"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        buf b = {0};
        buf_puts(&b, "{{ ");
        for (int k = 0; k < 50000; k++) buf_puts(&b, forms[i][0]);
        buf_puts(&b, forms[i][1]);
        for (int k = 0; k < 50000; k++) buf_puts(&b, forms[i][2]);
        buf_puts(&b, " }}");
        stopped(b.data, b.len);
        buf_free(&b);
    }
}

static void long_chains_are_fine(void **state) {
    (void)state;
    static const char *const links[] = {" + 1", " ~ 1", " or 0", " and 1", " * 1", " < 2", " - 1 + 1"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        buf b = {0};
        nb_error err;
        buf_puts(&b, "{{ 1");
        for (int k = 0; k < 20000; k++) buf_puts(&b, links[i]);
        buf_puts(&b, " }}");
        assert_int_equal(run(b.data, b.len, NULL, &err), NB_OK);
        buf_free(&b);
    }
    buf b = {0};
    nb_error err;
    buf_puts(&b, "{% if 0 %}");
    for (int k = 0; k < 20000; k++) buf_puts(&b, "{% elif 0 %}");
    buf_puts(&b, "{% endif %}");
    assert_int_equal(run(b.data, b.len, NULL, &err), NB_OK);
    buf_free(&b);
}

static void limits_of_the_caller(void **state) {
    (void)state;
    const char *loop = "{% for i in range(1000) %}{{ i }}{% endfor %}", *text = "{{ 'ab' * 100 }}";
    const char *deep = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(20) }}";
    const char *inner = "{% set x = 'a' * 1000 %}{{ x | length }}{% set y %}{{ x }}{% endset %}";
    nb_error err;
    assert_int_equal(run(loop, strlen(loop), NULL, &err), NB_OK);
    assert_int_equal(run(loop, strlen(loop), &(jinja_limits){.max_steps = 100}, &err), NB_ERR_LIMIT);
    assert_int_equal(run(text, strlen(text), &(jinja_limits){.max_output = 200}, &err), NB_OK);
    assert_int_equal(run(text, strlen(text), &(jinja_limits){.max_output = 199}, &err), NB_ERR_LIMIT);
    assert_int_equal(run(inner, strlen(inner), &(jinja_limits){.max_output = 4}, &err), NB_OK);
    assert_int_equal(run(loop, strlen(loop), &(jinja_limits){.max_memory = 10000}, &err), NB_ERR_LIMIT);
    assert_int_equal(run(deep, strlen(deep), NULL, &err), NB_OK);
    assert_int_equal(run(deep, strlen(deep), &(jinja_limits){.max_depth = 5}, &err), NB_ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_bombs),       cmocka_unit_test(deep_nesting),
        cmocka_unit_test(deep_expressions),     cmocka_unit_test(long_chains_are_fine),
        cmocka_unit_test(limits_of_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
