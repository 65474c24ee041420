/* SPDX-License-Identifier: Apache-2.0
 *
 * A row that fails in the simulation fails the walk, which says on which case, in which kernel and thread. */
#include "gpu/walk.h"

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
#include "gpu/sim/sim.h"
#include "gpu/sim_device.h"
#include "verify/check.h"

static struct {
    check_level level;
    bool verbose;
    uint64_t seed;
    const char *patterns;
    const sim_device_kind *kind; /* NULL: the simulation */
} options = {.level = CHECK_LEAN};

/* What runs, for the handler of a crash. */
static char running_text[600];

static void running(void *user, const krow *row, const check_spec *spec) {
    (void)user;
    int n = snprintf(running_text, sizeof running_text, "%s on ", row->name);
    if (n > 0 && (size_t)n < sizeof running_text)
        check_spec_text(spec, running_text + n, sizeof running_text - (size_t)n);
}

/* An address that is not the device's memory: of a kernel, whose launch fails, or else of the host's code. */
static void crashed(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    sim_place at;
    char text[900];
    if (sim_here(&at)) sim_fail("thread %u: no memory at %p", at.tid, info->si_addr);
    const int n = snprintf(text, sizeof text, "%s: host code crashed at %p%s\n", running_text, info->si_addr,
                           sim_holds(info->si_addr, 1) ? ", an address of the device" : "");
    if (n > 0 && write(2, text, (size_t)n) < 0) _exit(3);
    _exit(2);
}

/* A lean walk does not come to every row. */
static void found(void *user, const finding *f) {
    size_t *findings = user;
    if (f->kind == FOUND_NOT_REACHED && options.level == CHECK_LEAN) return;
    (*findings)++;
    print_error("kernel %s: %s: %s%s%s (%s)\n", f->kernel, finding_kind_name(f->kind), f->what,
                f->pattern[0] ? ", " : "", f->pattern, f->where);
}

void walk_on(const sim_device_kind *kind) {
    options.kind = kind;
}

void walk_rows(void **state) {
    (void)state;
    nb_error err = {0};
    device *d;
    const nb_status status = options.kind ? sim_device_of(options.kind, options.patterns, &d, &err)
                                          : sim_device_new(options.patterns, &d, &err);
    if (status) fail_msg("%s", err.text);
    const size_t n = kreg_count(d->registry);
    size_t cases = 0, findings = 0;
    check_tally *tallies = calloc(n + 1, sizeof *tallies);
    assert_non_null(tallies);
    const check_report report = {.user = &findings, .found = found, .running = running};
    const double start = clock_now();
    if (check_walk(d, options.level, options.seed, &report, tallies, &err) != NB_OK)
        fail_msg("%s: %s", running_text, err.text);
    for (size_t i = 0; i < n; i++) {
        cases += tallies[i].cases;
        if (options.verbose)
            print_message("%7zu cases, worst %.3f  %s\n", tallies[i].cases, tallies[i].worst,
                          kreg_at(d->registry, i)->name);
    }
    print_message("%zu rows, %zu cases, %.1f s\n", n, cases, clock_now() - start);
    const size_t errors = sim_device_errors(d);
    free(tallies);
    d->free(d);
    assert_int_equal(findings, 0);
    assert_int_equal(errors, 0);
}

static bool usage(const char *program) {
    fprintf(stderr, "usage: %s [--quick | --full] [--verbose] [--seed N] [PATTERN[,PATTERN...]]\n", program);
    return false;
}

bool walk_options(int argc, char **argv, bool one_of_each) {
    if (one_of_each)
        options.patterns = "!*.affine2.*,!*.affine3.*,!*.affine5.*,!*.affine6.*,!*.affine8.*,!*.mxfp8.*,!*.nvfp4.*,"
                           "!*.mxfp4.*,!*.plain.*,!*.any.*,!*.fma.*,!*.f16.qmm*,!*.f16.few*,!*.qmm64.*,!*.qmm128.*";
    bool has_patterns = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            options.level = CHECK_QUICK;
        else if (strcmp(argv[i], "--full") == 0)
            options.level = CHECK_FULL;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            options.seed = strtoull(argv[++i], NULL, 10);
        else if (argv[i][0] == '-' || has_patterns)
            return usage(argv[0]);
        else {
            options.patterns = argv[i];
            has_patterns = true;
        }
    }
    const struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0;
}
