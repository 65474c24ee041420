/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks every row of the registry that this machine can run over all cases of src/verify/check.h. NB_WALK=quick (or
 * --quick) makes fewer cases, for sanitizers (NB_SANITIZED) and emulators; NB_WALK=full all. --row TEXT walks only rows
 * whose name contains TEXT; --verbose prints the number of cases of each row. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cpu/caps.h"
#include "verify/check.h"

static struct {
    check_level level;
    bool verbose;
    const char *only;
} options = {.level = CHECK_FULL};

/* What runs, for the handler of a crash. */
static char running_text[600];

static void running(void *user, const krow *row, const check_spec *spec) {
    (void)user;
    int n = snprintf(running_text, sizeof running_text, "%s: crashed on ", row->name);
    if (n > 0 && (size_t)n < sizeof running_text)
        check_spec_text(spec, running_text + n, sizeof running_text - (size_t)n);
}

static void crashed(int signal_number) {
    (void)signal_number;
    static const char newline = '\n';
    if (write(2, running_text, strlen(running_text)) < 0 || write(2, &newline, 1) < 0) _exit(3);
    _exit(2);
}

static void failed(void *user, const char *text) {
    (void)user;
    print_error("%s\n", text);
}

/* The registry with the rows that --row left. */
static kregistry *make_registry(void) {
    nb_error err;
    kregistry *all, *some;
    unsigned caps = cpu_caps_detect();
    if (cpu_caps_limit(&caps, getenv("NIBBLE_CPU"), &err) != NB_OK) fail_msg("%s", err.text);
    print_message("%s\n", cpu_caps_name(caps));
    if (kreg_new(&all, &err) != NB_OK || cpu_register(all, caps, &err) != NB_OK) fail_msg("%s", err.text);
    if (!options.only) return all;
    if (kreg_new(&some, &err) != NB_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < kreg_count(all); i++) {
        const krow *row = kreg_at(all, i);
        if (strstr(row->name, options.only) && kreg_add(some, row, 1, &err) != NB_OK) fail_msg("%s", err.text);
    }
    kreg_free(all);
    return some;
}

static void test_walk(void **state) {
    (void)state;
    nb_error err = {0};
    kregistry *r = make_registry();
    size_t *cases = calloc(kreg_count(r) + 1, sizeof *cases), total = 0;
    assert_non_null(cases);
    check_report report = {.failed = failed, .running = running};
    double start = clock_now();
    nb_status status = check_walk(r, options.level, &report, cases, &err);
    for (size_t i = 0; i < kreg_count(r); i++) {
        total += cases[i];
        if (options.verbose) print_message("%7zu %s\n", cases[i], kreg_at(r, i)->name);
    }
    print_message("%zu rows, %zu cases, %.1f s\n", kreg_count(r), total, clock_now() - start);
    free(cases);
    kreg_free(r);
    if (status != NB_OK) fail_msg("%s", err.text);
}

/* A matmul that is wrong in one element must be found: the walk is not blind. */
static const krow *right_row;

static bool wrong_takes(const krow *row, const kcall *c) {
    (void)row;
    return right_row->takes(right_row, c);
}
static int64_t wrong_tasks(const krow *row, const kcall *c) {
    (void)row;
    return right_row->tasks(right_row, c);
}
static size_t wrong_scratch(const krow *row, const kcall *c) {
    (void)row;
    return right_row->scratch ? right_row->scratch(right_row, c) : 0;
}
static void wrong_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    right_row->run(right_row, c, begin, end, scratch);
    float *y = c->y.data;
    if (row->param[0] == 0 && begin == 0) y[0] += 1e-3f * y[0] + 1e-3f; /* a wrong value */
    if (row->param[0] == 1 && begin > 0) y[0] = -y[0] - 1.0f;           /* another task's element */
    if (row->param[0] == 2 && c->x.rows > 1) y[0] *= 1.0f + 0x1p-23f;   /* rounds otherwise in a batch */
    if (row->param[0] == 3) y[-1] = 0;                                  /* in front of the output */
}

static void ignore(void *user, const char *text) {
    (void)user, (void)text;
}

static void test_walk_finds_faults(void **state) {
    (void)state;
    nb_error err;
    kregistry *all, *r;
    assert_int_equal(kreg_new(&all, &err), NB_OK);
    assert_int_equal(cpu_register(all, 0, &err), NB_OK);
    right_row = kreg_named(all, "add.scalar");
    assert_non_null(right_row);
    for (int fault = 0; fault < 4; fault++) {
        krow wrong = {.name = "add.wrong", .backend = "cpu", .op = KOP_ADD, .param = {fault}};
        wrong.takes = wrong_takes;
        wrong.tasks = wrong_tasks;
        wrong.scratch = wrong_scratch;
        wrong.run = wrong_run;
        size_t cases;
        check_report report = {.failed = ignore};
        assert_int_equal(kreg_new(&r, &err), NB_OK);
        assert_int_equal(kreg_add(r, &wrong, 1, &err), NB_OK);
        assert_int_equal(check_walk(r, CHECK_QUICK, &report, &cases, &err), NB_ERR_INTERNAL);
        kreg_free(r);
    }
    kreg_free(all);
}

int main(int argc, char **argv) {
    const char *level = getenv("NB_WALK");
    if (level ? strcmp(level, "quick") == 0 : getenv("NB_SANITIZED") != NULL) options.level = CHECK_QUICK;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            options.level = CHECK_QUICK;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--row") == 0 && i + 1 < argc)
            options.only = argv[++i];
        else
            return fprintf(stderr, "usage: test_registry [--quick] [--verbose] [--row TEXT]\n"), 2;
    }
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGILL, crashed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk), cmocka_unit_test(test_walk_finds_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
