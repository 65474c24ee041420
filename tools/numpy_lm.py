# SPDX-License-Identifier: Apache-2.0
"""A forward pass in float64, straight from an MLX model directory.

The golden makers use it as the truth: it needs nothing but numpy, reads the files itself, dequantizes every weight
exactly (code * scale + bias without rounding to 16 bits) and keeps every sum in double precision. It follows what
mlx-lm 0.32 does with the same config; make_goldens.py checks that the two agree.

Model itself runs llama, qwen2 and qwen3. Other families are subclasses beside their specs in tools/goldens/, which
name their model types with @register; open_model picks the class."""

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


# The sixteen values of a 4-bit float with 2 bits of exponent and 1 of mantissa (OCP Microscaling Formats 1.0).
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def e4m3(code):
    """An 8-bit float with 4 bits of exponent (bias 7) and 3 of mantissa; no infinities, 0x7f and 0xff are NaN."""
    code = np.asarray(code, np.int64)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10))
    return np.where(code & 0x7F == 0x7F, np.nan, np.where(code & 0x80, -value, value))


def dequantize(codes, scales, biases, n_in):
    """[..., n_in] from codes [..., n, words] and scales [..., n, groups]: affine (biases None: they are 0), or, with
    scales of single bytes, mxfp4, mxfp8 or nvfp4. Mode, bits and group size follow from types and shapes."""
    bits = codes.shape[-1] * 32 // n_in
    group = n_in // scales.shape[-1]
    q = unpack(codes, bits).reshape(*scales.shape, group)
    if scales.dtype == np.uint8:
        assert (group, bits) in ((32, 4), (32, 8), (16, 4)), (group, bits)
        scale = e4m3(scales) if group == 16 else 2.0 ** (scales.astype(np.float64) - 127)
        w = (e4m3(q) if bits == 8 else E2M1[q]) * scale[..., None]
    else:
        w = q * scales[..., None].astype(np.float64)
        if biases is not None:
            w = w + biases[..., None].astype(np.float64)
    return w.reshape(*codes.shape[:-1], n_in)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def choose(logits, n):
    """The numbers of each row's n largest, in falling order. A near tie would let rounding choose: refused."""
    order = np.argsort(-logits, axis=-1, kind="stable")
    if n < logits.shape[-1]:
        last, next_one = (np.take_along_axis(logits, order[:, i:i + 1], axis=-1) for i in (n - 1, n))
        gap = (last - next_one).min() / logits.std()
        assert gap > 1e-3, f"a near tie between experts: {gap:.1e} of the logits' spread"
    return order[:, :n]


def attend(q, k, v, scale, window=None, sinks=None, softcap=None):
    """Causal attention of one sequence: q [T, heads, dim], k and v [T, kv_heads, dim] -> [T, heads * dim]. window: how
    many positions a token sees, itself counted; sinks [heads]: logits that take part without a value; softcap: of
    scores."""
    n, n_heads, _ = q.shape
    k, v = (np.repeat(a, n_heads // a.shape[1], axis=1) for a in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) * scale
    if softcap is not None:
        scores = np.tanh(scores / softcap) * softcap
    distance = np.arange(n)[:, None] - np.arange(n)[None]
    seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    scores = np.where(seen, scores, -np.inf)
    if sinks is not None:
        scores = np.concatenate([scores, np.broadcast_to(sinks[:, None, None], (n_heads, n, 1))], axis=-1)
    return np.einsum("hij,jhd->ihd", softmax(scores)[..., :n], v).reshape(n, -1)


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


_MODELS = {}


def register(*model_types):
    """Class decorator: the subclass of Model that runs these model_types."""

    def add(cls):
        _MODELS.update({t: cls for t in model_types})
        return cls

    return add


def open_model(directory):
    return _MODELS.get(read_config(directory)["model_type"], Model)(directory)


def read_config(directory):
    return json.loads((Path(directory) / "config.json").read_text())


class Model:
    """self.config is the text model's object of config.json, self.top the whole of it. Tensors are called as in a file
    without the "language_model." in front."""

    def __init__(self, directory):
        self.top = read_config(directory)
        self.config = {"model_type": self.top["model_type"], **self.top.get("text_config", self.top)}
        self.tensors = {}
        for file in sorted(Path(directory).glob("model*.safetensors")):
            tensors = read_safetensors(file)
            self.tensors.update({name.removeprefix("language_model."): t for name, t in tensors.items()})
        self._weights = {}
        self.setup(self.config)

    def setup(self, c):
        """Sizes and tables from the config; a family with fields of its own overrides it."""
        self.n_heads = c["num_attention_heads"]
        self.n_kv_heads = c.get("num_key_value_heads") or self.n_heads
        self.head_dim = c.get("head_dim") or c["hidden_size"] // self.n_heads
        self.inv_freq, self.rope_scale = rope_table(c, self.head_dim)

    def weight(self, path, n_in):
        """The matrix of a linear layer or an embedding in float64, [n_out, n_in]; of experts [n_experts, n_out, n_in]."""
        if path not in self._weights:
            w = self.tensors[path + ".weight"]
            if path + ".scales" in self.tensors:
                w = dequantize(w, self.tensors[path + ".scales"], self.tensors.get(path + ".biases"), n_in)
            self._weights[path] = w.astype(np.float64)
        return self._weights[path]

    def linear(self, x, path):
        y = x @ self.weight(path, x.shape[-1]).T
        bias = self.tensors.get(path + ".bias")
        return y if bias is None else y + bias

    def experts(self, x, chosen, path):
        """x [T, k], or [T, n_chosen, k] with rows of their own; chosen [T, n_chosen] -> [T, n_chosen, n_out]."""
        w = self.weight(path, x.shape[-1])
        bias = self.tensors.get(path + ".bias")
        y = np.empty((*chosen.shape, w.shape[1]))
        for t, s in np.ndindex(*chosen.shape):
            y[t, s] = w[chosen[t, s]] @ (x[t, s] if x.ndim == 3 else x[t])
        return y if bias is None else y + bias[chosen]

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
        y = attend(q, k, v, 1 / math.sqrt(self.head_dim), self.window(layer))
        return self.linear(y, p + "o_proj")

    def mlp(self, x, layer):
        p = f"model.layers.{layer}.mlp."
        return self.linear(silu(self.linear(x, p + "gate_proj")) * self.linear(x, p + "up_proj"), p + "down_proj")

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
        out["logits"] = self.linear(h, "lm_head" if "lm_head.weight" in self.tensors else "model.embed_tokens")
        return out
