/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels compiled with instrumentation for races: each planted race is found, right kernels have none, and neither has
 * any row of the GPU's (walk.h says how to call the walk). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/planted.h"
#include "gpu/sim/races.h"
#include "gpu/walk.h"

static void finds(const char *kernel, uint32_t n, const char *what) {
    static planted result;
    planted_run(kernel, n, &result);
    if (what ? !strstr(result.error, what) : result.error[0])
        fail_msg("%s: \"%s\", not \"%s\"", kernel, result.error, what ? what : "");
}

static void test_races(void **state) {
    (void)state;
    finds("sum_blocks", 0, NULL);
    finds("order_in_warp", 0, NULL);
    finds("exchange", 0, NULL);
    finds("sum_too_early", 0, "reads shared memory at +0x0, which thread 0 of its block has written");
    finds("turn_in_place", 0, "shared memory");
    finds("disorder_in_warp", 0, "shared memory");
    finds("blocks_collide", 0, "race: thread 0 writes global memory");
    finds("blocks_follow", 0, "of another block");
    finds("reads_past_shared", PLANTED_BLOCK - 8, "but there are only 512 bytes");
    finds("not_aligned", 0, "not aligned");
}

static int begin(void **state) {
    (void)state;
    return races_begin() ? 0 : -1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_races), cmocka_unit_test(walk_rows)};
    if (!walk_options(argc, argv, true)) return 2;
    return cmocka_run_group_tests(tests, begin, NULL);
}
