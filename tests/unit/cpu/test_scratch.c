/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows are asked for scratch once for a shape, before there is a batch: what they say must not follow the call's
 * pointers, and must do for the longest sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/cpu_rows.h"

static void test_attention(void **state) {
    (void)state;
    const kpages pages = {.type = DT_F32, .n_pages = 40, .n_heads = 2, .page_size = 64, .head_dim = 32};
    kcall c = {.op = KOP_ATTENTION, .keys = pages, .values = pages};
    c.x = c.y = (kmat){.type = DT_F32, .rows = 3, .cols = 128, .stride = 128};
    for (size_t i = 0; i < scalar_attention_rows.n; i++) {
        const krow *row = &scalar_attention_rows.rows[i];
        assert_non_null(row->scratch);
        c.window = 0;
        assert_true(row->scratch(row, &c) >= (size_t)(40 * 64 + 32) * sizeof(float));
        c.window = 100;
        assert_true(row->scratch(row, &c) >= (size_t)(100 + 32) * sizeof(float));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
