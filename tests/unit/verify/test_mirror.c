/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose memory the host cannot read where the device's pointers say: they point into addresses that no memory
 * is behind, a constant away from where it is. All rows of the processor pass a lean walk on it, so every operand of
 * every operation is mirrored; stray writes are still found; and a call is fetched back whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "cpu/caps.h"
#include "quant/xform.h"
#include "ref/ref.h"
#include "verify/check.h"
#include "verify/mirror.h"

enum { SPACE = 1 << 28 };

static struct {
    uint8_t *device, *host; /* where the device's pointers point, and where the memory is */
    size_t used, n_alloc, n_release;
    krow wrong; /* wrong.run, if any, runs instead of its row */
} space;

static uint8_t *host_of(const void *p) {
    size_t offset = (size_t)((const uint8_t *)p - space.device);
    if (offset >= SPACE) fail_msg("a pointer that is not the device's");
    return space.host + offset;
}

/* A stack: blocks go in reverse order or all at once. */
static void *memory_alloc(device *d, size_t bytes) {
    (void)d;
    if (space.used + bytes > SPACE) return NULL;
    void *p = space.device + space.used;
    space.used = (space.used + bytes + 255) / 256 * 256;
    space.n_alloc++;
    return p;
}

static void memory_release(device *d, void *p) {
    (void)d;
    space.n_release++;
    space.used = (size_t)((uint8_t *)p - space.device);
}

static nb_status memory_write(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    (void)d, (void)err;
    memcpy(host_of(to), from, bytes);
    return NB_OK;
}

static nb_status memory_read(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    (void)d, (void)err;
    memcpy(to, host_of(from), bytes);
    return NB_OK;
}

static void *translate(void *user, const operand *o) {
    (void)user;
    return host_of(o->data);
}

/* The rows' code is the host's: what was mirrored is found where the memory is. Page tables hold the device's pointers,
 * which call_move follows in the host's memory. */
static nb_status run(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch,
                     nb_error *err) {
    (void)d, (void)err;
    call_copy copy;
    assert_true(call_move(c, &copy, true, translate, NULL));
    void (*its)(const krow *, const kcall *, int64_t, int64_t, void *) = space.wrong.run ? space.wrong.run : row->run;
    its(row, &copy.call, begin, end, scratch ? host_of(scratch) : NULL);
    call_copy_free(&copy);
    return NB_OK;
}

static const device_memory memory = {memory_alloc, memory_release, memory_write, memory_read};

static int make_space(void **state) {
    (void)state;
    space.device = mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    space.host = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return space.device == MAP_FAILED || space.host == MAP_FAILED;
}

static int free_space(void **state) {
    (void)state;
    munmap(space.device, SPACE);
    munmap(space.host, SPACE);
    return 0;
}

static kregistry *all_rows(void) {
    nb_error err;
    kregistry *r;
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(cpu_register(r, cpu_caps_detect(), &err), NB_OK);
    return r;
}

static void found(void *user, const finding *f) {
    finding *last = user;
    *last = *f;
}

static void test_all_rows(void **state) {
    (void)state;
    nb_error err = {0};
    finding last = {0};
    kregistry *r = all_rows();
    device d = {.registry = r, .memory = &memory, .run = run};
    check_tally *tallies = calloc(kreg_count(r), sizeof *tallies);
    check_report report = {.user = &last, .found = found};
    assert_non_null(tallies);
    if (check_walk(&d, CHECK_LEAN, 0, &report, tallies, &err) != NB_OK) fail_msg("%s", err.text);
    if (last.kind != FOUND_NOTHING) fail_msg("%s: %s (%s)", last.kernel, last.what, last.where);
    for (size_t i = 0; i < kreg_count(r); i++) assert_true(tallies[i].cases > 0);
    assert_true(space.n_alloc > 0);
    assert_int_equal(space.n_alloc, space.n_release);
    free(tallies);
    kreg_free(r);
}

