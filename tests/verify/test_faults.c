/* SPDX-License-Identifier: Apache-2.0
 *
 * Plants the faults of tests/support/faults one at a time and checks the rows that have them as `nibble verify` does:
 * each of those rows is found, with a kind of finding that is right for the fault, and no other row was touched. Rows
 * run in a child process, which may crash or hang. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cpu/caps.h"
#include "support/faults/faults.h"
#include "verify/check.h"

enum { MOST_ROWS = 1024, SECONDS = 10 };

/* What parent and child share: what has been found so far of each row, and which one runs. */
typedef struct shared {
    unsigned kinds[MOST_ROWS]; /* bits 1 << finding_kind */
    size_t running;
    bool no_memory;
} shared;

typedef struct walk {
    const fault *fault;
    const kregistry *registry;
    check *check;
    shared *shared;
} walk;

static kregistry *register_rows(const char *fault_name) {
    nb_error err;
    kregistry *r;
    setenv("NB_FAULT", fault_name, 1);
    if (kreg_new(&r, &err) || cpu_register(r, cpu_caps_detect(), &err)) fail_msg("%s", err.text);
    assert_true(kreg_count(r) <= MOST_ROWS);
    return r;
}

/* The text says it until findings do. */
static unsigned kind_of(const char *text) {
    if (strstr(text, "wrote ")) return 1u << FOUND_WROTE_OUTSIDE;
    if (strstr(text, "in pieces")) return 1u << FOUND_UNSTABLE;
    if (strstr(text, "other bits in a call")) return 1u << FOUND_BATCH;
    unsigned unwritten = strstr(text, "is nan") || strstr(text, "is -nan") ? 1u << FOUND_UNWRITTEN : 0;
    return unwritten | 1u << FOUND_WRONG_VALUE;
}

/* A row with the fault of which it has not been found; something else may have been that follows from it. */
static bool is_open(const walk *w, size_t i) {
    return fault_is_in(kreg_at(w->registry, i)) && !(w->shared->kinds[i] & w->fault->kinds);
}

static bool has_open_row(const walk *w, kop op) {
    for (size_t i = 0; i < kreg_count(w->registry); i++)
        if (kreg_at(w->registry, i)->op == op && is_open(w, i)) return true;
    return false;
}

static bool visit(void *user, const check_spec *spec) {
    walk *w = user;
    nb_error err;
    if (check_load(w->check, spec, &err)) {
        w->shared->no_memory = true;
        return false;
    }
    for (size_t i = 0; i < kreg_count(w->registry); i++) {
        const krow *row = kreg_at(w->registry, i);
        if (row->op != spec->op || !is_open(w, i) || !check_takes(w->check, row)) continue;
        w->shared->running = i;
        alarm(SECONDS);
        if (check_row(w->check, row, &err)) w->shared->kinds[i] |= kind_of(err.text);
    }
    return has_open_row(w, spec->op);
}

static void walk_in_child(walk *w, kop op, check_level level) {
    nb_error err;
    signal(SIGSEGV, SIG_DFL); /* not cmocka's, nor a sanitizer's */
    signal(SIGALRM, SIG_DFL);
    if (check_new(&w->check, &err)) _exit(1);
    check_specs(op, level, visit, w);
    check_free(w->check);
    _exit(w->shared->no_memory);
}

/* Walks the cases of an operation. A child that ends before its time has found something, too; another goes on. */
static void walk_cases(walk *w, kop op, check_level level) {
    for (;;) {
        int status;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) walk_in_child(w, op, level);
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return;
        }
        int signal_number = WTERMSIG(status);
        assert_true(signal_number == SIGALRM || signal_number == SIGSEGV);
        w->shared->kinds[w->shared->running] |=
            signal_number == SIGALRM ? 1u << FOUND_HUNG : 1u << FOUND_CRASHED | 1u << FOUND_READ_OUTSIDE;
    }
}

static void look_for(const fault *f, const kregistry *r, shared *s) {
    walk w = {.fault = f, .registry = r, .shared = s};
    memset(s, 0, sizeof *s);
    for (kop op = 0; op < KOP_COUNT; op++)
        if (has_open_row(&w, op)) walk_cases(&w, op, CHECK_QUICK);
    for (kop op = 0; op < KOP_COUNT; op++) /* rows that few cases reach, faults that few elements have */
        if (has_open_row(&w, op)) walk_cases(&w, op, CHECK_FULL);
    size_t n = 0, missed = 0;
    for (size_t i = 0; i < kreg_count(r); i++) {
        const krow *row = kreg_at(r, i);
        if (!fault_is_in(row)) continue;
        n++;
        if (s->kinds[i] & f->kinds) continue;
        missed++;
        print_error("%s: not found in %s (kinds %#x)\n", f->name, row->name, s->kinds[i]);
    }
    print_message("%-20s %3zu of %zu rows\n", f->name, n - missed, n);
    assert_true(n > 0);
    assert_int_equal(missed, 0);
}

