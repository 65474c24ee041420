/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of wrong elements: each kind in outputs of many shapes, whole and with a part that is right by chance; and
 * what has no pattern is called scattered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verify/pattern.h"

typedef struct output {
    int64_t rows, cols, group;
    uint8_t *wrong;
    char text[160];
} output;

static uint64_t random_state;

/* Uniform in [0, 1): splitmix64. */
static double uniform(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static output make(int64_t rows, int64_t cols, int64_t group) {
    output o = {.rows = rows, .cols = cols, .group = group, .wrong = calloc((size_t)(rows * cols), 1)};
    assert_non_null(o.wrong);
    return o;
}

/* Makes rows r0 to r1 - 1 (of every r_period) and columns c0 to c1 - 1 (of every c_period) wrong, each with that
 * probability. */
static void spoil(output *o, int64_t r0, int64_t r1, int64_t r_period, int64_t c0, int64_t c1, int64_t c_period,
                  double probability) {
    for (int64_t r = 0; r < o->rows; r++) {
        const int64_t rr = r_period ? r % r_period : r;
        for (int64_t c = 0; c < o->cols && rr >= r0 && rr < r1; c++) {
            const int64_t cc = c_period ? c % c_period : c;
            if (cc >= c0 && cc < c1 && (probability >= 1 || uniform() < probability)) o->wrong[r * o->cols + c] = 1;
        }
    }
}

static const char *text_of(output *o) {
    pattern_text(o->wrong, o->rows, o->cols, o->group, o->text, sizeof o->text);
    return o->text;
}

static void expect(output *o, const char *text) {
    if (strcmp(text_of(o), text) != 0)
        fail_msg("%lld x %lld: \"%s\", expected \"%s\"", (long long)o->rows, (long long)o->cols, o->text, text);
    free(o->wrong);
}

/* That the text is this, perhaps with the share that is wrong. */
static void expect_most(output *o, const char *text) {
    const char *got = text_of(o);
    const size_t n = strlen(text);
    if (strncmp(got, text, n) != 0 || (got[n] && (got[n] != ' ' || got[n + 1] != '(')))
        fail_msg("%lld x %lld: \"%s\", expected \"%s (..%%)\"", (long long)o->rows, (long long)o->cols, got, text);
    free(o->wrong);
}

typedef struct plain_case {
    int64_t rows, cols, group;
    int64_t r0, r1, r_period, c0, c1, c_period;
    const char *text;
} plain_case;

enum { END = 1 << 30 };

static const plain_case plain_cases[] = {
    {1, 5, 0, 0, END, 0, 0, END, 0, "all of it"},
    {512, 4096, 64, 0, END, 0, 0, END, 0, "all of it"},
    {1, 1, 0, 0, END, 0, 0, END, 0, "all of it"},
    {1, 5, 0, 0, 1, 0, 3, 4, 0, "one element"},
    {512, 25000, 64, 511, 512, 0, 24999, 25000, 0, "one element"},
    /* columns of every n */
    {1, 5, 0, 0, END, 0, 1, 2, 2, "every other column from 1 on"},
    {3, 100, 0, 0, END, 0, 4, 5, 8, "every 8th column from 4 on"},
    {13, 1536, 32, 0, END, 0, 0, 1, 4, "every 4th column from 0 on"},
    {2, 77, 0, 0, END, 0, 2, 3, 3, "every 3rd column from 2 on"},
    {5, 1000, 0, 0, END, 0, 20, 21, 22, "every 22nd column from 20 on"},
    {5, 1000, 0, 0, END, 0, 0, 1, 11, "every 11th column from 0 on"},
    {5, 9000, 0, 0, END, 0, 99, 100, 121, "every 121st column from 99 on"},
    {1, 16, 0, 0, END, 0, 4, 8, 8, "columns 4 to 7 of every 8"},
    {1, 4608, 32, 0, END, 0, 4, 8, 8, "columns 4 to 7 of every 8"},
    {7, 61, 0, 0, END, 0, 4, 8, 8, "columns 4 to 7 of every 8"},
    {64, 960, 0, 0, END, 0, 48, 96, 96, "columns 48 to 95 of every 96"},
    {1, 250000, 64, 0, END, 0, 16, 32, 32, "columns 16 to 31 of every 32"},
    {3, 4096, 64, 0, END, 0, 64, 128, 128, "columns 64 to 127 of every 128"},
    /* pieces */
    {1, 5, 0, 0, END, 0, 3, 5, 0, "all columns from 3 on"},
    {8, 576, 32, 0, END, 0, 64, END, 0, "all columns from 64 on"},
    {8, 4608, 32, 0, END, 0, 1000, END, 0, "all columns from 1000 on"},
    {8, 128, 0, 0, END, 0, 64, END, 0, "all columns from 64 on"},
    {8, 4608, 0, 0, END, 0, 0, 64, 0, "the first 64 columns"},
    {8, 4608, 0, 0, END, 0, 77, 78, 0, "column 77 only"},
    {8, 4608, 0, 0, END, 0, 77, 333, 0, "columns 77 to 332"},
    {8, 4608, 32, 0, END, 0, 64, 96, 0, "one group of 32: columns 64 to 95"},
    {1, 64, 16, 0, END, 0, 48, 64, 0, "one group of 16: columns 48 to 63"},
    {8, 4608, 0, 0, END, 0, 96, 128, 0, "one tile: columns 96 to 127"},
    {64, 4608, 0, 0, 16, 0, 16, 32, 0, "one tile: rows 0 to 15, columns 16 to 31"},
    {33, 64, 0, 16, 32, 0, 16, 32, 0, "one tile: rows 16 to 31, columns 16 to 31"},
    {33, 64, 0, 32, 33, 0, 16, 32, 0, "one tile: row 32, columns 16 to 31"},
    {64, 65, 0, 8, 12, 0, 64, 65, 0, "one tile: rows 8 to 11, column 64"},
    {13, 100, 0, 8, 13, 0, 96, 100, 0, "one tile: rows 8 to 12, columns 96 to 99"},
    {3, 101, 0, 0, END, 0, 96, END, 0, "the tail: the last 5 columns"},
    {1, 65, 0, 0, END, 0, 64, END, 0, "one element"},
    {2, 65, 0, 0, END, 0, 64, END, 0, "the tail: the last column"},
    {13, 577, 32, 0, END, 0, 576, END, 0, "the tail: the last column"},
    /* tokens */
    {13, 100, 0, 8, END, 0, 0, END, 0, "the tail: the last 5 tokens"},
    {33, 100, 0, 32, END, 0, 0, END, 0, "the tail: the last token"},
    {8, 100, 0, 3, 4, 0, 0, END, 0, "token 3 only"},
    {2, 5, 0, 0, 1, 0, 0, END, 0, "token 0 only"},
    {130, 1, 0, 3, 4, 0, 0, END, 0, "one element"},
    {64, 100, 0, 13, END, 0, 0, END, 0, "tokens from 13 on"},
    {64, 100, 0, 1, END, 0, 0, END, 0, "every token but the first"},
    {3, 576, 0, 1, END, 0, 0, END, 0, "every token but the first"},
    {512, 9, 0, 1, END, 0, 0, END, 0, "every token but the first"},
    {8, 100, 0, 1, 2, 2, 0, END, 0, "every other token from 1 on"},
    {64, 100, 0, 4, 8, 8, 0, END, 0, "tokens 4 to 7 of every 8"},
    {64, 100, 0, 0, 12, 0, 0, END, 0, "the first 12 tokens"},
    {64, 100, 0, 16, 32, 0, 0, END, 0, "tokens 16 to 31"},
    /* both */
    {13, 4608, 32, 3, 4, 0, 4, 8, 8, "columns 4 to 7 of every 8, token 3 only"},
    {64, 576, 0, 1, END, 0, 64, END, 0, "all columns from 64 on, every token but the first"},
    {64, 576, 32, 0, 1, 2, 96, 128, 0, "one group of 32: columns 96 to 127, every other token from 0 on"},
};

static void exact_patterns(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plain_cases / sizeof plain_cases[0]; i++) {
        const plain_case *p = &plain_cases[i];
        output o = make(p->rows, p->cols, p->group);
        spoil(&o, p->r0, p->r1, p->r_period, p->c0, p->c1, p->c_period, 1);
        expect(&o, p->text);
    }
}

