/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8, strictly as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef NB_BASE_UTF8_H
#define NB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the character at s (n bytes are left, n > 0). Returns its length 1..4 and sets *cp; returns 0 when the
 * bytes are not the start of a complete, valid character. */
int utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Writes cp as 1..4 bytes (0 when cp is no scalar value). */
int utf8_encode(uint32_t cp, char out[4]);
bool utf8_valid(const char *s, size_t n);
/* How many bytes at the end of s[0..n) are the beginning of a character that more bytes could complete (0..3). */
size_t utf8_incomplete_tail(const char *s, size_t n);

#endif
