#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares nibble's quantizers with mx.quantize and mx.dequantize on MLX's CPU backend, byte for byte, on random groups
of many kinds: every mode, bits, group size and type. For maintainers; needs mlx, numpy and a C compiler.

  tools/fuzz_quantize.py [--seconds 60] [--seed 0]
"""
import argparse, ctypes, pathlib, subprocess, sys, tempfile, time

import mlx.core as mx
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = {"affine": 1, "mxfp4": 2, "mxfp8": 3, "nvfp4": 4}  # wmode
TYPES = {"f32": (2, mx.float32), "f16": (3, mx.float16), "bf16": (4, mx.bfloat16)}  # dtype


class Format(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_int), ("bits", ctypes.c_int), ("group_size", ctypes.c_int)]


def build(folder):
    lib = folder / "libquantize.so"
    sources = [ROOT / "src/quant/quantize.c", ROOT / "src/kernels/kernel.c", ROOT / "src/base/dtype.c"]
    flags = ["-O2", "-ffp-contract=off", "-fPIC", f"-I{ROOT}/include", f"-I{ROOT}/src"]
    objects = []
    for source in sources + [ROOT / "src/quant/x86/quantize_avx2.c"]:
        objects.append(str(folder / (source.stem + ".o")))
        more = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"] if source.stem.endswith("_avx2") else []
        subprocess.run(["cc", *flags, *more, "-c", str(source), "-o", objects[-1]], check=True)
    subprocess.run(["cc", "-shared", *objects, "-o", str(lib), "-lm"], check=True)
    return ctypes.CDLL(str(lib))


def formats():
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            yield "affine", bits, group
    yield from (("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16))


def raw(a):
    """An mx array's bytes as a numpy array of uint8."""
    width = {mx.float32: mx.uint32, mx.float16: mx.uint16, mx.bfloat16: mx.uint16}.get(a.dtype)
    return np.array(mx.view(a, width) if width else a).reshape(-1).view(np.uint8)


def groups(rng, n, group, mx_type):
    """n groups of random kinds as an mx array [n, group] of the type."""
    x = rng.standard_normal((n, group)).astype(np.float32)
    limit = {mx.float32: 3.4028234e38, mx.float16: 65504.0, mx.bfloat16: 3.3895314e38}[mx_type]
    lowest = {mx.float32: -149, mx.float16: -24, mx.bfloat16: -133}[mx_type]
    kind = rng.integers(0, 14, n)
    scale = np.exp2(rng.uniform(-12, 6, (n, 1))).astype(np.float32)
    wide = np.exp2(rng.uniform(lowest, np.log2(limit), (n, 1))).astype(np.float64)
    with np.errstate(all="ignore"):
        y = (x * scale).astype(np.float64)
        y = np.where((kind == 1)[:, None], 0.0, y)
        y = np.where((kind == 2)[:, None], y[:, :1], y)  # constant
        y = np.where((kind == 3)[:, None], -np.abs(y) - scale, y)
        y = np.where((kind == 4)[:, None], np.abs(y) + scale, y)
        y = np.where((kind == 5)[:, None], x * np.exp2(float(lowest)) * rng.integers(1, 40, (n, 1)), y)  # subnormal
        y = np.where((kind == 6)[:, None], np.clip(x / 3, -1, 1) * limit, y)  # extreme
        y = np.where((kind == 7)[:, None], np.round(x * 8) / 8, y)  # ties
        y = np.where((kind == 8)[:, None], np.round(x * 2) * scale, y)
        y = np.where((kind == 9)[:, None], x * wide, y)  # any magnitude
        y = np.where((kind == 10)[:, None], wide * np.sign(x), y)  # two values
        y = np.where((kind == 11)[:, None], rng.choice([0.0, -0.0], (n, group)), y)
        y = np.where((kind == 12)[:, None], np.exp2(rng.uniform(lowest, np.log2(limit), (n, group))) * np.sign(x), y)
        steps = rng.integers(1, 256, (n, 1))  # on a grid, with half steps
        y = np.where((kind == 13)[:, None], rng.integers(0, 2 * steps + 1, (n, group)) * 0.5 * scale - scale * steps / 3, y)
        y = np.clip(y, -limit, limit).astype(np.float32)
    return mx.array(y).astype(mx_type)