/* The same patterns where a quarter of the elements is right by chance, in outputs that are large enough to tell. */
static void patterns_with_hits_by_chance(void **state) {
    (void)state;
    int n_tried = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (size_t i = 0; i < sizeof plain_cases / sizeof plain_cases[0]; i++) {
            const plain_case *p = &plain_cases[i];
            if (p->rows * p->cols < 500 || p->rows * p->cols > 1000000) continue;
            output o = make(p->rows, p->cols, p->group);
            random_state = seed * 1000 + i;
            spoil(&o, p->r0, p->r1, p->r_period, p->c0, p->c1, p->c_period, 0.75);
            int64_t n_wrong = 0;
            for (int64_t j = 0; j < p->rows * p->cols; j++) n_wrong += o.wrong[j];
            if (n_wrong < 60) { /* whole edges may be right by chance */
                free(o.wrong);
                continue;
            }
            n_tried++;
            if (strcmp(p->text, "all of it") == 0)
                expect_most(&o, "most of it");
            else
                expect_most(&o, p->text);
        }
    }
    assert_true(n_tried > 400);
}

/* The bug report's duplicated vector stores: the second half of every 8 holds a copy of the first, and is right where
 * both are zero. */
static void duplicated_stores(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 3, 13, 64}, cols[] = {64, 77, 576, 1536, 4608};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 5; j++) {
            for (int zeros = 0; zeros <= 5; zeros++) {
                if (rows[i] * cols[j] < 300 && zeros > 1) continue;
                output o = make(rows[i], cols[j], 32);
                random_state = i * 100 + j * 10 + (uint64_t)zeros;
                spoil(&o, 0, END, 0, 4, 8, 8, 1 - zeros / 10.0);
                const char *text = text_of(&o);
                if (!strstr(text, "columns 4 to 7 of every 8"))
                    fail_msg("%lld x %lld, %d0%% zeros: \"%s\"", (long long)rows[i], (long long)cols[j], zeros, text);
                free(o.wrong);
            }
        }
    }
}

