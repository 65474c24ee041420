#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds SmolLM2's tokenizer.json from the metadata of its GGUF file, for the golden maker: usage
smollm2_tokenizer.py FILE.gguf OUT.json. Reads GGUF's header only; needs nothing but Python."""

import json
import struct
import sys

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def metadata(path):
    """The key-value pairs at the front of a GGUF file."""
    with open(path, "rb") as f:

        def number(code):
            return struct.unpack("<" + code, f.read(struct.calcsize("<" + code)))[0]

        def value(kind):
            if kind == STRING:
                return f.read(number("Q")).decode("utf-8")
            if kind == ARRAY:
                inner, n = number("I"), number("Q")
                return [value(inner) for _ in range(n)]
            return number(SCALARS[kind])

        if f.read(4) != b"GGUF":
            raise ValueError("no GGUF file")
        number("I")
        number("Q")
        pairs = {}
        for _ in range(number("Q")):
            key = value(STRING)
            pairs[key] = value(number("I"))
        return pairs


def tokenizer(meta):
    """tokenizer.json, as a tree, of a GGUF file with a byte-level vocabulary in SmolLM's manner."""
    tokens = meta["tokenizer.ggml.tokens"]
    special = [i for i, kind in enumerate(meta["tokenizer.ggml.token_type"]) if kind == 3]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for i in special
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": meta["tokenizer.ggml.merges"],
        },
    }


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(tokenizer(metadata(sys.argv[1])), out, ensure_ascii=False)
