#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/tok_tables.c: which characters Hugging Face's `tokenizers` (0.23.3) takes for punctuation, numbers, marks
and parts of words. Each class is that of another version of Unicode, so the package itself is asked, for every
character. Usage: make_character_tables.py > src/text/tok_tables.c; then clang-format."""

import ctypes
import unicodedata

from tokenizers import normalizers, pre_tokenizers

POINTS = [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]


def ranges(test):
    out = []
    for cp in POINTS:
        if not test(chr(cp)):
            continue
        if out and out[-1][1] == cp - 1:
            out[-1][1] = cp
        else:
            out.append([cp, cp])
    return out


def late(nfkd):
    """A test for characters that `tokenizers` leaves alone and a newer table (utf8proc's, Python's) does not."""
    proc = ctypes.CDLL("libutf8proc.so.2")
    proc.utf8proc_NFKD.restype = ctypes.c_char_p
    return lambda c: c != "\0" and nfkd.normalize_str(c) == c and (
        proc.utf8proc_NFKD(c.encode()) != c.encode() or unicodedata.normalize("NFKD", c) != c)


def main():
    punctuation, digits = pre_tokenizers.Punctuation("removed"), pre_tokenizers.Digits(individual_digits=True)
    whitespace, accents = pre_tokenizers.Whitespace(), normalizers.StripAccents()
    tables = {
        "punctuation": (ranges(lambda c: not punctuation.pre_tokenize_str(c)), "Punctuation, BertPreTokenizer"),
        "numeric": (ranges(lambda c: len(digits.pre_tokenize_str("x" + c)) == 2), "Digits"),
        "alnum": (ranges(lambda c: len(whitespace.pre_tokenize_str("x" + c)) == 1 and len(whitespace.pre_tokenize_str(c)) == 1
                        and len(whitespace.pre_tokenize_str("." + c)) == 2), "Whitespace"),
        "accent": (ranges(lambda c: accents.normalize_str(c) == ""), "StripAccents"),
        "late": (ranges(late(normalizers.NFKD())), "Normal forms: decompositions that came with later versions of Unicode"),
    }
    print(HEAD)
    for name, (found, where) in tables.items():
        ascii_bits = [sum(1 << b for b in range(64) if any(lo <= 64 * i + b <= hi for lo, hi in found)) for i in range(2)]
        print(BODY.format(name=name, where=where, ranges=", ".join("{0x%x, 0x%x}" % tuple(r) for r in found),
                          low=ascii_bits[0], high=ascii_bits[1]))


HEAD = """/* SPDX-License-Identifier: Apache-2.0
 *
 * Classes of characters as Hugging Face's `tokenizers` has them, made by tools/make_character_tables.py. Each is of
 * another version of Unicode. */
#include "text/tok_internal.h"

/* Whether cp lies in one of the n ranges, which are sorted; for ASCII a bit says so. */
static bool in_ranges(const uint64_t ascii[2], const uint32_t (*ranges)[2], size_t n, uint32_t cp) {
    if (cp < 128) return ascii[cp >> 6] >> (cp & 63) & 1;
    size_t low = 0, end = n;
    while (low < end) {
        size_t middle = low + (end - low) / 2;
        if (ranges[middle][1] < cp)
            low = middle + 1;
        else
            end = middle;
    }
    return low < n && ranges[low][0] <= cp;
}"""
BODY = """
static const uint32_t {name}[][2] = {{{ranges}}};

/* {where}. */
bool uni_is_{name}(uint32_t cp) {{
    static const uint64_t ascii[2] = {{0x{low:x}, 0x{high:x}}};
    return in_ranges(ascii, {name}, sizeof {name} / sizeof {name}[0], cp);
}}"""

if __name__ == "__main__":
    main()
