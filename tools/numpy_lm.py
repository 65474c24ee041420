# SPDX-License-Identifier: Apache-2.0
"""A forward pass of llama, qwen2 and qwen3 in float64, straight from an MLX model directory.

The golden makers use it as the truth: it needs nothing but numpy, reads the files itself, dequantizes every weight
exactly (code * scale + bias without rounding to 16 bits) and keeps every sum in double precision. It follows what
mlx-lm 0.32 does with the same config; make_goldens.py checks that the two agree."""

import json
import math
from pathlib import Path

import numpy as np

_TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "U32": np.uint32,
    "I32": np.int32, "I64": np.int64, "U8": np.uint8,
}


def read_safetensors(path):
    """{name: array}; bfloat16 becomes float32, which holds it exactly."""
    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    out = {}
    for name, info in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        a = np.frombuffer(raw[start + begin:start + end], _TYPES[info["dtype"]])
        if info["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = a.reshape(info["shape"])
    return out


def unpack(codes, bits):
    """uint32 [..., n*bits/32] -> integers [..., n]: each row is one little-endian stream of bits-wide codes."""
    stream = np.unpackbits(np.ascontiguousarray(codes).view(np.uint8), axis=-1, bitorder="little")
    stream = stream.reshape(*codes.shape[:-1], -1, bits)
    return stream @ (1 << np.arange(bits))


def dequantize(codes, scales, biases, n_in):
    """Affine: code * scale + bias. Bits and group size follow from the shapes."""
    bits = codes.shape[-1] * 32 // n_in
    group = n_in // scales.shape[-1]
    q = unpack(codes, bits).reshape(*scales.shape, group).astype(np.float64)
    w = q * scales[..., None].astype(np.float64) + biases[..., None].astype(np.float64)
    return w.reshape(*codes.shape[:-1], n_in)


def rope_table(config, head_dim):
    """Inverse frequencies (radians a position) of the head_dim/2 pairs, and what q and k are multiplied by.

    Scaling variants and their defaults as in mlx-lm's rope_utils."""
    nested = config.get("rope_parameters") if config["model_type"] == "qwen3" else None
    scaling = config.get("rope_scaling") or nested or {}
    theta = config.get("rope_theta")
    if theta is None:
        theta = (nested or {}).get("rope_theta", 1000000.0 if config["model_type"] == "qwen2" else 10000.0)
    kind = scaling.get("type") or scaling.get("rope_type", "default")
    i = np.arange(0, head_dim, 2, dtype=np.float64)
    inv = theta ** (-i / head_dim)
    if kind == "default":
        return inv, 1.0
    if kind == "linear":
        return inv / scaling["factor"], 1.0
    if kind == "llama3":
        return _llama3(inv, scaling), 1.0
    if kind == "yarn":
        return _yarn(inv, theta, head_dim, scaling)
    if kind == "longrope":  # the long factors whatever the length
        original = scaling["original_max_position_embeddings"]
        grown = config["max_position_embeddings"] / original
        scale = 1.0 if grown <= 1 else math.sqrt(1 + math.log(grown) / math.log(original))
        return inv / np.array(scaling["long_factor"], np.float64), scale
    raise ValueError(f"rope type {kind}")


def _llama3(inv, scaling):
    """Long waves are slowed by factor, short ones kept, those between blended by how often they fit the old context."""
    factor, low, high = scaling["factor"], scaling.get("low_freq_factor", 1.0), scaling.get("high_freq_factor", 4.0)
    turns = scaling.get("original_max_position_embeddings", 8192) * inv / (2 * math.pi)
    smooth = (turns - low) / (high - low)
    blended = inv * ((1 - smooth) / factor + smooth)
    return np.where(turns < low, inv / factor, np.where(turns > high, inv, blended))


def _yarn(inv, theta, dims, scaling):
    """Between the pairs that turn beta_fast and beta_slow times in the old context the slowing ramps from none to all."""
    factor = scaling["factor"]
    context = scaling.get("original_max_position_embeddings", 4096)

    def pair_of(turns):
        return dims * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_of(scaling.get("beta_fast", 32))), 0)
    high = min(math.ceil(pair_of(scaling.get("beta_slow", 1))), dims - 1)
    ramp = np.clip((np.arange(dims // 2) - low) / ((high - low) or 0.001), 0, 1)

    def mscale(m):
        return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0

    scale = mscale(scaling.get("mscale", 1)) / mscale(scaling.get("mscale_all_dim", 0))
    return inv * (1 - ramp) + inv / factor * ramp, scale


class Model:
    def __init__(self, directory):
        directory = Path(directory)
        self.config = json.loads((directory / "config.json").read_text())
        self.tensors = {}
        for file in sorted(directory.glob("model*.safetensors")):
            self.tensors.update(read_safetensors(file))
        c = self.config
        self.n_heads = c["num_attention_heads"]
        self.n_kv_heads = c.get("num_key_value_heads") or self.n_heads
        self.head_dim = c.get("head_dim") or c["hidden_size"] // self.n_heads
        self.inv_freq, self.rope_scale = rope_table(c, self.head_dim)
        self._weights = {}

    def weight(self, path, n_in):
        """The matrix of a linear layer or an embedding in float64, [n_out, n_in]."""
        if path not in self._weights:
            w = self.tensors[path + ".weight"]
            if path + ".scales" in self.tensors:
                w = dequantize(w, self.tensors[path + ".scales"], self.tensors[path + ".biases"], n_in)
            self._weights[path] = w.astype(np.float64)
        return self._weights[path]

    def linear(self, x, path):
        y = x @ self.weight(path, x.shape[-1]).T
        bias = self.tensors.get(path + ".bias")
        return y if bias is None else y + bias

    def norm(self, x, path):
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean_square + self.config["rms_norm_eps"]) * self.tensors[path + ".weight"]

    def rope(self, x, positions):
        """x: [T, heads, head_dim]. Pairs are (i, i + head_dim/2), or neighbours when rope_traditional."""
        angle = positions[:, None, None] * self.inv_freq
        cos, sin = np.cos(angle), np.sin(angle)
        x = x * self.rope_scale
        out = np.empty_like(x)
        half = self.head_dim // 2
        traditional = self.config.get("rope_traditional", False) and self.config["model_type"] != "qwen3"
        first, second = (slice(0, None, 2), slice(1, None, 2)) if traditional else (slice(0, half), slice(half, None))
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def window(self, layer):
        """How many positions a token of this layer sees, itself counted; None: all before it."""
        kinds = self.config.get("layer_types") if self.config["model_type"] == "llama" else None
        return self.config["sliding_window"] if kinds and kinds[layer] == "sliding_attention" else None

    def attention(self, x, layer):
        p = f"model.layers.{layer}.self_attn."
        n = len(x)
        q = self.linear(x, p + "q_proj").reshape(n, self.n_heads, self.head_dim)
        k = self.linear(x, p + "k_proj").reshape(n, self.n_kv_heads, self.head_dim)
        v = self.linear(x, p + "v_proj").reshape(n, self.n_kv_heads, self.head_dim)
        if self.config["model_type"] == "qwen3":
            q, k = self.norm(q, p + "q_norm"), self.norm(k, p + "k_norm")
        positions = np.arange(n)
        q, k = self.rope(q, positions), self.rope(k, positions)
        per_kv = self.n_heads // self.n_kv_heads
        k, v = np.repeat(k, per_kv, axis=1), np.repeat(v, per_kv, axis=1)
        scores = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(self.head_dim)
        distance = positions[:, None] - positions[None]
        seen = distance >= 0
        if (window := self.window(layer)) is not None:
            seen &= distance < window
        scores = np.where(seen, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return self.linear(np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1), p + "o_proj")

    def mlp(self, x, layer):
        p = f"model.layers.{layer}.mlp."
        gate = self.linear(x, p + "gate_proj")
        return self.linear(gate / (1 + np.exp(-gate)) * self.linear(x, p + "up_proj"), p + "down_proj")

    def forward(self, tokens):
        """{"hidden.embed", "hidden.<layer>", "logits"}, one row a token; hidden.<i> is layer i's output."""
        c = self.config
        h = self.weight("model.embed_tokens", c["hidden_size"])[np.asarray(tokens)]
        out = {"hidden.embed": h}
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            h = h + self.attention(self.norm(h, p + "input_layernorm"), i)
            h = h + self.mlp(self.norm(h, p + "post_attention_layernorm"), i)
            out[f"hidden.{i}"] = h
        h = self.norm(h, "model.norm")
        # Without the field mlx-lm ties llama and qwen2 (qwen3 must say).
        head = "model.embed_tokens" if c.get("tie_word_embeddings", True) else "lm_head"
        out["logits"] = self.linear(h, head)
        return out
