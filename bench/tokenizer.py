#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nibble's tokenizer and Hugging Face's `tokenizers` (PyPI) in turns, one thread each, and prints the ratios: how many
times the megabytes a processor's second for English, C and Chinese text, and how long loading takes.

    python3 bench/tokenizer.py --run ./tok_run [--rounds 3] FOLDER_WITH_TOKENIZER_JSON...

tok_run is tests/tools/tok_run.c, built as it says; tools/real_tokenizers.py makes folders."""

import argparse
import glob
import os
import random
import struct
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
COMMON = ("的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现"
          "当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物"
          "手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条")
DOCUMENT = 4000  # characters


def read(pattern):
    return "".join(open(name, encoding="utf-8").read() for name in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)))


def chinese():
    rng, out = random.Random(5), []
    for _ in range(9000):
        out.append("".join(rng.choice(COMMON[:int(60 + 180 * rng.random() ** 2)]) for _ in range(rng.randint(4, 14))) + rng.choice("，，，。。！？\n"))
    return "".join(out)


def documents(text):
    return [text[i:i + DOCUMENT] for i in range(0, len(text), DOCUMENT)][:100]


class Nibble:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def seconds(self, letter, data=b""):
        self.process.stdin.write(letter + struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        status, length = struct.unpack("<BI", self.process.stdout.read(5))
        answer = self.process.stdout.read(length).decode()
        if status:
            raise SystemExit(answer)
        return float(answer)


def peer_seconds(peer, texts):
    start = time.process_time()
    for text in texts:
        peer.encode(text, add_special_tokens=False)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    texts = {"English": documents(read("docs/*.md") + read("README.md") + read("LICENSE")), "C": documents(read("src/**/*.c")),
             "Chinese": documents(chinese())}
    print("%-24s %8s %8s   %s" % ("tokenizer", "load, s", "peer", "  ".join("%-8s times peer, MB/s" % name for name in texts)))
    for folder in args.folders:
        nibble, load = Nibble(args.run, folder), []
        for _ in range(args.rounds):
            start = time.process_time()
            peer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
            load.append((nibble.seconds(b"L"), time.process_time() - start))
        peer.no_truncation()
        line = []
        for documents_of in texts.values():
            data = "\0".join(documents_of).encode("utf-8")
            rounds = [(nibble.seconds(b"T", data), peer_seconds(peer, documents_of)) for _ in range(args.rounds)]
            ours, theirs = min(r[0] for r in rounds), min(r[1] for r in rounds)
            line.append("%8.2f %21.1f" % (theirs / ours, len(data) / ours / 1e6))
        print("%-24s %8.3f %8.3f   %s" % (os.path.basename(os.path.normpath(folder)), min(a for a, _ in load),
                                          min(b for _, b in load), "  ".join(line)), flush=True)
        nibble.process.stdin.close()
        nibble.process.wait()


if __name__ == "__main__":
    main()
