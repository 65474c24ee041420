#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/quantize: groups of every awkward kind (input.safetensors) and hashes of what mx.quantize and
mx.dequantize make of them in every mode, with every bits and group size (expected.json). For maintainers; needs mlx.

  tools/make_quantize_goldens.py [--out tests/data/quantize]
"""
import argparse, json, pathlib

import mlx.core as mx
import numpy as np

from fuzz_quantize import ROOT, TYPES, formats, groups, raw
from make_convert_goldens import fnv


def hash_values(a):
    """Of floats, with every NaN alike."""
    data = raw(a).view({2: np.uint16, 4: np.uint32}[a.dtype.size]).copy()
    data[np.array(mx.isnan(a)).reshape(-1)] = 0x7FC0
    return fnv(data.tobytes())


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/data/quantize")
    a = p.parse_args()
    mx.set_default_device(mx.cpu)
    a.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    inputs = {name: groups(rng, 100, 128, mx_type) for name, (_, mx_type) in TYPES.items()}
    expected = []
    for mode, bits, group in formats():
        for name, w in inputs.items():
            parts = mx.quantize(w, group_size=group, bits=bits, mode=mode)
            back = [hash_values(mx.dequantize(*parts[:2], parts[2] if len(parts) > 2 else None, group_size=group,
                                              bits=bits, mode=mode, dtype=t)) for _, t in TYPES.values()]
            expected.append([mode, bits, group, name, [fnv(raw(t).tobytes()) for t in parts], back])
    mx.save_safetensors(str(a.out / "input.safetensors"), inputs, metadata={"format": "mlx"})
    lines = ",\n".join(json.dumps(e) for e in expected)
    (a.out / "expected.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
