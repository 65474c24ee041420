/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of gfx11's vector instructions (valu_*.c) against evaluations of their own (valu_check): exact sums in
 * wide integers rounded bit by bit, the ISA document's formulas bit for bit, functions in more precision. */
#include <stdlib.h>

#include "gfx/valu_check/expect.h"

/* No instruction is left that nothing was expected of. */
static void test_all_were_checked(void **state) {
    (void)state;
    const gfx_valu *op;
    unsigned missing = 0;
    for (size_t i = 0; (op = gfx_valu_at(i)); i++) {
        if (i > 0) assert_string_not_equal(op->name, gfx_valu_at(i - 1)->name);
        if (!check_was_done(op->name)) print_error("%s was not checked\n", op->name), missing++;
    }
    assert_int_equal(missing, 0);
    assert_null(gfx_valu_find("v_nonsense_b32"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expect_integers),       cmocka_unit_test(expect_bits),
        cmocka_unit_test(expect_arithmetic),     cmocka_unit_test(expect_conversions),
        cmocka_unit_test(expect_functions),      cmocka_unit_test(expect_divisions),
        cmocka_unit_test(expect_mixed),          cmocka_unit_test(expect_matrices),
        cmocka_unit_test(test_all_were_checked),
    };
    return cmocka_run_group_tests_name("gfx.valu", tests, NULL, NULL);
}
