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

/* Rows with one fault each must be found: the walk is not blind. A fault is done to what the right row has made. */
typedef void fault(const kcall *c, int64_t begin);

static void wrong_value(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin == 0) y[0] += 1e-3f * y[0] + 1e-3f;
}

static void element_of_another_task(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin > 0) y[0] = -y[0] - 1.0f;
}

static void rounds_otherwise_in_a_batch(const kcall *c, int64_t begin) {
    (void)begin;
    float *y = c->y.data;
    if (c->x.rows > 1) y[0] *= 1.0f + 0x1p-23f;
}

static void in_front_of_the_output(const kcall *c, int64_t begin) {
    (void)begin;
    ((float *)c->y.data)[-1] = 0;
}

/* The second place of a token gets what the first one has. */
static void experts_mixed_up(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    int64_t n = c->y.cols / c->n_chosen;
    if (begin == 0 && c->n_chosen > 1) memcpy(y + n, y, (size_t)n * sizeof *y);
}

static void ties_the_other_way(const kcall *c, int64_t begin) {
    const float *x = (const float *)c->x.data + begin * c->x.stride;
    float *y = (float *)c->y.data + begin * c->y.stride;
    if (begin < c->x.rows && c->n_chosen > 1 && x[(int64_t)y[0]] == x[(int64_t)y[1]]) {
        float first = y[0];
        y[0] = y[1];
        y[1] = first;
    }
}

static void nan_leads_astray(const kcall *c, int64_t begin) {
    const float *x = c->x.data;
    if (begin == 0 && x[0] != x[0]) ((float *)c->y.data)[0] = -1.0f;
}

static float *first_state(const kcall *c) {
    return c->states.data + c->slots[0] * c->states.size;
}

static void state_not_exact(const kcall *c, int64_t begin) {
    if (begin == 0) first_state(c)[c->states.size - 1] *= 1.0f + 0x1p-20f;
}

static void state_not_updated(const kcall *c, int64_t begin) {
    if (begin == 0) first_state(c)[0] = 0.0f;
}

static void state_rounds_otherwise_in_a_batch(const kcall *c, int64_t begin) {
    if (begin == 0 && c->x.rows > 1) first_state(c)[0] *= 1.0f + 0x1p-23f;
}

static void state_of_another_sequence(const kcall *c, int64_t begin) {
    (void)begin;
    int64_t slot = 0;
    for (int64_t t = 0; t < c->x.rows; t++)
        if (c->slots[t] == slot) slot++, t = -1;
    c->states.data[slot * c->states.size] = 1.0f;
}

static const struct {
    const char *row;
    fault *fault;
} faults[] = {
    {"add.scalar", wrong_value},
    {"add.scalar", element_of_another_task},
    {"add.scalar", rounds_otherwise_in_a_batch},
    {"add.scalar", in_front_of_the_output},
    {"matmul_experts.scalar", experts_mixed_up},
    {"sum_experts.scalar", wrong_value},
    {"route.scalar", ties_the_other_way},
    {"route.scalar", wrong_value},
    {"route.scalar", nan_leads_astray},
    {"conv1d.scalar", state_not_exact},
    {"conv1d.scalar", state_of_another_sequence},
    {"delta.scalar", wrong_value},
    {"delta.scalar", state_not_exact},
    {"delta.scalar", state_not_updated},
    {"delta.scalar", state_rounds_otherwise_in_a_batch},
    {"delta.scalar", state_of_another_sequence},
    {"delta_gates.scalar", wrong_value},
};

static const krow *right_row;
static fault *current_fault;

static void wrong_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    right_row->run(right_row, c, begin, end, scratch);
    current_fault(c, begin);
}

static void ignore(void *user, const char *text) {
    (void)user;
    if (options.verbose) print_message("%s\n", text);
}

static void test_walk_finds_faults(void **state) {
    (void)state;
    nb_error err;
    kregistry *all, *r;
    assert_int_equal(kreg_new(&all, &err), NB_OK);
    assert_int_equal(cpu_register(all, 0, &err), NB_OK);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        right_row = kreg_named(all, faults[i].row);
        assert_non_null(right_row);
        current_fault = faults[i].fault;
        krow wrong = *right_row;
        wrong.run = wrong_run;
        size_t cases;
        check_report report = {.failed = ignore};
        assert_int_equal(kreg_new(&r, &err), NB_OK);
        assert_int_equal(kreg_add(r, &wrong, 1, &err), NB_OK);
        if (check_walk(r, CHECK_QUICK, &report, &cases, &err) != NB_ERR_INTERNAL)
            fail_msg("%s: fault %zu was not found", faults[i].row, i);
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
