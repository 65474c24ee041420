#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every Unicode character (but the planes without any) through each component of tokenizer.json that asks what a character is, with nibble and
with Hugging Face's `tokenizers`, and shows those that they treat differently: tools/check_characters.py TOK_RUN [CASE...], where
TOK_RUN is tests/tools/tok_run.c, built as it says."""

import json
import os
import sys
import tempfile

from tokenizers import Tokenizer

from check_tokenizers import Nibble
from real_tokenizers import BYTE_LEVEL, byte_alphabet

BYTES = dict(BYTE_LEVEL, use_regex=False)


def remove(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": False}


def pre(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps) + [BYTES]}}


def norm(kind):
    return {"normalizer": {"type": kind}, **pre()}


CASES = {
    "Punctuation": (pre({"type": "Punctuation", "behavior": "Removed"}), ""),
    "Digits": (pre({"type": "Digits", "individual_digits": True}, remove("x.")), "x"),
    "Whitespace": (pre({"type": "Whitespace"}, remove("x.")), "x"),
    "WhitespaceSplit": (pre({"type": "WhitespaceSplit"}), ""),
    "BertPreTokenizer": (pre({"type": "BertPreTokenizer"}, remove("x.")), "x"),
    "single_word": ({"added_tokens": [{"id": 256, "content": "x", "single_word": True, "lstrip": False, "rstrip": False,
                                       "normalized": False, "special": True}], **pre()}, "x"),
    "lstrip": ({"added_tokens": [{"id": 256, "content": "x", "single_word": False, "lstrip": True, "rstrip": False,
                                  "normalized": False, "special": True}], **pre()}, "."),
    "rstrip": ({"added_tokens": [{"id": 256, "content": "x", "single_word": False, "lstrip": False, "rstrip": True,
                                  "normalized": False, "special": True}], **pre()}, "x"),
    "Strip": ({"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}, **pre()}, ""),
    **{kind: (norm(kind), "") for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")},
    **{"regex " + p: (pre(remove(p)), "") for p in (
        r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\p{C}", r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lm}",
        r"\p{Lo}", r"\p{Nd}", r"\p{Nl}", r"\p{No}", r"\p{Mn}", r"\p{Pc}", r"\p{Sm}", r"\p{Cf}", r"\p{Alphabetic}", r"\s",
        r"\w", r"\d", r"\h", r"[\w]", r"[[:punct:]]", r"[[:alpha:]]", r"[[:space:]]", r"\p{Han}", r"\p{Hiragana}",
        r"\p{Katakana}", r"\p{Hangul}", r"\p{Arabic}", r"\p{Thai}", r"\p{Latin}", r"\p{Greek}", r"\p{Cyrillic}",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"(?i:[a-z])", r"(?i:\u00e9)", r".", r"[^\r\n\p{L}\p{N}]")},
    "contractions": (pre(remove(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)")), "'"),
}


def check(program, name, case, prefix, letters):
    tree = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "post_processor": None, "decoder": None, **case,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "merges": [],
                      "vocab": {c: b for b, c in letters.items()}}}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(tree, f)
        nibble, ref = Nibble(program, folder), Tokenizer.from_file(path)
        nibble.ask("N")  # loaded, the folder can go
    suffix = "x" if name == "lstrip" else ""
    points = [cp for cp in range(0xE0200) if not 0xD800 <= cp < 0xE000 and not 0x33800 <= cp < 0xE0000]
    blocks, bad = [points[i:i + 1024] for i in range(0, len(points), 1024)], []
    while blocks:
        block = blocks.pop()
        glue = "\u0378.\u0378" if name != "Strip" or len(block) > 1 else ""
        text = glue.join(prefix + chr(cp) + suffix for cp in block)
        if nibble.ask("e", text.encode("utf-8")) == ref.encode(text, add_special_tokens=False).ids:
            continue
        if len(block) == 1:
            bad.append(block[0])
        else:
            blocks += [block[:len(block) // 2], block[len(block) // 2:]]
    nibble.process.stdin.close()
    print("%s: %d of %d characters differ%s" % (name, len(bad), len(points), ":" if bad else ""),
          " ".join("U+%04X" % cp for cp in sorted(bad)[:40]), flush=True)
    return len(bad)


def main():
    letters = byte_alphabet()
    different = sum(check(sys.argv[1], name, case, prefix, letters) for name, (case, prefix) in CASES.items()
                    if len(sys.argv) < 3 or any(name.startswith(a) for a in sys.argv[2:]))
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
