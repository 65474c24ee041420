/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread pool: every thread runs once a region, barriers order phases, many regions, odd sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/pool.h"

enum { PHASES = 50, MOST = 7 };

typedef struct work {
    pool *p;
    int size;
    int cells[MOST];
    int wrong;
} work;

/* In each phase every thread reads what its neighbour wrote in the phase before. */
static void phases(void *user, int index) {
    work *w = user;
    int next = (index + 1) % w->size;
    for (int phase = 0; phase < PHASES; phase++) {
        w->cells[index] = phase;
        pool_barrier(w->p);
        if (w->cells[next] != phase) __atomic_fetch_add(&w->wrong, 1, __ATOMIC_RELAXED);
        pool_barrier(w->p);
    }
}

static void barriers_order_phases(void **state) {
    (void)state;
    for (int size = 1; size <= MOST; size += 2) {
        work w = {.size = size};
        assert_int_equal(pool_new(size, &w.p, NULL), NB_OK);
        assert_int_equal(pool_size(w.p), size);
        for (int i = 0; i < 20; i++) pool_run(w.p, phases, &w);
        assert_int_equal(w.wrong, 0);
        pool_free(w.p);
    }
}

static void count(void *user, int index) {
    ((int *)user)[index * 16]++;
}

static void every_thread_once_a_region(void **state) {
    (void)state;
    pool *p = NULL;
    assert_int_equal(pool_new(4, &p, NULL), NB_OK);
    int counts[64] = {0};
    for (int i = 0; i < 2000; i++) {
        pool_run(p, count, counts);
        if (i % 500 == 0) usleep(3000); /* long enough for workers to fall asleep */
    }
    for (int i = 0; i < 4; i++) assert_int_equal(counts[i * 16], 2000);
    pool_free(p);
}

static void sizes(void **state) {
    (void)state;
    pool *p = NULL;
    nb_error err = {0};
    assert_true(pool_available() >= 1);
    assert_int_equal(pool_new(0, &p, &err), NB_OK);
    assert_int_equal(pool_size(p), pool_available());
    pool_free(p);
    assert_int_equal(pool_new(-1, &p, &err), NB_ERR_ARGUMENT);
    assert_int_equal(pool_new(1 << 20, &p, &err), NB_ERR_ARGUMENT);
    assert_null(p);
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_order_phases),
        cmocka_unit_test(every_thread_once_a_region),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
