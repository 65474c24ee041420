# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/models/<name>/: small random MLX model directories and what they must compute.

For maintainers; nothing in the build needs it. In a virtual environment:

    pip install "mlx[cpu]" mlx-lm numpy
    python tools/make_goldens.py [--out DIR] [NAME ...]

Each directory holds config.json and model.safetensors as mlx-lm writes them and golden.safetensors with

    tokens        I32 [T]       the input
    hidden.embed  F32 [T, H]    the embedding's rows
    hidden.<i>    F32 [T, H]    the output of layer i (before the final norm)
    logits        F32 [T, V]

The goldens are the float64 run of tools/numpy_lm.py on exactly dequantized weights, written only after mlx-lm, run in
float32 on the same directory, agrees within 2e-5 of the spread of each output. (mlx's own 16-bit runs are coarser than
what nibble is held to, so they are no golden.)

The specs below together cover: each family; plain f32, f16, bf16; affine 2, 3, 4, 5, 6, 8 bits; groups 32, 64, 128;
scales in each type, norms in another type than the scales; overrides with fewer fields than the global block, and
false; layers that stay plain because their width is no multiple of the group; tied and untied; biases; odd head counts
and GQA ratios; head_dim that is not hidden/heads; sliding windows; rope variants; one sharded model."""

import argparse
import copy
import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import _get_classes, load_model, quantize_model, save_config, save_model

from numpy_lm import Model

TYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16, "float32": mx.float32}


def base(model_type, hidden, layers, heads, kv_heads, ffn, vocab, **more):
    architecture = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[model_type] + "ForCausalLM"
    return {
        "model_type": model_type, "architectures": [architecture], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": ffn, "vocab_size": vocab,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 4096, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, **more,
    }


# name -> config and: dtype (of all weights, and so of scales), quant (bits, group), overrides (path -> dict or False),
# norm_dtype (when other than dtype), tokens (how many), shards, drop (fields that the written config leaves out).
SPECS = {
    "llama-f32-minimal": dict(
        config=base("llama", 40, 2, 5, 5, 88, 211, rms_norm_eps=1e-5, tie_word_embeddings=True),
        dtype="float32", tokens=40,
        drop=["num_key_value_heads", "rope_theta", "tie_word_embeddings", "torch_dtype", "hidden_act",
              "max_position_embeddings", "bos_token_id"]),
    "llama-f16-llama3": dict(
        config=base("llama", 48, 2, 3, 1, 96, 257, attention_bias=True, mlp_bias=True, rope_scaling={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}),
        dtype="float16", tokens=70),
    "llama-bf16-linear": dict(
        config=base("llama", 56, 2, 3, 3, 76, 223, head_dim=20, rope_traditional=True, rope_theta=500000.0,
                    rope_scaling={"type": "linear", "factor": 2.5}),
        dtype="bfloat16", tokens=48),
    "llama-f32-longrope": dict(
        config=base("llama", 40, 2, 4, 2, 56, 200, head_dim=12, max_position_embeddings=512, rope_scaling={
            "rope_type": "longrope", "original_max_position_embeddings": 64,
            "short_factor": [1.0, 1.0, 1.1, 1.2, 1.3, 1.4], "long_factor": [1.0, 1.25, 1.75, 2.5, 4.0, 7.5]}),
        dtype="float32", tokens=48),
    "llama-q4-g32-f16-sliding": dict(
        config=base("llama", 96, 3, 3, 1, 64, 203, tie_word_embeddings=True, rope_theta=100000.0, sliding_window=16,
                    layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        dtype="float16", quant=(4, 32), overrides={"model.embed_tokens": {"group_size": 32, "bits": 8}}, tokens=70),
    "llama-q2-g32-bf16": dict(
        config=base("llama", 288, 2, 9, 3, 32, 200, tie_word_embeddings=True),
        dtype="bfloat16", quant=(2, 32), tokens=20),
    "llama-q4-g64-f16-partial": dict(
        config=base("llama", 96, 1, 3, 1, 64, 200, tie_word_embeddings=True),
        dtype="float16", quant=(4, 64), tokens=40),
    "llama-q6-g32-f16-sharded": dict(
        config=base("llama", 96, 2, 6, 2, 96, 219, head_dim=16),
        dtype="float16", norm_dtype="bfloat16", quant=(6, 32), tokens=40, shards=2),
    "qwen2-q4-g64-f16": dict(
        config=base("qwen2", 128, 2, 4, 2, 128, 331, tie_word_embeddings=True, rope_theta=1000000.0,
                    sliding_window=8, use_sliding_window=False, max_window_layers=1),
        dtype="float16", quant=(4, 64), tokens=44),
    "qwen2-q3-g64-bf16": dict(
        config=base("qwen2", 192, 2, 3, 1, 64, 203, rope_theta=1000000.0),
        dtype="bfloat16", quant=(3, 64), tokens=32),
    "qwen2-q8-g128-f32": dict(
        config=base("qwen2", 128, 1, 4, 1, 128, 200, tie_word_embeddings=True),
        dtype="float32", quant=(8, 128), tokens=40),
    "qwen2-f16-yarn": dict(
        config=base("qwen2", 48, 2, 4, 2, 72, 227, rope_scaling={
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}),
        dtype="float16", tokens=64),
    "qwen3-bf16-parameters": dict(
        config=base("qwen3", 56, 2, 3, 1, 80, 241, head_dim=16, tie_word_embeddings=True,
                    rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
        dtype="bfloat16", tokens=48, drop=["rope_theta"]),
    "qwen3-q4-g64-bf16": dict(
        config=base("qwen3", 128, 2, 4, 2, 64, 803, head_dim=64, tie_word_embeddings=True, rope_theta=1000000.0,
                    rope_scaling=None, attention_bias=False, use_sliding_window=False, sliding_window=None),
        dtype="bfloat16", quant=(4, 64), tokens=16),
    "qwen3-q5-g32-f16-yarn": dict(
        config=base("qwen3", 160, 1, 5, 1, 160, 229, head_dim=32, rope_scaling={
            "type": "yarn", "factor": 2.0, "original_max_position_embeddings": 24, "beta_fast": 16, "beta_slow": 2}),
        dtype="float16", quant=(5, 32), tokens=48),
    "qwen3-mixed": dict(
        config=base("qwen3", 128, 2, 4, 1, 128, 201, head_dim=32),
        dtype="bfloat16", norm_dtype="float32", quant=(6, 64), tokens=40,
        overrides={
            "model.embed_tokens": {"group_size": 128, "bits": 2, "mode": "affine"},
            "lm_head": {"bits": 8},
            "model.layers.0.mlp.down_proj": {"group_size": 32, "bits": 8, "mode": "affine"},
            "model.layers.1.mlp.gate_proj": False,
            "model.layers.1.self_attn.q_proj": {"group_size": 128, "bits": 3},
            "model.layers.1.self_attn.o_proj": {"group_size": 32, "bits": 5},
            "model.layers.1.mlp.down_proj": {"group_size": 128},
            "model.layers.0.self_attn.k_proj": True,
        }),
    "qwen3-q4-g128-f32": dict(
        config=base("qwen3", 256, 1, 2, 1, 128, 200, head_dim=64, tie_word_embeddings=True),
        dtype="float32", quant=(4, 128), tokens=40),
}


def random_weight(rng, path, shape, config):
    """Scales chosen so that attention is neither flat nor one-hot and logits have a standard deviation of about 3."""
    x = rng.standard_normal(shape)
    if path.endswith("norm.weight"):
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


def build(name, spec):
    """The mlx-lm model with its weights, quantized as the spec says, and the config to write."""
    config = {**copy.deepcopy(spec["config"]), "torch_dtype": spec["dtype"]}
    rng = np.random.default_rng(sum(name.encode()))
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    weights = []
    for path, w in sorted(tree_flatten(model.parameters())):
        norm = path.endswith("norm.weight")
        dtype = TYPES[spec.get("norm_dtype", spec["dtype"]) if norm else spec["dtype"]]
        weights.append((path, mx.array(random_weight(rng, path, w.shape, config).astype(np.float32)).astype(dtype)))
    model.load_weights(weights)
    if "quant" in spec:
        bits, group = spec["quant"]
        overrides = spec.get("overrides", {})
        model, config = quantize_model(model, config, group, bits,
                                       quant_predicate=lambda path, _: overrides.get(path, True))
        config["quantization"].update(overrides)  # mlx-lm itself writes no entry for true and false
    for field in spec.get("drop", []):
        del config[field]
    return model, config


def write_model(directory, model, config, shards):
    if shards == 1:
        save_model(directory, model)
    else:
        weights = sorted(tree_flatten(model.parameters()))
        index = {"metadata": {"total_size": sum(w.nbytes for _, w in weights)}, "weight_map": {}}
        for s in range(shards):
            file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
            part = dict(weights[s * len(weights) // shards:(s + 1) * len(weights) // shards])
            mx.save_safetensors(str(directory / file), part, metadata={"format": "mlx"})
            index["weight_map"].update({path: file for path in part})
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=4))
    save_config(config, directory / "config.json")


def run_mlx(directory, tokens):
    """The directory as mlx-lm loads it, computed in float32."""
    model, _ = load_model(directory)
    model.update(tree_map(lambda p: p.astype(mx.float32) if mx.issubdtype(p.dtype, mx.floating) else p,
                          model.parameters()))
    out = {}

    class Tap:  # stands for one layer and keeps what it returns
        def __init__(self, layer, key):
            self.layer, self.key = layer, key

        def __getattr__(self, name):
            return getattr(self.layer, name)

        def __call__(self, *args, **kwargs):
            out[self.key] = y = self.layer(*args, **kwargs)
            return y

    inner = model.model
    inner.layers = [Tap(layer, f"hidden.{i}") for i, layer in enumerate(inner.layers)]
    out["hidden.embed"] = inner.embed_tokens(mx.array(tokens))[None]
    out["logits"] = model(mx.array(tokens)[None])
    return {key: np.array(value[0], dtype=np.float64) for key, value in out.items()}


def make(name, spec, out):
    mx.random.seed(0)
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    model, config = build(name, spec)
    write_model(directory, model, config, spec.get("shards", 1))

    rng = np.random.default_rng(7)
    tokens = rng.integers(0, spec["config"]["vocab_size"], spec["tokens"]).astype(np.int32)
    truth = Model(directory).forward(tokens)
    mlx = run_mlx(directory, tokens)
    worst = 0.0
    for key, value in truth.items():
        worst = max(worst, np.abs(mlx[key] - value).max() / value.std())
    if worst > 2e-5:
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
    total = sum(make(name, SPECS[name], args.out) for name in args.names or SPECS)
    print(f"{total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()
