#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/tok_tables.c: which characters Hugging Face's `tokenizers` (0.23.3) takes for punctuation, numbers, marks
and parts of words. Each class is that of another version of Unicode, so the package itself is asked, for every
character. Usage: make_character_tables.py > src/text/tok_tables.c; then clang-format."""

import ctypes
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

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


def lower():
    """[character, small one] where Lowercase knows one and Unicode 14 does not."""
    change = normalizers.Lowercase()
    return [(cp, ord(change.normalize_str(chr(cp)))) for cp in POINTS if cp > 0x130 and chr(cp).lower() == chr(cp)
            and change.normalize_str(chr(cp)) != chr(cp)]


CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()


def newer():
    """[first, last, stand-in] for characters whose category Oniguruma (Unicode 16) and Unicode 14 do not agree on. The
    stand-in is the nearest character of the category, the script Han or not, and as many bytes, that has not changed."""
    points = [cp for cp in range(0x80, 0xE0200) if not 0xD800 <= cp < 0xF900 and not 0x33800 <= cp < 0xE0000]
    classes = {}
    for name in CATEGORIES + ["Han"]:
        split = pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed")
        for i in range(0, len(points), 64):
            block = points[i:i + 64]
            kept = set("".join(t for t, _ in split.pre_tokenize_str("".join(map(chr, block)))))
            for cp in block:
                if chr(cp) not in kept:
                    classes.setdefault(cp, []).append(name)
    kind = {cp: (tuple(classes.get(cp, ["Cn"])), len(chr(cp).encode())) for cp in points}
    old = {cp for cp in points if unicodedata.category(chr(cp)) == kind[cp][0][0]}
    by_kind = {}
    for cp in sorted(old):
        by_kind.setdefault(kind[cp], []).append(cp)
    out = []
    for cp in points:
        if cp in old or kind[cp][0] == ("Cn",):
            continue
        stand_in = min(by_kind[kind[cp]], key=lambda other: abs(other - cp))
        if out and out[-1][1] == cp - 1 and kind[cp] == kind[out[-1][0]]:
            out[-1][1] = cp
        else:
            out.append([cp, cp, stand_in])
    return out


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
    found = newer()
    blocks = [0] * (0x34000 >> 11)
    for first, last, _ in found:
        for cp in range(first, min(last, 0x33FFF) + 1):
            blocks[cp >> 11] |= 1 << (cp >> 8 & 7)
    print(TAIL.format(ranges=", ".join("{0x%x, 0x%x, 0x%x}" % tuple(r) for r in found), blocks=", ".join(map(hex, blocks)),
                      lower=", ".join("{0x%x, 0x%x}" % pair for pair in lower())))


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
TAIL = """
/* First, last, and a character that stands for each of them. */
static const uint32_t newer[][3] = {{{ranges}}};
/* A bit for each 256 characters: whether any of them is in it. */
static const uint8_t newer_blocks[] = {{{blocks}}};

uint32_t uni_stand_in(uint32_t cp) {{
    if (cp < 0x300 || cp >= 0x34000 || !(newer_blocks[cp >> 11] >> (cp >> 8 & 7) & 1)) return cp;
    size_t low = 0, end = sizeof newer / sizeof newer[0];
    while (low < end) {{
        size_t middle = low + (end - low) / 2;
        if (newer[middle][1] < cp)
            low = middle + 1;
        else
            end = middle;
    }}
    return low < sizeof newer / sizeof newer[0] && newer[low][0] <= cp ? newer[low][2] : cp;
}}

static const uint32_t lower[][2] = {{{lower}}};

uint32_t uni_late_lower(uint32_t cp) {{
    if (cp < lower[0][0]) return cp;
    for (size_t i = 0; i < sizeof lower / sizeof lower[0]; i++)
        if (lower[i][0] == cp) return lower[i][1];
    return cp;
}}"""

if __name__ == "__main__":
    main()
