/* SPDX-License-Identifier: Apache-2.0
 *
 * In which pattern the elements of an output are wrong: what a person would say who looks at a picture of it. */
#ifndef NB_VERIFY_PATTERN_H
#define NB_VERIFY_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* wrong: [rows, cols], 0 right, 1 wrong, 2 not looked at. group: columns that share a scale, or 0. Writes one line
 * into text: "all of it", "one element", "every 8th column from 4 on", "columns 4 to 7 of every 8", "all columns from
 * 64 on", "one group of 32: columns 64 to 95", "one tile: rows 0 to 15, columns 16 to 31", "the tail: the last 5
 * columns", "token 3 only", "every token but the first", "every other token", "scattered: 1 of 1000000", ... What is
 * not looked at speaks neither for nor against a pattern. "" when nothing is wrong. */
void pattern_text(const uint8_t *wrong, int64_t rows, int64_t cols, int64_t group, char *text, size_t size);

#endif
