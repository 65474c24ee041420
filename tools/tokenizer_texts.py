# SPDX-License-Identifier: Apache-2.0
"""Texts to try tokenizers on, made from a seed: pieces of the written texts of tests/data/tokenizer/texts.txt, runs
of characters of many scripts, repetitions. tests/support/tok_texts.c makes the same ones, so that goldens need to
hold digests only; whatever changes here must change there."""

import os

MASK = (1 << 64) - 1

# First and last character of what runs are made of. No range has surrogates in it.
RANGES = [
    (0x20, 0x7E), (0x00, 0x20), (0x7F, 0xA0), (0xA1, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2580, 0x259F), (0x3000, 0x30FF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFFF),
    (0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F6FF), (0x1F900, 0x1F9FF), (0x20000, 0x200FF),
    (0xE0000, 0xE007F), (0x10FF00, 0x10FFFF), (0x30, 0x39), (0x61, 0x7A),
    (0x2E42, 0x2E5D), (0x10D40, 0x10D65), (0x11F00, 0x11F4F), (0x31350, 0x31390),
]
GLUE = [" ", "\n", "  ", "\r\n", "\t", "\u00a0", "\u200d", "\ufe0f", "\u0301", "'", ".", "\u3000", "'s", "<", "\u2581", "\x00"]
LONG = [" ", "0", "a", "\n", "\u00e9", "\u5b57", "\u0301", "ab", " a", "\r\n", "!", "\U0001f600\u200d", "\u0e01", "\u2581", "\t ", "\x00"]


def unescape(line):
    out, i = [], 0
    while i < len(line):
        if line[i] != "\\":
            out.append(line[i])
            i += 1
        elif line[i + 1] == "x":
            out.append(chr(int(line[i + 2:i + 4], 16)))
            i += 4
        else:
            out.append({"n": "\n", "r": "\r"}.get(line[i + 1], line[i + 1]))
            i += 2
    return "".join(out)


def written(path=None):
    path = path or os.path.join(os.path.dirname(__file__), "../tests/data/tokenizer/texts.txt")
    with open(path, encoding="utf-8", newline="") as f:
        return [unescape(line) for line in f.read().split("\n")[:-1]]


class Rng:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return ((z ^ z >> 31) >> 33) % n


def part(rng, parts):
    """A piece of a written text, from 1 to 24 characters long; "" if the text is."""
    text = parts[rng.below(len(parts))]
    start = rng.below(len(text) + 1)
    return text[start:start + 1 + rng.below(24)]


def run(rng):
    low, high = RANGES[rng.below(len(RANGES))]
    return "".join(chr(low + rng.below(high - low + 1)) for _ in range(1 + rng.below(6)))


def text(seed, parts):
    rng = Rng(seed)
    out = []
    for _ in range(1 + rng.below(12)):
        kind = rng.below(16)
        if kind < 7:
            out.append(part(rng, parts))
        elif kind < 10:
            out.append(run(rng))
        elif kind < 14:
            out.append(GLUE[rng.below(len(GLUE))])
        elif kind < 15:
            out.append(parts[rng.below(len(parts))])
        else:
            again = part(rng, parts) if rng.below(2) else run(rng)
            out.append(again * (1 + rng.below(20)))
        if rng.below(3) == 0:
            out.append(" ")
    return "".join(out)