/* Wrong elements without a pattern, from one in a hundred thousand to nearly half: none is made up. */
static void scattered(void **state) {
    (void)state;
    static const struct {
        int64_t rows, cols;
        double rate;
    } cases[] = {{1, 64, 0.1},     {1, 64, 0.4},    {1, 4608, 0.001}, {1, 4608, 0.3},
                 {13, 100, 0.01},  {13, 100, 0.2},  {13, 100, 0.45},  {64, 576, 1e-4},
                 {64, 576, 0.003}, {64, 576, 0.1},  {64, 576, 0.5},   {130, 1536, 1e-4},
                 {3, 2048, 0.05},  {512, 33, 0.01}, {512, 33, 0.3},   {200, 5000, 1e-5}};
    int n_patterns = 0, n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            output o = make(cases[i].rows, cases[i].cols, 32);
            random_state = seed * 100 + i;
            spoil(&o, 0, END, 0, 0, END, 0, cases[i].rate);
            const char *text = text_of(&o);
            int64_t n_wrong = 0;
            for (int64_t j = 0; j < o.rows * o.cols; j++) n_wrong += o.wrong[j];
            if (n_wrong == 0) assert_string_equal(text, "");
            if (n_wrong == 1) assert_string_equal(text, "one element");
            if (n_wrong > 1) {
                n++;
                const char *rate = text;
                n_patterns += strncmp(text, "scattered: ", 11) != 0 || strstr(rate, " in ");
            }
            free(o.wrong);
        }
    }
    assert_true(n > 500);
    if (n_patterns > n / 200) fail_msg("%d of %d random outputs are said to have a pattern", n_patterns, n);
}

