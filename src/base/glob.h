/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of names: of kernels to set aside, of modules to quantize in another way. */
#ifndef NB_BASE_GLOB_H
#define NB_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of `text` matches the first `length` bytes of pattern: '*' stands for any text, also none; nothing else
 * is special. */
bool glob_matches(const char *pattern, size_t length, const char *text);

#endif
