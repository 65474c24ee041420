/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over the GPU's rows in the simulation (walk.h says how to call it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gpu/walk.h"

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(walk_rows)};
    if (!walk_options(argc, argv, getenv("NB_SANITIZED") != NULL)) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