def differ(what, got, want, per, info):
    bad = np.nonzero(got != want)[0]
    if len(bad):
        print(f"{what}: {info}: {len(bad)} bytes differ, first in group {bad[0] // per}: {got[bad[0]]} for {want[bad[0]]}")
    return len(bad) > 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(a.seed)
    end, n_groups, bad = time.time() + a.seconds, 0, False
    with tempfile.TemporaryDirectory() as folder:
        lib = build(pathlib.Path(folder))
        while time.time() < end and not bad:
            for mode, bits, group in formats():
                for name, (number, mx_type) in TYPES.items():
                    n = 2000
                    w = groups(rng, n, group, mx_type)
                    f, info = Format(MODES[mode], bits, group), f"{mode} {bits} bits, groups of {group}, {name}"
                    want = mx.quantize(w, group_size=group, bits=bits, mode=mode)
                    data = raw(w)
                    got = [np.zeros(raw(t).size, np.uint8) for t in want] + [np.zeros(4 * n, np.uint8)]
                    pointers = [t.ctypes.data_as(ctypes.c_void_p) for t in [data] + got[:3]]
                    encode = lib.quant_encode if rng.random() < 0.7 else lib.quant_encode_portable
                    encode(ctypes.byref(f), number, pointers[0], ctypes.c_int64(n), *pointers[1:4])
                    for what, g, t in zip(("codes", "scales", "biases"), got, want):
                        if differ(what, g, raw(t), raw(t).size // n, info):
                            i = np.nonzero(g != raw(t))[0][0] // (raw(t).size // n)
                            print(np.array(w[int(i)].astype(mx.float32)), [np.array(t[int(i)].astype(mx.float32) if t.dtype == mx.bfloat16 else t[int(i)]) for t in want])
                            bad = True
                    if rng.random() < 0.3:  # any bytes, not only those that a quantizer makes
                        want = [t if t.dtype not in (mx.uint8, mx.uint32) else
                                mx.view(mx.array(rng.integers(0, 256, (n, raw(t).size // n), dtype=np.uint8)), t.dtype)
                                for t in want]
                        got[: len(want)] = [raw(t).copy() for t in want]
                        pointers[1:] = [t.ctypes.data_as(ctypes.c_void_p) for t in got[:3]]
                    for out_name, (out_number, out_type) in TYPES.items():
                        back = raw(mx.dequantize(*want[:2], want[2] if len(want) > 2 else None, group_size=group, bits=bits,
                                                 mode=mode, dtype=out_type))
                        mine = np.zeros(back.size, np.uint8)
                        scale_type = number if mode == "affine" else 12
                        lib.quant_decode(ctypes.byref(f), scale_type, pointers[1], pointers[2],
                                         pointers[3] if len(want) > 2 else None, ctypes.c_int64(n), out_number,
                                         mine.ctypes.data_as(ctypes.c_void_p))
                        # a NaN's sign and payload say nothing
                        types = {"f32": np.uint32, "f16": np.uint16, "bf16": np.uint16}[out_name]
                        x, y = mine.view(types), back.view(types)
                        top = {"f32": 0x7F800000, "f16": 0x7C00, "bf16": 0x7F80}[out_name]
                        half = types(0x7FFFFFFF if out_name == "f32" else 0x7FFF)
                        nan = ((x & half) > top) & ((y & half) > top)
                        bad |= differ("values", np.where(nan, 0, x), np.where(nan, 0, y), group, info + " to " + out_name)
                    n_groups += n
    print(f"{n_groups} groups, {'differences' if bad else 'no difference'}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
