/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that are right for ordinary operands and wrong past 2^31 elements are found, each of the ways in which an
 * operand can be that large; right ones pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/caps.h"
#include "kernels/host_device.h"
#include "verify/check.h"

static const krow *right_row;
static void (*narrow)(kcall *c, kweight *w); /* what the wrong row makes of its call */

/* Offsets that do not fit into 32 bits lose what is above. */
static int64_t cut(int64_t offset) {
    return offset & 0x7fffffff;
}

static void narrow_y(kcall *c, kweight *w) {
    (void)w;
    c->y.stride = cut(c->y.stride);
}

static void narrow_x(kcall *c, kweight *w) {
    (void)w;
    c->x.stride = cut(c->x.stride);
}

/* The page that is used lies where the low bits say. */
static void narrow_pages(kcall *c, kweight *w) {
    (void)w;
    int64_t page = c->keys.n_heads * c->keys.page_size * c->keys.head_dim, first = c->tables[0][0] * page;
    if (first <= INT32_MAX) return;
    c->keys.data = (char *)c->keys.data + (cut(first) - first) * (int64_t)dtype_size(c->keys.type);
}

static void narrow_states(kcall *c, kweight *w) {
    (void)w;
    int64_t first = c->slots[0] * c->states.size;
    if (first > INT32_MAX) c->states.data += cut(first) - first;
}

static void narrow_weight(kcall *c, kweight *w) {
    int64_t elements = c->w->n * c->w->k;
    if (elements <= INT32_MAX) return;
    int64_t lost = ((elements >> 31) << 31) * (int64_t)dtype_size(c->w->type);
    *w = *c->w;
    w->codes = (const char *)w->codes - lost;
    c->w = w;
}

static void wrong_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    kcall call = *c;
    kweight w;
    if (narrow) narrow(&call, &w);
    right_row->run(right_row, &call, begin, end, scratch);
}

static const struct {
    const char *row;
    void (*narrow)(kcall *c, kweight *w);
} faults[] = {
    {"add.scalar", narrow_y},
    {"add.scalar", narrow_x},
    {"rmsnorm.scalar", narrow_y},
    {"matmul.affine4.scalar", narrow_y},
    {"matmul.plain.f32.scalar", narrow_x},
    {"kv_store.scalar", narrow_pages},
    {"attention.scalar", narrow_pages},
    {"conv1d.scalar", narrow_states},
    {"delta.scalar", narrow_states},
    {"matmul.plain.bf16.scalar", narrow_weight},
    {"embed.scalar", narrow_weight},
};

static void test_faults(void **state) {
    (void)state;
    nb_error err = {0};
    kregistry *all;
    assert_int_equal(kreg_new(&all, &err), NB_OK);
    assert_int_equal(cpu_register(all, 0, &err), NB_OK);
    device d = host_device(all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        right_row = kreg_named(all, faults[i].row);
        krow wrong = *right_row;
        wrong.run = wrong_run;
        for (int faulty = 0; faulty < 2; faulty++) {
            finding f;
            check_far_count n = {0};
            double worst = 0;
            narrow = faulty ? faults[i].narrow : NULL;
            if (check_far(&d, &wrong, 0, NULL, &f, &n, &worst, &err) != NB_OK) fail_msg("%s", err.text);
            if (n.left_out > 0) skip(); /* no such mappings here */
            assert_true(n.n > 0);
            if ((f.kind != FOUND_NOTHING) != faulty)
                fail_msg("%s, %s (fault %zu): %s, %s (%s)", faults[i].row, faulty ? "wrong" : "right", i,
                         finding_kind_name(f.kind), f.what, f.where);
            if (faulty) assert_non_null(strstr(f.where, "2^31"));
        }
    }
    kreg_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
