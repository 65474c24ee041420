/* SPDX-License-Identifier: Apache-2.0
 *
 * 16-bit floats: every value there and back, and rounding to nearest even against a search over all values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/half.h"

static void every_f16_survives(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(f16_to_f32(f32_to_f16(f))));
        else
            assert_int_equal(f32_to_f16(f), h);
    }
}

static void every_bf16_survives(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = bf16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(bf16_to_f32(f32_to_bf16(f))));
        else
            assert_int_equal(f32_to_bf16(f), h);
    }
}

static void known_values(void **state) {
    (void)state;
    assert_true(f16_to_f32(0x3c00) == 1.0f);
    assert_true(f16_to_f32(0x7bff) == 65504.0f);
    assert_true(f16_to_f32(0x0001) == 0x1p-24f);
    assert_true(f16_to_f32(0x0400) == 0x1p-14f);
    assert_true(f16_to_f32(0x8000) == 0.0f && signbit(f16_to_f32(0x8000)));
    assert_true(isinf(f16_to_f32(0xfc00)) && f16_to_f32(0xfc00) < 0);
    assert_true(bf16_to_f32(0x3f80) == 1.0f);
    assert_true(bf16_to_f32(0xc0a0) == -5.0f);
}

/* Between each two neighbours: below the middle goes down, above goes up, the middle to the even one. */
static void rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double low = (double)f16_to_f32((uint16_t)h);
        double high = h == 0x7bff ? 65536.0 : (double)f16_to_f32((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* exact: one bit more */
        assert_int_equal(f32_to_f16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(f32_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(f32_to_f16(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    for (uint32_t h = 0; h < 0x7f80; h++) {
        float middle = f32_from_bits(h << 16 | 0x8000);
        assert_int_equal(f32_to_bf16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(f32_to_bf16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(f32_to_bf16(nextafterf(middle, INFINITY)), h + 1);
    }
}

static void reads_any_float_type(void **state) {
    (void)state;
    double f64[] = {1.5, 0.1};
    float f32[] = {1.5f, -2.0f};
    uint16_t f16[] = {0, 0x3e00}, bf16[] = {0, 0x3fc0};
    assert_true(float_at(f64, DT_F64, 1) == 0.1);
    assert_true(float_at(f32, DT_F32, 1) == -2.0);
    assert_true(float_at(f16, DT_F16, 1) == 1.5);
    assert_true(float_at(bf16, DT_BF16, 1) == 1.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_survives),   cmocka_unit_test(every_bf16_survives),
        cmocka_unit_test(known_values),         cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(reads_any_float_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
