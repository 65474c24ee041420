/* SPDX-License-Identifier: Apache-2.0
 *
 * Plants the faults of tests/support/faults one at a time and verifies the rows that have them as `nibble verify` does:
 * each of those rows is found, with a kind of finding that is right for the fault, and no other row was touched. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "cpu/cpu.h"
#include "support/faults/faults.h"
#include "verify/session.h"

static kregistry *register_rows(const char *fault_name) {
    nb_error err;
    kregistry *r;
    setenv("NB_FAULT", fault_name, 1);
    if (kreg_new(&r, &err) || cpu_register(r, cpu_caps_detect(), &err)) fail_msg("%s", err.text);
    return r;
}

/* The rows with the fault, and the ones that were put beside them. */
static kregistry *only_new_rows(const kregistry *all) {
    nb_error err;
    kregistry *some;
    if (kreg_new(&some, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < kreg_count(all); i++) {
        const krow *row = kreg_at(all, i);
        if ((fault_is_in(row) || row->rank < 0) && kreg_add(some, row, 1, &err)) fail_msg("%s", err.text);
    }
    return some;
}

/* ---- Verifying ------------------------------------------------------------------------------------------------- */

static int one(void) {
    return 1;
}

/* The CPU with nothing but these rows. */
static nb_status open_with_new_rows(int index, const device_options *options, device **out, nb_error *err) {
    nb_status status = cpu_backend.open(index, options, out, err);
    if (status) return status;
    kregistry *all = (*out)->registry;
    (*out)->registry = only_new_rows(all);
    kreg_free(all);
    return NB_OK;
}

static report verify(check_level depth) {
    static const backend b = {.name = "cpu", .count = one, .open = open_with_new_rows};
    verify_options o = {.backend = &b, .depth = depth, .seed = 1, .silence = 5};
    o.levels[VERIFY_KERNELS] = true;
    nb_error err;
    report r;
    if (verify_run(&o, &r, &err)) fail_msg("%s", err.text);
    return r;
}

/* Kinds of findings about a row: bits 1 << finding_kind. */
static unsigned kinds_of(const report *r, const char *kernel) {
    unsigned kinds = 0;
    for (size_t i = 0; i < r->n_findings; i++)
        if (strcmp(r->findings[i].kernel, kernel) == 0) kinds |= 1u << r->findings[i].kind;
    return kinds;
}

/* Every row that has the fault is named for it. The others are clean. */
static void look_for(const fault *f, const kregistry *all) {
    kregistry *rows = only_new_rows(all);
    report r = verify(f->depth == FULL ? CHECK_FULL : CHECK_QUICK);
    size_t missed = 0;
    for (size_t i = 0; i < kreg_count(rows); i++) {
        const krow *row = kreg_at(rows, i);
        unsigned kinds = kinds_of(&r, row->name);
        if (!fault_is_in(row) && kinds) fail_msg("%s: %s has no fault, but findings: %#x", f->name, row->name, kinds);
        if (!fault_is_in(row) || kinds & f->kinds) continue;
        missed++;
        print_error("%s: not found in %s (kinds %#x)\n", f->name, row->name, kinds);
    }
    print_message("%-20s %3zu rows\n", f->name, kreg_count(rows) - missed);
    assert_true(kreg_count(rows) > 0);
    assert_int_equal(missed, 0);
    report_free(&r);
    kreg_free(rows);
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
    kregistry *real = register_rows("");
    for (const fault *f = faults; f->name; f++) {
        if (only && strcmp(only, f->name) != 0) continue;
        kregistry *r = register_rows(f->name);
        look_at_others(r, real);
        if (f->level == VERIFY_KERNELS) look_for(f, r);
        kreg_free(r);
    }
    kreg_free(real);
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
