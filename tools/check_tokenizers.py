#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encodes and decodes thousands of made-up texts with real tokenizers, with nibble and with the package that defines the
answer, and shows every difference. For maintainers: the tokenizers stay where they are, none is committed.

    tools/check_tokenizers.py --run ./tok_run [--texts 10000] [--seed 1] FOLDER...

Each FOLDER is what a model's folder holds of its tokenizer. With tokenizer.json the answer is that of Hugging Face's
`tokenizers`; a tokenizer.model of SentencePiece is answered by `sentencepiece`; a file of base64 lines by `tiktoken`, with
the pattern and the special tokens of FOLDER/tiktoken.json: {"pattern": ..., "special_tokens": {TEXT: ID}}.
tok_run is tests/tools/tok_run.c, built as it says."""

import argparse
import base64
import collections
import json
import os
import random
import re
import struct
import subprocess
import sys
import unicodedata

import tokenizer_texts


class Nibble:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, letter, data=b""):
        self.process.stdin.write(letter.encode() + struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        head = self.process.stdout.read(5)
        if len(head) < 5:
            raise SystemExit("tok_run ended")
        status, length = struct.unpack("<BI", head)
        answer = self.process.stdout.read(length)
        if status:
            return "ERROR " + answer.decode()
        if letter in "EeN":
            return list(struct.unpack("<%di" % (length // 4), answer))
        return answer.decode("utf-8") if letter in "DdSs" else float(answer)

    def ids(self, letter, ids):
        return self.ask(letter, struct.pack("<%di" % len(ids), *ids))


class HuggingFace:
    """The answers of `tokenizers`."""

    def __init__(self, path):
        from tokenizers import Tokenizer
        self.t = Tokenizer.from_file(path)
        self.t.no_truncation()
        self.t.no_padding()
        self.added = [t.content for t in self.t.get_added_tokens_decoder().values()]
        self.ids = list(range(self.t.get_vocab_size()))
        self.both = True

    def encode(self, text, special):
        return self.t.encode(text, add_special_tokens=special).ids

    def decode(self, ids, skip):
        return self.t.decode(ids, skip_special_tokens=skip)


class SentencePiece:
    """The answers of `sentencepiece`; control pieces that a text spells out stand for themselves, and the texts between
    are encoded one by one, as transformers does."""

    def __init__(self, path):
        import sentencepiece
        self.sp = sentencepiece.SentencePieceProcessor(model_file=path)
        self.ids = list(range(self.sp.get_piece_size()))
        control = [i for i in self.ids if self.sp.is_control(i)]
        self.control = {self.sp.id_to_piece(i): i for i in control}
        self.pattern = re.compile("|".join(re.escape(t) for t in sorted(self.control, key=len, reverse=True)) or "(?!)")
        plain = [self.sp.id_to_piece(i) for i in self.ids if i not in control]
        self.added = list(self.control) + [t for t in plain if t.startswith(("<", "[")) and len(t) > 2][:20]
        self.both = False

    def encode(self, text, special):
        out, done = [self.sp.bos_id()] if self.sp.bos_id() >= 0 else [], 0
        for hit in self.pattern.finditer(text):
            out += self.sp.encode(text[done:hit.start()]) + [self.control[hit.group()]]
            done = hit.end()
        return out + self.sp.encode(text[done:])

    def decode(self, ids, skip):
        return self.sp.decode(ids)


class Tiktoken:
    """The answers of `tiktoken`."""

    def __init__(self, folder, path):
        import tiktoken
        with open(path, "rb") as f:
            ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in f.read().splitlines() if line)}
        with open(os.path.join(folder, "tiktoken.json"), encoding="utf-8") as f:
            more = json.load(f)
        self.special = more["special_tokens"]
        self.prefix = more.get("prefix", [])
        self.nfc = more["nfc"]
        self.t = tiktoken.Encoding("it", pat_str=more["pattern"], mergeable_ranks=ranks, special_tokens=self.special)
        self.ids = list(ranks.values()) + list(self.special.values())
        self.added = list(self.special)
        self.both = True

    def encode(self, text, special):
        if self.nfc:
            text = unicodedata.normalize("NFC", text)
        return (self.prefix if special else []) + self.t.encode(text, allowed_special="all")

    def decode(self, ids, skip):
        if skip:
            ids = [i for i in ids if i not in self.special.values()]
        return self.t.decode(ids, errors="replace")


def reference(folder):
    path = os.path.join(folder, "tokenizer.json")
    if os.path.exists(path):
        return HuggingFace(path)
    if os.path.exists(os.path.join(folder, "tiktoken.json")):
        names = [n for n in os.listdir(folder) if n.endswith((".tiktoken", ".model"))]
        return Tiktoken(folder, os.path.join(folder, names[0]))
    return SentencePiece(os.path.join(folder, "tokenizer.model"))


def compare(counts, name, what, got, want, source):
    counts[what] += 1
    if got == want:
        return
    counts["different"] += 1
    if counts["different"] > 8:
        return
    print("%s: %s of %.300r\n  nibble   %.600r\n  expected %.600r" % (name, what, source, got, want))
    if isinstance(got, list):
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        print("  from %d on: %s, expected %s" % (at, got[at:at + 12], want[at:at + 12]))


def check_text(counts, name, nibble, ref, text, more):
    data = text.encode("utf-8")
    want = ref.encode(text, True)
    got = nibble.ask("E", data)
    compare(counts, name, "ids", got, want, text)
    if ref.both:
        compare(counts, name, "ids without special ones", nibble.ask("e", data), ref.encode(text, False), text)
    if not more:
        return
    for letter, skip in (("D", True), ("d", False)):
        if not skip and not ref.both:
            continue
        whole = ref.decode(want, skip)
        compare(counts, name, "text", nibble.ids(letter, want), whole, want)
        if "\ufffd" not in whole:
            compare(counts, name, "stream", nibble.ids(letter.replace("D", "S").replace("d", "s"), want), whole, want)


def check_ids(counts, name, nibble, ref, rng):
    few = [rng.choice(ref.ids[:1000]) for _ in range(30)] + [rng.choice(ref.ids) for _ in range(30)]
    ids = [rng.choice(few) for _ in range(rng.randint(1, 14))]
    for letter, skip in (("D", True), ("d", False)):
        if not skip and not ref.both:
            continue
        whole = ref.decode(ids, skip)
        compare(counts, name, "text of random ids", nibble.ids(letter, ids), whole, ids)
        if "\ufffd" not in whole:
            compare(counts, name, "stream", nibble.ids(letter.replace("D", "S").replace("d", "s"), ids), whole, ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--texts", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", type=int, default=100000, help="repetitions in the longest texts")
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    different = 0
    for folder in args.folders:
        name = os.path.basename(os.path.normpath(folder))
        nibble, ref = Nibble(args.run, folder), reference(folder)
        counts = collections.Counter()
        rng = random.Random(args.seed)
        added = ref.added if len(ref.added) < 40 else rng.sample(ref.added, 40)
        parts = tokenizer_texts.written() + added + [a[:-1] for a in added] + [" " + a + " " for a in added]
        for a, b in zip(added, added[1:]):
            parts += [a + b, a[:-1] + b, a + b[1:]]
        for i in range(args.texts):
            check_text(counts, name, nibble, ref, tokenizer_texts.text(args.seed * 1000003 + i, parts), i % 3 == 0)
            if i % 5 == 0:
                check_ids(counts, name, nibble, ref, rng)
        for t in tokenizer_texts.LONG:
            check_text(counts, name, nibble, ref, t * (args.long // len(t)), True)
        print("%s: %d ids, %s" % (name, nibble.ask("N")[0], ", ".join("%d %s" % (n, k) for k, n in counts.items())), flush=True)
        different += counts["different"]
        nibble.process.stdin.close()
        nibble.process.wait()
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
