# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/models/<name>/: small random MLX model directories and what they must compute.

For maintainers; nothing in the build needs it. In a virtual environment:

    pip install "mlx[cpu]" mlx-lm numpy
    python tools/make_goldens.py [--out DIR] [NAME ...]

Each directory holds config.json and model.safetensors as mlx-lm writes them and golden.safetensors with

    tokens        I32 [T]       the input
    hidden.embed  F32 [T, H]    what goes into the first layer
    hidden.<i>    F32 [T, H]    the output of layer i (before the final norm)
    logits        F32 [T, V]

The goldens are the float64 run of tools/numpy_lm.py on exactly dequantized weights, written only after mlx-lm, run in
float32 on the same directory, agrees within 2e-5 of the spread of each output. (mlx's own 16-bit runs are coarser than
what nibble is held to, so they are no golden.)

The models come from tools/goldens/*.py, a file for each group of families, which have

    SPECS           name -> {
                      config         as config.json has it
                      dtype          of all weights, and so of scales
                      tokens         how many
                      quant          (bits, group[, mode]); absent: plain
                      overrides      path -> dict or False, as in config.json's quantization
                      norm_dtype     when other than dtype
                      shards         into how many files; 1
                      drop           fields that the written config leaves out
                      seed           where the first choice leaves experts nearly tied
                      prepare        function(mlx-lm's model), before it gets weights
                      windows        function(config) -> [window or None for each layer], where mlx-lm has none of them
                      layout         function(tensors, config) -> (tensors, config): another form of the checkpoint,
                                     written in place of mlx-lm's; the truth is computed from mlx-lm's
                      mlx_tolerance  when other than 2e-5; say why
                    }
    random_weight   optional: function(rng, path, shape, config) -> array, or None for the rule below

and, where numpy_lm.Model does not run the family, a subclass of it with @register."""

import argparse
import copy
import importlib
import json
import re
import shutil
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import _get_classes, load_model, quantize_model, save_config

from numpy_lm import open_model

TYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16, "float32": mx.float32}


def find_specs():
    """name -> (spec, its module), of all files in goldens/."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("goldens/*.py")):
        module = importlib.import_module(f"goldens.{file.stem}")
        found.update({name: (spec, module) for name, spec in getattr(module, "SPECS", {}).items()})
    return found


def random_weight(rng, path, shape, config):
    """Scales chosen so that attention is neither flat nor one-hot and logits have a standard deviation of about 3."""
    x = rng.standard_normal(shape)
    if is_norm(path):
        return 1 + 0.2 * x if "q_norm" not in path and "k_norm" not in path else 1.2 + 0.2 * x
    if path.endswith(".bias"):
        return 0.3 * x
    head = "lm_head" in path or ("embed_tokens" in path and config["tie_word_embeddings"])
    if head:
        return 3 * x / np.sqrt(config["hidden_size"])
    if "embed_tokens" in path:
        return x
    gain = {"q_proj": 1.4, "k_proj": 1.4, "v_proj": 1.0, "o_proj": 1.0, "down_proj": 1.2}
    return gain.get(path.split(".")[-2], 1.0) * x / np.sqrt(shape[-1])


def is_norm(path):
    return re.search(r"norm(_\w+)?\.weight$", path) is not None


def build(name, spec, module):
    """The mlx-lm model with its weights, quantized as the spec says, and the config to write."""
    config = {**copy.deepcopy(spec["config"]), "torch_dtype": spec["dtype"]}
    rng = np.random.default_rng(sum(name.encode()) + spec.get("seed", 0))
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(copy.deepcopy(config)))
    spec.get("prepare", lambda model: None)(model)
    parameters = sorted(tree_flatten(model.parameters()))
    text = {**config, **config.get("text_config", {})}
    text["tie_word_embeddings"] = not any("lm_head" in path for path, _ in parameters)
    is_cast = getattr(model, "cast_predicate", lambda path: True)
    own = getattr(module, "random_weight", lambda *args: None)
    weights = []
    for path, w in parameters:
        x = own(rng, path, w.shape, text)
        if x is None:
            x = random_weight(rng, path, w.shape, text)
        dtype = spec.get("norm_dtype", spec["dtype"]) if is_norm(path) else spec["dtype"]
        dtype = TYPES[dtype] if is_cast(path) else mx.float32
        weights.append((path, mx.array(np.asarray(x, np.float32)).astype(dtype)))
    model.load_weights(weights)
    if "quant" in spec:
        bits, group, mode = (*spec["quant"], "affine")[:3]
        overrides = spec.get("overrides", {})
        model, config = quantize_model(model, config, group, bits, mode=mode,
                                       quant_predicate=lambda path, _: overrides.get(path, True))
        config["quantization"].update(overrides)  # mlx-lm itself writes no entry for true and false
    for field in spec.get("drop", []):
        del config[field]
    return model, config


def write_model(directory, tensors, config, shards):
    index = {"metadata": {"total_size": sum(w.nbytes for w in tensors.values())}, "weight_map": {}}
    names = sorted(tensors) if shards > 1 else list(tensors)
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        part = {name: tensors[name] for name in names[s * len(names) // shards:(s + 1) * len(names) // shards]}
        mx.save_safetensors(str(directory / file), part, metadata={"format": "mlx"})
        index["weight_map"].update({name: file for name in sorted(part)})
    if shards > 1:
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=4))
    save_config(copy.deepcopy(config), directory / "config.json")


def run_mlx(directory, tokens, windows_of):
    """The directory as mlx-lm loads it, computed in float32."""
    model, config = load_model(directory)
    windows = windows_of and windows_of(config)
    distance = mx.arange(len(tokens))[:, None] - mx.arange(len(tokens))[None]
    model.update(tree_map(lambda p: p.astype(mx.float32) if mx.issubdtype(p.dtype, mx.floating) else p,
                          model.parameters()))
    out = {}

    class Tap:  # stands for one layer and keeps what goes in and what it returns
        def __init__(self, layer, number):
            self.layer, self.number = layer, number

        def __getattr__(self, name):
            return getattr(self.layer, name)

        def __call__(self, x, *args, **kwargs):
            if self.number == 0:
                # mlx makes 16-bit rows of an embedding in a mode without scales of a type; they are exact
                out["hidden.embed"] = x = x.astype(mx.float32)
            if windows and windows[self.number]:
                args = (args[0] & (distance < windows[self.number]), *args[1:])
            y = self.layer(x, *args, **kwargs)
            out[f"hidden.{self.number}"] = y[0] if isinstance(y, tuple) else y
            return y

    inner = getattr(model, "language_model", model).model
    inner.layers = [Tap(layer, i) for i, layer in enumerate(inner.layers)]
    out["logits"] = model(mx.array(tokens)[None])
    return {key: np.array(value[0], dtype=np.float64) for key, value in out.items()}


def make(name, spec, module, out):
    mx.random.seed(0)
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    model, config = build(name, spec, module)
    tensors = dict(tree_flatten(model.parameters()))
    text = config.get("text_config", config)
    rng = np.random.default_rng(7)
    tokens = rng.integers(0, config.get("vocab_size", text["vocab_size"]), spec["tokens"]).astype(np.int32)
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), tensors, config, 1)
        truth = open_model(scratch).forward(tokens)
    if "layout" in spec:
        tensors, config = spec["layout"](tensors, config)
    write_model(directory, tensors, config, spec.get("shards", 1))
    mlx = run_mlx(directory, tokens, spec.get("windows"))
    worst = 0.0
    for key, value in truth.items():
        worst = max(worst, np.abs(mlx[key] - value).max() / value.std())
    if not worst <= spec.get("mlx_tolerance", 2e-5):
        raise SystemExit(f"{name}: mlx-lm and numpy differ by {worst:.2e} of the spread")
    golden = {key: mx.array(value.astype(np.float32)) for key, value in truth.items()}
    golden["tokens"] = mx.array(tokens)
    mx.save_safetensors(str(directory / "golden.safetensors"), golden)
    size = sum(f.stat().st_size for f in directory.iterdir())
    print(f"{name:28} {size / 1000:6.0f} kB  logits std {truth['logits'].std():5.2f}  mlx-numpy {worst:.1e}", flush=True)
    return size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "tests/data/models")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    specs = find_specs()
    total = sum(make(name, *specs[name], args.out) for name in args.names or specs)
    print(f"{total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()
