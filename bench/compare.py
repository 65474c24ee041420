#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nibble and llama.cpp in turns and prints the ratios: bench/README.md says what is compared, and why so.

    python3 bench/compare.py --nibble build/release/nibble --peer build/peer --model build/demo-model
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPT, GENERATION = "prompt", "generation"
# name, nibble's config (None: the model itself), llama.cpp's files; goals: at least so many times llama.cpp's best
# file, and so much of the machine's read bandwidth while generating.
CASES = [
    {"name": "SmolLM2-135M", "config": None, "files": ["smollm2-q4_1", "smollm2-q4_0"],
     "goals": {PROMPT: 1.5, GENERATION: 1.8}, "generation_files": ["smollm2-q4_1"], "share": None},
    {"name": "Qwen3-0.6B shape", "config": "qwen3-0.6b.json", "files": ["qwen3-q4_0", "qwen3-q4_1", "qwen3-q4_k"],
     "goals": {PROMPT: 1.5, GENERATION: 1.5}, "share": 0.65},
]


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SystemExit(f"{' '.join(command)}: {lines[-1]}")
    return json.loads(done.stdout)


def run_nibble(args, case):
    what = ["--config", str(HERE / "configs" / case["config"])] if case["config"] else [args.model]
    return output_of([args.nibble, "bench", *what, "--threads", str(args.threads), "--rounds", "1", "--json"])


def run_llama(args, file):
    """{PROMPT, GENERATION: tokens a second}"""
    rows = output_of([str(args.peer / "llama-bench"), "-m", str(args.peer / f"{file}.gguf"), "-t", str(args.threads),
                      "-p", "512", "-n", "128", "-r", "1", "-o", "json"])
    return {GENERATION if row["n_gen"] else PROMPT: row["avg_ts"] for row in rows}


def measure(args, case):
    """The best round of each: {"nibble" or a file's name: {PROMPT, GENERATION}}, bytes a second of weights, bandwidth."""
    best = {name: {PROMPT: 0.0, GENERATION: 0.0} for name in ["nibble", *case["files"]]}
    read = bandwidth = resident = 0.0
    for number in range(args.rounds):
        print(f"{case['name']}: round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
        r = run_nibble(args, case)
        found = {"nibble": {PROMPT: r["prompt_tokens_per_second"], GENERATION: r["generation_tokens_per_second"]}}
        read = max(read, r["weight_bytes_per_second"])
        bandwidth = max(bandwidth, r["read_bandwidth_bytes_per_second"])
        resident = max(resident, r["peak_resident_bytes"])
        for file in case["files"]:
            found[file] = run_llama(args, file)
        for name, speeds in found.items():
            for what, speed in speeds.items():
                best[name][what] = max(best[name][what], speed)
    return {"case": case["name"], "tokens_per_second": best, "weight_bytes_per_second": read,
            "read_bandwidth_bytes_per_second": bandwidth, "peak_resident_bytes": resident}


def verdict(value, goal):
    return "" if goal is None else f"   goal {goal:g}: {'met' if value >= goal else 'missed'}"


def report(case, result):
    best = result["tokens_per_second"]
    print(f"\n{case['name']}, tokens/s, best of the rounds (pp512, tg128)")
    for name, speeds in best.items():
        print(f"  {name:14} {speeds[PROMPT]:9.1f} {speeds[GENERATION]:9.1f}")
    result["ratios"] = {}
    for what in (PROMPT, GENERATION):
        file = max(case.get(f"{what}_files", case["files"]), key=lambda f: best[f][what])
        ratio = best["nibble"][what] / best[file][what]
        result["ratios"][what] = ratio
        print(f"  {what}: {ratio:.2f} times llama.cpp's {file}{verdict(ratio, case['goals'][what])}")
    share = result["weight_bytes_per_second"] / (result["read_bandwidth_bytes_per_second"] or float("inf"))
    result["bandwidth_share"] = share
    print(f"  generation reads {result['weight_bytes_per_second'] / 1e9:.1f} GB/s of weights, {share:.0%} of the "
          f"{result['read_bandwidth_bytes_per_second'] / 1e9:.1f} GB/s that this machine reads"
          f"{verdict(share, case['share'])}")
    print(f"  nibble's largest resident memory: {result['peak_resident_bytes'] / 1e6:.0f} MB")


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "asimddp", "bf16", "i8mm")
    return f"{names[0] if names else 'unknown processor'} ({', '.join(f for f in known if f in flags)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nibble", default="build/release/nibble")
    parser.add_argument("--peer", type=Path, default=Path("build/peer"), help="what bench/setup_peer.sh made")
    parser.add_argument("--model", default="build/demo-model", help="SmolLM2 as nibble imports it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures, for machines")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{processor()}, {args.threads} threads on {cores} cores, load {os.getloadavg()[0]:.2f} at the start")
    results = []
    for case in CASES:
        results.append(measure(args, case))
        report(case, results[-1])
    if args.json:
        args.json.write_text(json.dumps({"processor": processor(), "threads": args.threads, "results": results}, indent=1))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130)
