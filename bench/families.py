#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nibble and mlx-lm on this processor in turns, on random weights with the shapes of configs/*.json, quantized as
the config says, and prints the ratios. For maintainers:

    pip install "mlx[cpu]" mlx-lm
    python bench/families.py --nibble build/release/nibble [--rounds 3] [--prompt 16] [--generate 4] [CONFIG ...]

mlx's CPU backend is not what its users run for speed; it is the reference for what the numbers must be, and here the
one engine that runs all of these families from the same files."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIGS = ["qwen3.5-0.8b", "qwen3-coder-30b-a3b", "qwen3.6-35b-a3b", "gemma-4-26b-a4b", "gemma-4-31b"]


def time_mlx(path, n_prompt, n_generate):
    """(prompt, generation) tokens a second of one round, in a process of its own."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import _get_classes

    mx.set_default_device(mx.cpu)
    config = json.loads(Path(path).read_text())
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    model.set_dtype(mx.bfloat16)
    q = config["quantization"]
    rule = getattr(model, "quant_predicate", None) or (lambda path, module: True)
    for layer in model.layers:  # one after the other, so that only one is there in 16 bits
        nn.quantize(layer, q["group_size"], q["bits"], class_predicate=lambda path, module: (
            hasattr(module, "to_quantized") and module.weight.shape[-1] % q["group_size"] == 0 and rule(path, module)))
        mx.eval(layer.parameters())
    nn.quantize(model, q["group_size"], q["bits"],
                class_predicate=lambda path, module: hasattr(module, "to_quantized") and ".layers." not in path)
    mx.eval(model.parameters())
    cache = make_prompt_cache(model)
    start = time.perf_counter()
    logits = model(mx.array([list(range(1, n_prompt + 1))]), cache=cache)[:, -1]
    mx.eval(logits)
    middle = time.perf_counter()
    for _ in range(n_generate):
        logits = model(mx.argmax(logits, axis=-1)[:, None], cache=cache)[:, -1]
        mx.eval(logits)
    return n_prompt / (middle - start), n_generate / (time.perf_counter() - middle)


def output_of(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nibble", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--generate", type=int, default=4)
    parser.add_argument("--mlx-round", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("configs", nargs="*", metavar="CONFIG", default=CONFIGS)
    args = parser.parse_args()
    if args.mlx_round:
        print(json.dumps(time_mlx(args.mlx_round, args.prompt, args.generate)))
        return
    sizes = ["--prompt", args.prompt, "--generate", args.generate]
    print(f"{'tokens/s':22} {'prompt':>9} {'mlx-lm':>9} {'ratio':>7} {'generation':>11} {'mlx-lm':>9} {'ratio':>7} "
          f"{'of bandwidth':>13}")
    for name in args.configs:
        path = HERE / "configs" / f"{name}.json"
        best, share = [0.0] * 4, 0.0
        for _ in range(args.rounds):
            r = output_of([args.nibble, "bench", "--config", path, "--rounds", 1, "--json", *sizes])
            mlx = output_of([sys.executable, __file__, "--nibble", args.nibble, "--mlx-round", path, *sizes])
            found = [r["prompt_tokens_per_second"], mlx[0], r["generation_tokens_per_second"], mlx[1]]
            best = [max(a, b) for a, b in zip(best, found)]
            share = max(share, r["bandwidth_share"])
        print(f"{name:22} {best[0]:9.1f} {best[1]:9.2f} {best[0] / best[1]:7.1f} {best[2]:11.1f} {best[3]:9.2f} "
              f"{best[2] / best[3]:7.1f} {share:13.0%}", flush=True)


if __name__ == "__main__":
    main()
