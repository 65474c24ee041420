/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks every row of the registry that this machine can run over all cases of src/verify/check.h. NB_WALK=quick (or
 * --quick) makes fewer cases, for sanitizers (NB_SANITIZED) and emulators; NB_WALK=full all. --row TEXT walks only rows
 * whose name contains TEXT; --verbose prints the number of cases of each row and its largest error as a share of what
 * is allowed; --seeds N only makes lean walks (or --quick, --full ones) with seeds 1 to N (--from: others), up to
 * the first false alarm. */
#include <inttypes.h>
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
#include "kernels/host_device.h"
#include "quant/xform.h"
#include "verify/check.h"

static struct {
    check_level level;
    bool verbose;
    const char *only;
    uint64_t first_seed, seeds;
    check_level seed_level;
} options = {.level = CHECK_FULL, .first_seed = 1};

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

static void found(void *user, const finding *f) {
    (void)user;
    print_error("kernel %s: %s: %s%s%s (%s)\n", f->kernel, finding_kind_name(f->kind), f->what,
                f->pattern[0] ? ", " : "", f->pattern, f->where);
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

static size_t count_findings(const check_tally *tallies, size_t n) {
    size_t findings = 0;
    for (size_t i = 0; i < n; i++) findings += tallies[i].findings;
    return findings;
}

/* One walk over all rows; returns the number of findings. */
static size_t walk(kregistry *r, check_level level, uint64_t seed, bool verbose) {
    nb_error err = {0};
    size_t n = kreg_count(r), total = 0;
    int64_t left_out = 0;
    check_tally *tallies = calloc(n + 1, sizeof *tallies);
    assert_non_null(tallies);
    device d = host_device(r);
    check_report report = {.found = found, .running = running};
    double start = clock_now();
    if (check_walk(&d, level, seed, &report, tallies, &err) != NB_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        total += tallies[i].cases;
        left_out += tallies[i].far_left_out;
        if (options.verbose)
            print_message("%7zu cases, worst %.3f  %s\n", tallies[i].cases, tallies[i].worst, kreg_at(r, i)->name);
    }
    if (verbose)
        print_message("%zu rows, %zu cases, %" PRId64 " left out for want of memory, %.1f s\n", n, total, left_out,
                      clock_now() - start);
    size_t findings = count_findings(tallies, n);
    free(tallies);
    return findings;
}

static void test_walk(void **state) {
    (void)state;
    kregistry *r = make_registry();
    size_t findings = walk(r, options.level, 0, true);
    kreg_free(r);
    assert_int_equal(findings, 0);
}

/* No false alarm: right rows pass whatever the seed. */
static void test_seeds(void **state) {
    (void)state;
    kregistry *r = make_registry();
    double start = clock_now();
    for (uint64_t seed = options.first_seed; seed < options.first_seed + options.seeds; seed++) {
        if (walk(r, options.seed_level, seed, options.verbose) > 0) fail_msg("a false alarm at seed %" PRIu64, seed);
    }
    print_message("seeds %" PRIu64 " to %" PRIu64 ": %.1f s\n", options.first_seed,
                  options.first_seed + options.seeds - 1, clock_now() - start);
    kreg_free(r);
}

/* Rows with one fault each must be found: the walk is not blind. A fault is done to what the right row has made. */
typedef void fault(const kcall *c, int64_t begin);

static int n_runs;
static uint8_t current_poison; /* what was in the output before the run */

static void wrong_value(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin == 0) y[0] += 1e-3f * y[0] + 1e-3f;
}

static void element_of_another_task(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin > 0) y[0] = -y[0] - 1.0f;
}

static void rounds_otherwise_in_a_batch(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin == 0 && c->x.rows > 1) y[0] *= 1.0f + 0x1p-23f;
}

static void in_front_of_the_output(const kcall *c, int64_t begin) {
    (void)begin;
    ((float *)c->y.data)[-1] = 0;
}

static void between_rows(const kcall *c, int64_t begin) {
    if (begin == 0 && c->y.stride > c->y.cols) ((float *)c->y.data)[c->y.cols] = 0;
}

static void never_written(const kcall *c, int64_t begin) {
    if (begin == 0 && c->y.data != c->x.data) memset((float *)c->y.data + c->y.cols - 1, current_poison, sizeof(float));
}

static void another_result_each_time(const kcall *c, int64_t begin) {
    float *y = c->y.data;
    if (begin == 0) y[0] *= 1.0f + 0x1p-24f * (float)(n_runs % 3);
}

static void another_place(const kcall *c, int64_t begin) {
    const kpages *k = &c->keys;
    if (begin > 0) return;
    int64_t nobody = 0; /* a page that no table of the call names */
    for (int64_t t = 0; t < c->x.rows; t++)
        for (int64_t p = 0; p <= c->positions[t] / k->page_size; p++)
            if (c->tables[t][p] == nobody) nobody++, t = p = -1;
    if (nobody < k->n_pages) memset((char *)k->data + nobody * k->n_heads * k->page_size * k->head_dim * 2, 0, 2);
}

/* The element of the output that a kernel gets wrong, if the output is that large. */
static void one_in_a_million(const kcall *c, int64_t begin) {
    int64_t at = 1000000;
    if (begin == 0 && at < c->y.rows * c->y.cols)
        ((float *)c->y.data)[at / c->y.cols * c->y.stride + at % c->y.cols] += 1;
}