/* All rows but the ones with the fault are the real ones; a row that had no other beside it has one now. */
static void look_at_others(const kregistry *r, const kregistry *real) {
    for (size_t i = 0; i < kreg_count(real); i++) {
        const krow *row = kreg_at(real, i), *other = kreg_named(r, row->name);
        char plain[128];
        assert_non_null(other);
        snprintf(plain, sizeof plain, "%s.plain", row->name);
        if (!fault_is_in(other)) {
            assert_ptr_equal(other, row);
            assert_null(kreg_named(r, plain));
        }
        bool right_one = kreg_named(r, plain) != NULL;
        for (size_t j = 0; j < kreg_count(r); j++)
            right_one |= kreg_at(r, j)->op == row->op && !fault_is_in(kreg_at(r, j));
        assert_true(right_one);
    }
}

static void test_faults_are_found(void **state) {
    const char *only = *state;
    shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s != MAP_FAILED);
    kregistry *real = register_rows("");
    for (const fault *f = faults; f->name; f++) {
        if (only && strcmp(only, f->name) != 0) continue;
        kregistry *r = register_rows(f->name);
        look_at_others(r, real);
        if (f->level == VERIFY_KERNELS && f->run != fault_int32_offsets) look_for(f, r, s);
        kreg_free(r);
    }
    kreg_free(real);
    munmap(s, sizeof *s);
}

/* ---- Offsets past 2^31 ----------------------------------------------------------------------------------------- */

/* The call by the row named, as NB_FAULT=int32-offsets has it, and by the right one. */
static void run_both(const char *name, const kcall *c, const kcall *right) {
    kregistry *r = register_rows("int32-offsets"), *real = register_rows("");
    const krow *row = kreg_named(r, name);
    assert_true(row && fault_is_in(row) && kreg_takes(row, c));
    row->run(row, c, 0, row->tasks(row, c), NULL);
    fault_run_real(kreg_named(real, name), right);
    kreg_free(r);
    kreg_free(real);
}

/* A mapping of which only the pages that are touched exist. */
static void *sparse(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) skip();
    return p;
}

/* Rows of a matrix of more than 2^31 elements: the last one that ends in front of element 2^31, and the next one. */
static void test_far_rows(void **state) {
    (void)state;
    const int64_t cols = 1 << 20, n = 2049;
    const size_t bytes = (size_t)(n * cols) * sizeof(float);
    float *x = sparse(bytes), *y = calloc((size_t)(4 * cols), sizeof *y);
    assert_non_null(y);
    const int32_t rows[] = {2047, 2048};
    for (int64_t j = 0; j < cols; j++) x[2047 * cols + j] = x[2048 * cols + j] = 1.0f + (float)(j % 7);
    kcall c = {.op = KOP_SELECT_ROWS, .rows = rows};
    c.x = (kmat){.data = x, .type = DT_F32, .rows = n, .cols = cols, .stride = cols};
    c.y = (kmat){.data = y, .type = DT_F32, .rows = 2, .cols = cols, .stride = cols};
    kcall right = c;
    right.y.data = y + 2 * cols;
    run_both("select_rows.avx2", &c, &right);
    assert_memory_equal(y, y + 2 * cols, (size_t)cols * sizeof *y);
    assert_memory_not_equal(y + cols, y + 3 * cols, (size_t)cols * sizeof *y);
    free(y);
    munmap(x, bytes);
}

/* Slots of a KV cache likewise: pages of 2^20 elements. */
static void test_far_pages(void **state) {
    (void)state;
    enum { PAGE = 1 << 20, N = 2049, HEAD = 64 };
    const size_t bytes = (size_t)N * PAGE * sizeof(uint16_t);
    uint16_t *pages = sparse(bytes), *others = sparse(bytes);
    float x[2 * HEAD];
    for (int j = 0; j < 2 * HEAD; j++) x[j] = 1.0f + (float)j;
    const int32_t positions[] = {0, 0}, near_table[] = {2047}, far_table[] = {2048};
    const int32_t *const tables[] = {near_table, far_table};
    kcall c = {.op = KOP_KV_STORE, .positions = positions, .tables = tables};
    c.x = (kmat){.data = x, .type = DT_F32, .rows = 2, .cols = HEAD, .stride = HEAD};
    c.keys = (kpages){pages, DT_F16, N, 1, PAGE / HEAD, HEAD};
    kcall right = c;
    right.keys.data = others;
    run_both("kv_store.avx2", &c, &right);
    const size_t size = HEAD * sizeof *pages, near = (size_t)2047 * PAGE, far = (size_t)2048 * PAGE;
    assert_memory_equal(pages + near, others + near, size);
    assert_memory_not_equal(pages + far, others + far, size);
    munmap(pages, bytes);
    munmap(others, bytes);
}

static void test_unknown_fault_is_refused(void **state) {
    (void)state;
    nb_error err;
    kregistry *r;
    setenv("NB_FAULT", "no-such-fault", 1);
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(cpu_register(r, 0, &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "no-such-fault"));
    kreg_free(r);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_faults_are_found, argc > 1 ? argv[1] : NULL),
                                       cmocka_unit_test(test_far_rows), cmocka_unit_test(test_far_pages),
                                       cmocka_unit_test(test_unknown_fault_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
