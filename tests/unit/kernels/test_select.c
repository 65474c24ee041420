/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry's choice among rows: ranks, what is set aside, patterns; and the names that narrow a processor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/caps.h"

static bool takes(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return true;
}
static bool takes_none(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return false;
}
static int64_t tasks(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}
static void run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)c, (void)begin, (void)end, (void)scratch;
}

#define ROW(n, r, t)                                                                                                   \
    { .name = n, .backend = "cpu", .op = KOP_ADD, .rank = r, .takes = t, .tasks = tasks, .run = run }
static const krow rows[] = {
    ROW("add.scalar", 0, takes),
    ROW("add.avx2", 2, takes),
    ROW("add.avx512", 3, takes),
    ROW("add.odd", 9, takes_none),
};

static float numbers[4];
static kcall a_call(void) {
    kmat m = {.data = numbers, .type = DT_F32, .rows = 1, .cols = 4, .stride = 4};
    return (kcall){.op = KOP_ADD, .x = m, .z = m, .y = m};
}

static kregistry *a_registry(void) {
    kregistry *r;
    nb_error err;
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(kreg_add(r, rows, 4, &err), NB_OK);
    return r;
}

static void expect(const kregistry *r, const char *name) {
    kcall c = a_call();
    const krow *row = kreg_find(r, &c);
    if (!name) {
        assert_null(row);
        return;
    }
    assert_non_null(row);
    assert_string_equal(row->name, name);
}

static void test_best_rank_wins(void **state) {
    (void)state;
    kregistry *r = a_registry();
    expect(r, "add.avx512");
    kreg_set_aside(r, kreg_named(r, "add.avx512"), true);
    assert_true(kreg_is_aside(r, kreg_named(r, "add.avx512")));
    expect(r, "add.avx2");
    kcall c = a_call();
    assert_false(kreg_takes(kreg_named(r, "add.odd"), &c));
    assert_true(kreg_takes(kreg_named(r, "add.avx512"), &c)); /* aside or not */
    kreg_free(r);
}

static void test_patterns(void **state) {
    (void)state;
    nb_error err;
    kregistry *r = a_registry();
    assert_int_equal(kreg_select(r, "-add.avx*", &err), NB_OK);
    expect(r, "add.scalar");
    assert_int_equal(kreg_select(r, "-*,+*2,", &err), NB_OK);
    expect(r, "add.avx512");
    assert_int_equal(kreg_select(r, "-*", &err), NB_OK);
    expect(r, NULL);
    assert_int_equal(kreg_select(r, "-*,+*d*.*v*x*2", &err), NB_OK);
    expect(r, "add.avx512");
    assert_int_equal(kreg_select(r, "+add,-sub.*", &err), NB_OK); /* a whole name, not a part of it */
    expect(r, "add.avx512");
    assert_int_equal(kreg_select(r, "-add.avx512,add.*", &err), NB_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "\"add.*\""));
    assert_int_equal(kreg_select(r, "", &err), NB_OK);
    kreg_free(r);
}

/* A pattern has to mean a row of some registry. */
static void test_unmatched(void **state) {
    (void)state;
    nb_error err;
    size_t length;
    kregistry *few, *r = a_registry();
    assert_int_equal(kreg_new(&few, &err), NB_OK);
    krow only = rows[0];
    only.name = "add.gpu";
    assert_int_equal(kreg_add(few, &only, 1, &err), NB_OK);
    const kregistry *const both[] = {r, few};
    assert_null(kreg_unmatched(both, 2, ",-add.gpu,,+*.scalar,", &length));
    const char *list = "-add.scalar,-add.gpu,+add";
    assert_ptr_equal(kreg_unmatched(both, 1, list, &length), list + 12);
    assert_int_equal(length, 8);
    assert_ptr_equal(kreg_unmatched(both, 2, list, &length), list + 21);
    assert_int_equal(length, 4);
    kreg_free(few);
    kreg_free(r);
}

static void test_bad_rows_and_calls(void **state) {
    (void)state;
    nb_error err;
    kregistry *r = a_registry();
    assert_int_equal(kreg_add(r, rows, 1, &err), NB_ERR_ARGUMENT); /* the name is taken */
    krow no_run = rows[0];
    no_run.name = "add.new";
    no_run.run = NULL;
    assert_int_equal(kreg_add(r, &no_run, 1, &err), NB_ERR_ARGUMENT);
    kcall c = a_call();
    c.z.cols = 3;
    assert_null(kreg_find(r, &c));
    c = a_call();
    c.x.data = NULL;
    assert_null(kreg_find(r, &c));
    kreg_free(r);
}

static void test_limits(void **state) {
    (void)state;
    nb_error err;
    unsigned all = CPU_AVX2 | CPU_AVX512 | CPU_VNNI, caps = all;
    assert_int_equal(cpu_caps_limit(&caps, "avx2", &err), NB_OK);
    assert_int_equal(caps, CPU_AVX2);
    caps = all;
    assert_int_equal(cpu_caps_limit(&caps, "avx512", &err), NB_OK);
    assert_int_equal(caps, all);
    assert_int_equal(cpu_caps_limit(&caps, NULL, &err), NB_OK);
    assert_int_equal(cpu_caps_limit(&caps, "", &err), NB_OK);
    assert_int_equal(caps, all);
    assert_int_equal(cpu_caps_limit(&caps, "scalar", &err), NB_OK);
    assert_int_equal(caps, 0);
    assert_string_equal(cpu_caps_name(caps), "scalar");
    assert_int_equal(cpu_caps_limit(&caps, "sse", &err), NB_ERR_ARGUMENT);
    assert_string_equal(cpu_caps_name(all), "AVX-512 VNNI");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_rank_wins),     cmocka_unit_test(test_patterns), cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_bad_rows_and_calls), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