static const krow *right_row;

static void in_front_of_the_output(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    right_row->run(right_row, c, begin, end, scratch);
    ((float *)c->y.data)[-1] = 0;
}

/* One element past the end of x is NaN there. */
static void reads_past_the_end(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    right_row->run(right_row, c, begin, end, scratch);
    if (begin == 0)
        ((float *)c->y.data)[0] += 0 * ((const float *)c->z.data)[(c->z.rows - 1) * c->z.stride + c->z.cols];
}

static void check_wrong(const char *name, void (*wrong)(const krow *, const kcall *, int64_t, int64_t, void *),
                        finding_kind kind) {
    nb_error err = {0};
    finding last = {0};
    kregistry *all = all_rows(), *r;
    right_row = kreg_named(all, name);
    space.wrong.run = wrong;
    assert_int_equal(kreg_new(&r, &err), NB_OK);
    assert_int_equal(kreg_add(r, right_row, 1, &err), NB_OK);
    device d = {.registry = r, .memory = &memory, .run = run};
    check_tally tally;
    check_report report = {.user = &last, .found = found};
    assert_int_equal(check_walk(&d, CHECK_LEAN, 0, &report, &tally, &err), NB_OK);
    assert_int_equal(last.kind, kind);
    space.wrong.run = NULL;
    kreg_free(r);
    kreg_free(all);
}

static void test_stray_accesses(void **state) {
    (void)state;
    check_wrong("add.scalar", in_front_of_the_output, FOUND_WROTE_OUTSIDE);
    check_wrong("add.scalar", reads_past_the_end, FOUND_WRONG_VALUE);
}

/* An attention's operands, tables and all, come back from the device as they went there. */
static void test_fetch(void **state) {
    (void)state;
    nb_error err = {0};
    float q[2 * 8], keys[3 * 4 * 8], values[3 * 4 * 8];
    struct {
        char before[MIRROR_BAND];
        float y[2 * 8];
        char behind[MIRROR_BAND];
    } banded;
    int32_t positions[2] = {4, 5}, table[2] = {2, 0};
    const int32_t *tables[2] = {table, table};
    for (int i = 0; i < 16; i++) q[i] = (float)i;
    for (int i = 0; i < 96; i++) keys[i] = (float)(i % 7), values[i] = (float)i;
    memset(&banded, 0, sizeof banded);
    kcall c = {.op = KOP_ATTENTION, .scale = 0.25f, .positions = positions, .tables = tables};
    c.x = (kmat){.data = q, .type = DT_F32, .rows = 2, .cols = 8, .stride = 8};
    c.y = c.x;
    c.y.data = banded.y;
    c.keys = (kpages){.data = keys, .type = DT_F32, .n_pages = 3, .n_heads = 1, .page_size = 4, .head_dim = 8};
    c.values = c.keys;
    c.values.data = values;
    device d = {.memory = &memory, .run = run};
    mirror m = {.device = &d};
    fetched f;
    if (mirror_put(&m, &c, 0, &err) != NB_OK || call_fetch(&d, &m.copy.call, true, &f, &err) != NB_OK)
        fail_msg("%s", err.text);
    double here[16], there[16];
    ref_run(&c, here, NULL);
    ref_run(&f.copy.call, there, NULL);
    assert_memory_equal(here, there, sizeof here);
    assert_ptr_not_equal(f.copy.call.tables, tables);
    assert_ptr_equal(f.copy.call.tables[0], f.copy.call.tables[1]);
    call_fetched_free(&f);
    memcpy(host_of(m.copy.call.y.data), q, sizeof q);
    assert_int_equal(mirror_get(&m, &err), NB_OK);
    assert_memory_equal(banded.y, q, sizeof q);
    mirror_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_rows), cmocka_unit_test(test_stray_accesses),
                                       cmocka_unit_test(test_fetch)};
    return cmocka_run_group_tests(tests, make_space, free_space);
}