static void says_the_rate(void **state) {
    (void)state;
    output o = make(64, 1000, 0);
    for (int64_t i = 0; i < 64; i++) o.wrong[i * 1000 + i * i * i % 997] = 1;
    expect(&o, "scattered: 1 of 1000");
    o = make(1000, 1000, 0);
    o.wrong[3] = o.wrong[700123] = o.wrong[345678] = 1;
    expect(&o, "scattered: 1 of 333333");
    o = make(100, 100, 0);
    random_state = 1;
    spoil(&o, 0, END, 0, 0, END, 0, 0.35);
    assert_int_equal(strncmp(text_of(&o), "scattered: 3", 12), 0);
    assert_non_null(strchr(o.text, '%'));
    free(o.wrong);
    o = make(100, 1000, 0);
    spoil(&o, 3, 4, 0, 0, END, 0, 0.3);
    assert_non_null(strstr(text_of(&o), " in token 3 only"));
    assert_int_equal(strncmp(o.text, "scattered: ", 11), 0);
    free(o.wrong);
    o = make(100, 1000, 0);
    spoil(&o, 0, END, 0, 0, END, 0, 0.7);
    assert_int_equal(strncmp(text_of(&o), "most of it (", 12), 0);
    free(o.wrong);
}

/* Samples of rows and columns: what lies between them speaks neither for nor against. */
static void not_looked_at(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plain_cases / sizeof plain_cases[0]; i++) {
        const plain_case *p = &plain_cases[i];
        if (!strstr(p->text, "of every 8") && !strstr(p->text, "but the first") && !strstr(p->text, "all of it"))
            continue;
        if (p->rows * p->cols < 400) continue;
        output o = make(p->rows, p->cols, p->group);
        spoil(&o, p->r0, p->r1, p->r_period, p->c0, p->c1, p->c_period, 1);
        for (int64_t r = 0; r < o.rows; r++)
            for (int64_t c = 0; c < o.cols; c++)
                if (c >= 64 && c < o.cols - 64 && c % 7 != 3) o.wrong[r * o.cols + c] = 2;
        expect(&o, p->text);
    }
    output o = make(4, 100, 0);
    memset(o.wrong, 2, 400);
    expect(&o, "");
    o = make(4, 100, 0);
    memset(o.wrong, 2, 400);
    o.wrong[123] = 1;
    expect(&o, "all of it");
}

static void nothing_and_small_texts(void **state) {
    (void)state;
    output o = make(4, 100, 0);
    expect(&o, "");
    o = make(13, 4608, 32);
    spoil(&o, 3, 4, 0, 4, 8, 8, 1);
    char text[8];
    pattern_text(o.wrong, o.rows, o.cols, o.group, text, sizeof text);
    assert_string_equal(text, "columns");
    pattern_text(o.wrong, 0, 100, 0, text, sizeof text);
    assert_string_equal(text, "");
    pattern_text(o.wrong, 4, 0, 0, text, sizeof text);
    assert_string_equal(text, "");
    free(o.wrong);
}

static void large_outputs(void **state) {
    (void)state;
    output o = make(512, 250000, 64);
    spoil(&o, 1, END, 0, 4, 8, 8, 1);
    expect(&o, "columns 4 to 7 of every 8, every token but the first");
    o = make(16, 250000, 64);
    spoil(&o, 0, END, 0, 4, 8, 8, 0.8);
    expect_most(&o, "columns 4 to 7 of every 8");
    o = make(16, 250000, 64);
    spoil(&o, 0, END, 0, 0, END, 0, 0.0001);
    assert_int_equal(strncmp(text_of(&o), "scattered: 1 of ", 16), 0);
    free(o.wrong);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_patterns),          cmocka_unit_test(patterns_with_hits_by_chance),
        cmocka_unit_test(duplicated_stores),       cmocka_unit_test(scattered),
        cmocka_unit_test(says_the_rate),           cmocka_unit_test(not_looked_at),
        cmocka_unit_test(nothing_and_small_texts), cmocka_unit_test(large_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
