/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulation itself: right kernels give what they should, and each planted fault is found. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/planted.h"

static planted result;

static void test_sums(void **state) {
    (void)state;
    planted_run("sum_blocks", 0, &result);
    assert_string_equal(result.error, "");
    for (int b = 0; b < PLANTED_BLOCKS; b++) {
        const int first = b * PLANTED_BLOCK, last = first + PLANTED_BLOCK - 1;
        assert_float_equal(result.y[b], (float)((first + last) * PLANTED_BLOCK / 2), 0);
    }
    assert_true(isnan(result.y[PLANTED_BLOCKS])); /* never written */
}

static void test_exchange(void **state) {
    (void)state;
    planted_run("exchange", 0, &result);
    assert_string_equal(result.error, "");
    /* After three rounds a lane has what the third lane behind it began with; the last element never changes. */
    for (int i = 0; i < PLANTED_BLOCK; i++) {
        const int warp = i / SIM_WARP * SIM_WARP, from = warp + (i - warp + 3) % SIM_WARP;
        assert_float_equal(result.y[i], (float)(from + 3 * (warp + SIM_WARP - 1)), 0);
    }
}

static void finds(const char *kernel, uint32_t n, const char *what) {
    planted_run(kernel, n, &result);
    if (!strstr(result.error, what) || !strstr(result.error, kernel))
        fail_msg("%s: \"%s\", not \"%s\"", kernel, result.error, what);
}

static void test_faults(void **state) {
    (void)state;
    finds("lane_missing", 0, "thread 37 has ended");
    finds("barrier_missed", 0, "64 of 128 threads wait at a barrier, but thread 64 has ended");
#if !defined(__SANITIZE_ADDRESS__) /* which finds them by itself, and is fatal */
    finds("writes_past_shared", PLANTED_SHARED, "but byte 512 was written to");
    finds("writes_before_shared", 8, "8 bytes in front of the shared memory were written to");
#endif
    test_sums(state); /* and go on */
}

static bool launch(uint32_t grid_x, uint32_t block, uint32_t shared, size_t params_size, char error[SIM_ERROR_TEXT]) {
    const uint32_t grid[3] = {grid_x, 1, 1};
    const struct planted_params p = {0};
    return sim_run(sim_find("planted", "order_in_warp"), grid, block, shared, &p, params_size, error);
}

static void test_wrong_launches(void **state) {
    (void)state;
    const size_t size = sizeof(struct planted_params);
    char error[SIM_ERROR_TEXT];
    assert_false(launch(0, 64, 0, size, error));
    assert_non_null(strstr(error, "a grid without blocks"));
    assert_false(launch(1, 32, 0, size, error));
    assert_non_null(strstr(error, "multiple of 64"));
    assert_false(launch(1, 64, SIM_SHARED_MAX + 1, size, error));
    assert_non_null(strstr(error, "too much shared memory"));
    assert_false(launch(1, 64, 0, size - 1, error));
    assert_non_null(strstr(error, "another size"));
}

static void test_memory(void **state) {
    (void)state;
    uint64_t free_bytes, total, after;
    sim_memory(&free_bytes, &total);
    uint8_t *p = sim_alloc(1000);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 256, 0);
    assert_true(sim_holds(p + 990, 10));
    assert_false(sim_holds(p + 990, 11));
    assert_false(sim_holds(p - 1, 1));
    assert_true(sim_release(p));
    assert_false(sim_release(p));
    assert_false(sim_holds(p, 1));
    sim_memory(&after, &total);
    assert_int_equal(after, free_bytes);
    assert_null(sim_alloc(total + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums), cmocka_unit_test(test_exchange),
                                       cmocka_unit_test(test_faults), cmocka_unit_test(test_wrong_launches),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