static void sums_left_out(const kcall *c, int64_t begin) {
    if (begin == 0) xform_sums(&c->y)[0] += 1.0f;
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

static void state_wrong(const kcall *c, int64_t begin) {
    if (begin == 0) first_state(c)[0] += 1e-3f * first_state(c)[0] + 1e-3f;
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
    finding_kind kind;
    check_level level; /* that finds it */
} faults[] = {
    {"add.scalar", wrong_value, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"add.scalar", element_of_another_task, FOUND_SPLIT, CHECK_QUICK},
    {"rmsnorm.scalar", rounds_otherwise_in_a_batch, FOUND_BATCH, CHECK_QUICK},
    {"add.scalar", in_front_of_the_output, FOUND_WROTE_OUTSIDE, CHECK_QUICK},
    {"add.scalar", between_rows, FOUND_WROTE_OUTSIDE, CHECK_QUICK},
    {"add.scalar", never_written, FOUND_UNWRITTEN, CHECK_QUICK},
    {"add.scalar", another_result_each_time, FOUND_UNSTABLE, CHECK_QUICK},
    {"kv_store.scalar", another_place, FOUND_WROTE_OUTSIDE, CHECK_QUICK},
    {"quantize.scalar", sums_left_out, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"matmul.affine4.scalar", one_in_a_million, FOUND_WRONG_VALUE, CHECK_FULL},
    {"matmul_experts.scalar", experts_mixed_up, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"sum_experts.scalar", wrong_value, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"route.scalar", ties_the_other_way, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"route.scalar", wrong_value, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"route.scalar", nan_leads_astray, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"conv1d.scalar", state_not_exact, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"conv1d.scalar", state_of_another_sequence, FOUND_WROTE_OUTSIDE, CHECK_QUICK},
    {"delta.scalar", wrong_value, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"delta.scalar", state_wrong, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"delta.scalar", state_not_updated, FOUND_WRONG_VALUE, CHECK_QUICK},
    {"delta.scalar", state_rounds_otherwise_in_a_batch, FOUND_BATCH, CHECK_QUICK},
    {"delta.scalar", state_of_another_sequence, FOUND_WROTE_OUTSIDE, CHECK_QUICK},
    {"delta_gates.scalar", wrong_value, FOUND_WRONG_VALUE, CHECK_QUICK},
};

static const krow *right_row;
static fault *current_fault;

static void wrong_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    n_runs++;
    if (c->op == KOP_ADD) current_poison = ((const uint8_t *)c->y.data)[c->y.cols * 4 - 1];
    right_row->run(right_row, c, begin, end, scratch);
    current_fault(c, begin);
}

/* Counts findings of each kind. */
static void count_kind(void *user, const finding *f) {
    size_t *counts = user;
    counts[f->kind]++;
    if (options.verbose) print_message("%s: %s (%s)\n", f->kernel, f->what, f->where);
}

static void test_walk_finds_faults(void **state) {
    (void)state;
    nb_error err;
    kregistry *all, *r;
    assert_int_equal(kreg_new(&all, &err), NB_OK);
    assert_int_equal(cpu_register(all, 0, &err), NB_OK);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (faults[i].level > options.level) continue; /* takes long */
        right_row = kreg_named(all, faults[i].row);
        assert_non_null(right_row);
        current_fault = faults[i].fault;
        krow wrong = *right_row;
        wrong.run = wrong_run;
        check_tally tally;
        size_t counts[FOUND_KINDS] = {0};
        check_report report = {.user = counts, .found = count_kind};
        assert_int_equal(kreg_new(&r, &err), NB_OK);
        assert_int_equal(kreg_add(r, &wrong, 1, &err), NB_OK);
        device d = host_device(r);
        assert_int_equal(check_walk(&d, faults[i].level, 0, &report, &tally, &err), NB_OK);
        if (counts[faults[i].kind] == 0)
            fail_msg("%s: fault %zu was not found as \"%s\" (%zu findings)", faults[i].row, i,
                     finding_kind_name(faults[i].kind), tally.findings);
        kreg_free(r);
    }
    kreg_free(all);
}

int main(int argc, char **argv) {
    const char *level = getenv("NB_WALK");
    bool only_seeds = false;
    if (level ? strcmp(level, "quick") == 0 : getenv("NB_SANITIZED") != NULL) options.level = CHECK_QUICK;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            options.level = options.seed_level = CHECK_QUICK;
        else if (strcmp(argv[i], "--full") == 0)
            options.level = options.seed_level = CHECK_FULL;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--row") == 0 && i + 1 < argc)
            options.only = argv[++i];
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            only_seeds = true, options.seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            options.first_seed = strtoull(argv[++i], NULL, 10);
        else
            return fprintf(
                       stderr,
                       "usage: test_registry [--quick | --full] [--verbose] [--row TEXT] [--seeds N [--from SEED]]\n"),
                   2;
    }
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGILL, crashed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk), cmocka_unit_test(test_walk_finds_faults)};
    const struct CMUnitTest seeds[] = {cmocka_unit_test(test_seeds)};
    return only_seeds ? cmocka_run_group_tests(seeds, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
