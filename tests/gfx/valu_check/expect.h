/* SPDX-License-Identifier: Apache-2.0
 *
 * The groups of expectations, each a test of cmocka's. */
#ifndef NB_TESTS_GFX_EXPECT_H
#define NB_TESTS_GFX_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "gfx/valu_check/check.h"

void expect_arithmetic(void **state); /* f16, f32, f64: sums, products, extremes, comparisons */
void expect_conversions(void **state);
void expect_functions(void **state); /* roots, powers, logarithms, turns, reciprocals */
void expect_divisions(void **state);
void expect_integers(void **state);
void expect_bits(void **state);
void expect_mixed(void **state); /* v_fma_mix, dot products */
void expect_matrices(void **state);

#endif
