#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizing, nibble beside mlx and mlx-lm on the same machine: both convert one checkpoint of random weights, in turns,
and the best of the rounds counts. mlx's time is given twice: of the whole conversion (load, quantize, save), and of
mx.quantize alone on arrays that are in memory. Seconds of all processors stand beside those of the clock: other programs
lengthen only the latter. The quantizers alone, nibble's beside MLX's, work on the same arrays, nibble's with as many threads
as there are processors. Files lie in memory (/dev/shm) where there is such a place. Needs mlx, mlx-lm and numpy.

  bench/quantize.py [--nibble build/release/nibble] [--rounds 3] [--json FILE] [FORMAT ...]   FORMAT: affine:4:64
"""
import argparse, concurrent.futures, ctypes, json, os, pathlib, shutil, subprocess, sys, tempfile, time

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm import utils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from fuzz_quantize import MODES, TYPES, Format, build, raw

FORMATS = ["affine:4:64", "affine:8:64", "affine:3:32", "mxfp4:4:32", "mxfp8:8:32", "nvfp4:4:16"]
CONFIG = {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 4, "intermediate_size": 5632,
          "num_attention_heads": 16, "num_key_value_heads": 4, "rms_norm_eps": 1e-05, "vocab_size": 32000,
          "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}


def make_source(folder):
    model_class, args_class = utils._get_classes(CONFIG)
    model = model_class(args_class.from_dict(dict(CONFIG)))
    weights = {k: v.astype(mx.bfloat16) for k, v in tree_flatten(model.parameters())}
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return sum(v.size for v in weights.values())


def timed(work):
    """Seconds of the clock, and of processors, this process's and its children's."""
    def now():
        t = os.times()
        return time.perf_counter(), t.user + t.system + t.children_user + t.children_system

    start = now()
    work()
    return tuple(b - a for a, b in zip(start, now()))


def mlx_whole(source, target, mode, bits, group):
    shutil.rmtree(target, ignore_errors=True)

    def work():
        model, config = utils.load_model(source, lazy=True)
        model, config = utils.quantize_model(model, config, group, bits, mode=mode)
        target.mkdir()
        utils.save_model(target, model)
        utils.save_config(config, target / "config.json")

    return timed(work)


def mlx_alone(weights, mode, bits, group):
    def work():
        for w in weights:
            mx.eval(mx.quantize(w, group_size=group, bits=bits, mode=mode))

    return timed(work)


def nibble_alone(lib, arrays, mode, bits, group):
    """The quantizer of src/quant on every array, cut into pieces of whole groups."""
    f, threads = Format(MODES[mode], bits, group), len(os.sched_getaffinity(0))
    size = 1 << 20
    pieces = [(w, i, min(size, w.size // 2 - i)) for w in arrays for i in range(0, w.size // 2, size)]
    outs = [[np.zeros(2 * size, np.uint8) for _ in range(3)] for _ in range(threads)]

    def work_on(t):
        for w, first, n in pieces[t::threads]:
            lib.quant_encode(ctypes.byref(f), TYPES["bf16"][0], ctypes.c_void_p(w.ctypes.data + 2 * first),
                             ctypes.c_int64(n // group), *(ctypes.c_void_p(o.ctypes.data) for o in outs[t]))

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return timed(lambda: list(pool.map(work_on, range(threads))))


def nibble(binary, source, target, mode, bits, group):
    shutil.rmtree(target, ignore_errors=True)
    command = [binary, "quantize", str(source), str(target), "--mode", mode, "--bits", str(bits), "--group-size", str(group)]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--nibble", default="build/release/nibble")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", type=pathlib.Path)
    p.add_argument("formats", nargs="*", default=FORMATS)
    a = p.parse_args()
    mx.set_default_device(mx.cpu)
    results = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as temp:
        source = pathlib.Path(temp) / "source"
        n = make_source(source)
        weights = [w for w in mx.load(str(source / "model.safetensors")).values() if w.ndim == 2]
        mx.eval(weights)
        arrays, lib = [raw(w) for w in weights], build(pathlib.Path(temp))
        print(f"{n / 1e6:.0f} million weights in bf16, best of {a.rounds} rounds")
        for text in a.formats:
            mode, bits, group = text.split(":")
            f = (mode, int(bits), int(group))
            times = {"nibble": [], "mlx_lm": [], "quant_encode": [], "mx.quantize": []}
            for _ in range(a.rounds):
                times["nibble"].append(nibble(a.nibble, source, pathlib.Path(temp) / "nibble", *f))
                times["mlx_lm"].append(mlx_whole(source, pathlib.Path(temp) / "mlx", *f))
                times["quant_encode"].append(nibble_alone(lib, arrays, *f))
                times["mx.quantize"].append(mlx_alone(weights, *f))
            best = {k: (min(t[0] for t in v), min(t[1] for t in v)) for k, v in times.items()}
            results.append({"format": text, "weights": n, "seconds": best})
            for ours, theirs in (("nibble", "mlx_lm"), ("quant_encode", "mx.quantize")):
                (wall, cpu), (wall_2, cpu_2) = best[ours], best[theirs]
                print(f"{text:12} {ours:12} {wall:.3f} s (processors {cpu:.2f})   {theirs:11} {wall_2:.2f} s ({cpu_2:.2f})"
                      f"   {wall_2 / wall:.1f} x", flush=True)
    if a.json:
        a.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
