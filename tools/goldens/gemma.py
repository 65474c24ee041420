# SPDX-License-Identifier: Apache-2.0
"""gemma2, gemma3_text and gemma4: dense, with experts, and the small ones with per-layer inputs and shared keys and values.

The windows are shorter than the prompts, sliding and full layers differ in head size, KV heads and rope."""

import math

import mlx.core as mx
import numpy as np

from numpy_lm import Model, attend, choose, register, softmax


S, F = "sliding_attention", "full_attention"


def gelu(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rotate(x, inv_freq, traditional=False):
    """x [T, heads, dim], rotated by position * inv_freq [dim / 2]."""
    angle = np.arange(len(x))[:, None, None] * inv_freq
    cos, sin, half = np.cos(angle), np.sin(angle), x.shape[-1] // 2
    first, second = (slice(0, None, 2), slice(1, None, 2)) if traditional else (slice(0, half), slice(half, None))
    out = np.empty_like(x)
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def to_bfloat16(x):
    """Rounded to nearest, ties to even."""
    bits = np.float32(x).view(np.uint32)
    return float((bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)) & np.uint32(0xFFFF0000)).view(np.float32))


class Gemma(Model):
    def mlp(self, x, layer):
        p = f"model.layers.{layer}.mlp."
        return self.linear(gelu(self.linear(x, p + "gate_proj")) * self.linear(x, p + "up_proj"), p + "down_proj")

    def head(self, h):
        return self.linear(h, "lm_head" if "lm_head.weight" in self.tensors else "model.embed_tokens")

    def plain_norm(self, x):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.config.get("rms_norm_eps", 1e-6))


@register("gemma3_text", "gemma3")
class Gemma3(Gemma):
    def setup(self, c):
        self.n_heads, self.n_kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.head_dim = c["head_dim"]
        exponents = np.arange(0, self.head_dim, 2) / self.head_dim
        scaling = c.get("rope_scaling") or {"factor": 1.0}
        self.rope_full = c.get("rope_theta", 1e6) ** -exponents / scaling["factor"]
        self.rope_sliding = c.get("rope_local_base_freq", 1e4) ** -exponents

    def norm(self, x, path):
        return self.plain_norm(x) * (1 + self.tensors[path + ".weight"].astype(np.float64))

    def attention(self, x, layer):
        p, n, c = f"model.layers.{layer}.self_attn.", len(x), self.config
        full = (layer + 1) % c.get("sliding_window_pattern", 6) == 0
        q = self.norm(self.linear(x, p + "q_proj").reshape(n, self.n_heads, self.head_dim), p + "q_norm")
        k = self.norm(self.linear(x, p + "k_proj").reshape(n, self.n_kv_heads, self.head_dim), p + "k_norm")
        v = self.linear(x, p + "v_proj").reshape(n, self.n_kv_heads, self.head_dim)
        q, k = (rotate(a, self.rope_full if full else self.rope_sliding) for a in (q, k))
        y = attend(q, k, v, c.get("query_pre_attn_scalar", 256) ** -0.5, None if full else c["sliding_window"])
        return self.linear(y, p + "o_proj")

    def forward(self, tokens):
        c = self.config
        h = self.weight("model.embed_tokens", c["hidden_size"])[tokens] * to_bfloat16(c["hidden_size"] ** 0.5)
        out = {"hidden.embed": h}
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            y = self.attention(self.norm(h, p + "input_layernorm"), i)
            h = h + self.norm(y, p + "post_attention_layernorm")
            y = self.mlp(self.norm(h, p + "pre_feedforward_layernorm"), i)
            h = h + self.norm(y, p + "post_feedforward_layernorm")
            out[f"hidden.{i}"] = h
        out["logits"] = self.head(self.norm(h, "model.norm"))
        return out


@register("gemma2")
class Gemma2(Gemma3):
    def setup(self, c):
        self.n_heads, self.n_kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.head_dim = c["head_dim"]
        self.inv_freq = c.get("rope_theta", 10000) ** (-np.arange(0, self.head_dim, 2) / self.head_dim)

    def attention(self, x, layer):
        p, n, c = f"model.layers.{layer}.self_attn.", len(x), self.config
        q, k, v = (self.linear(x, p + name).reshape(n, -1, self.head_dim) for name in ("q_proj", "k_proj", "v_proj"))
        q, k = (rotate(a, self.inv_freq, c.get("rope_traditional", False)) for a in (q, k))
        y = attend(q, k, v, c.get("query_pre_attn_scalar", 144.0) ** -0.5, windows(c)[layer],
                   softcap=c.get("attn_logit_softcapping", 50.0))
        return self.linear(y, p + "o_proj")

    def forward(self, tokens):
        out, cap = super().forward(tokens), self.config.get("final_logit_softcapping", 30.0)
        out["logits"] = np.tanh(out["logits"] / cap) * cap
        return out


def windows(config):
    """Of gemma2's layers, which mlx-lm does not apply: every other one slides, the first does."""
    kinds = config.get("layer_types", [S, F] * config["num_hidden_layers"])
    return [config.get("sliding_window", 4096) if kinds[i] == S else None for i in range(config["num_hidden_layers"])]


@register("gemma4_text", "gemma4", "gemma4_unified")
class Gemma4(Gemma):
    def setup(self, c):
        n = c["num_hidden_layers"]
        pattern = ["sliding_attention"] * 4 + ["full_attention"]
        self.kinds = c.get("layer_types") or [pattern[i % 5] for i in range(n)]
        self.n_own = n - c["num_kv_shared_layers"]
        default = {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
                   "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
        self.inv_freq = {}
        for kind, rope in (c.get("rope_parameters") or default).items():
            dim = self.head_size(kind)
            inv = rope["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
            if rope["rope_type"] == "proportional":
                inv[int(dim * rope["partial_rotary_factor"]) // 2:] = 0
            self.inv_freq[kind] = inv

    def head_size(self, kind):
        return kind == "full_attention" and self.config["global_head_dim"] or self.config["head_dim"]

    def attention(self, x, layer, kept):
        p, n, c, kind = f"model.layers.{layer}.self_attn.", len(x), self.config, self.kinds[layer]
        dim, full = self.head_size(kind), kind == "full_attention"
        def rope(a):
            return rotate(a, self.inv_freq[kind], c.get("rope_traditional", False))
        q = rope(self.norm(self.linear(x, p + "q_proj").reshape(n, -1, dim), p + "q_norm"))
        if layer < self.n_own:
            k = self.linear(x, p + "k_proj").reshape(n, -1, dim)
            v = k if full and c["attention_k_eq_v"] else self.linear(x, p + "v_proj").reshape(n, -1, dim)
            kept[kind] = rope(self.norm(k, p + "k_norm")), self.plain_norm(v)
        k, v = kept[kind]
        return self.linear(attend(q, k, v, 1.0, None if full else c["sliding_window"]), p + "o_proj")

    def experts_block(self, h, layer):
        p, c = f"model.layers.{layer}.", self.config
        x = self.plain_norm(h) * self.tensors[p + "router.scale"] * c["hidden_size"] ** -0.5
        logits = self.linear(x, p + "router.proj")
        chosen = choose(logits, c["top_k_experts"])
        weights = softmax(np.take_along_axis(logits, chosen, axis=-1))
        weights = weights * self.tensors[p + "router.per_expert_scale"][chosen]
        x, p = self.norm(h, p + "pre_feedforward_layernorm_2"), p + "experts.switch_glu."
        y = gelu(self.experts(x, chosen, p + "gate_proj")) * self.experts(x, chosen, p + "up_proj")
        return np.sum(weights[..., None] * self.experts(y, chosen, p + "down_proj"), axis=1)

    def feedforward(self, h, layer):
        p = f"model.layers.{layer}."
        y = self.mlp(self.norm(h, p + "pre_feedforward_layernorm"), layer)
        if self.config.get("enable_moe_block"):
            y = self.norm(y, p + "post_feedforward_layernorm_1")
            y = y + self.norm(self.experts_block(h, layer), p + "post_feedforward_layernorm_2")
        return self.norm(y, p + "post_feedforward_layernorm")

    def per_layer_inputs(self, h, tokens):
        """[T, layers, size]"""
        c, size = self.config, self.config["hidden_size_per_layer_input"]
        shape = (len(h), c["num_hidden_layers"], size)
        e = self.weight("model.embed_tokens_per_layer", shape[1] * size)[tokens] * size**0.5
        x = self.linear(h, "model.per_layer_model_projection") * c["hidden_size"] ** -0.5
        return (self.norm(x.reshape(shape), "model.per_layer_projection_norm") + e.reshape(shape)) * 2**-0.5

    def forward(self, tokens):
        c = self.config
        h = self.weight("model.embed_tokens", c["hidden_size"])[tokens] * c["hidden_size"] ** 0.5
        out, kept = {"hidden.embed": h}, {}
        inputs = self.per_layer_inputs(h, tokens) if c["hidden_size_per_layer_input"] else None
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            y = self.attention(self.norm(h, p + "input_layernorm"), i, kept)
            h = h + self.norm(y, p + "post_attention_layernorm")
            h = h + self.feedforward(h, i)
            if inputs is not None:
                y = self.linear(gelu(self.linear(h, p + "per_layer_input_gate")) * inputs[:, i], p + "per_layer_projection")
                h = h + self.norm(y, p + "post_per_layer_input_norm")
            h = out[f"hidden.{i}"] = h * self.tensors[p + "layer_scalar"]
        logits = self.head(self.norm(h, "model.norm"))
        cap = c.get("final_logit_softcapping", 30.0)
        out["logits"] = logits if cap is None else np.tanh(logits / cap) * cap
        return out


def random_weight(rng, path, shape, config):
    x = rng.standard_normal(shape)
    if path.endswith("norm.weight") and config["model_type"].startswith(("gemma2", "gemma3")):
        return 0.3 + 0.2 * x if "q_norm" in path or "k_norm" in path else 0.2 * x  # beside 1
    if "q_norm" in path or "k_norm" in path:
        return 0.5 + 0.1 * x  # attention's scale is 1
    if path.endswith(("layer_scalar", "router.scale", "router.per_expert_scale")):
        return 0.8 + 0.2 * x
    if path.endswith("router.proj.weight"):
        return 1.5 * x  # its input is divided by sqrt(hidden_size)
    return None


def tie(model):
    """gemma3 ties where there is no lm_head in the files; mlx-lm's model has one until it has seen them."""
    model = getattr(model, "language_model", model)
    model.pop("lm_head")
    model.tie_word_embeddings = True


def gemma2(hidden, layers, heads, kv_heads, head_dim, ffn, vocab, window, **more):
    return {
        "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "intermediate_size": ffn, "vocab_size": vocab, "sliding_window": window,
        "rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "hidden_activation": "gelu_pytorch_tanh",
        "eos_token_id": 1, **more,
    }


def gemma3(hidden, layers, heads, kv_heads, head_dim, ffn, vocab, window, **more):
    return {
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "intermediate_size": ffn, "vocab_size": vocab, "sliding_window": window,
        "query_pre_attn_scalar": head_dim, "max_position_embeddings": 4096, "hidden_activation": "gelu_pytorch_tanh",
        "eos_token_id": 1, **more,
    }


def gemma4(hidden, kinds, heads, kv_heads, head_dim, global_kv_heads, global_head_dim, ffn, vocab, window, **more):
    return {
        "model_type": "gemma4_text", "hidden_size": hidden, "num_hidden_layers": len(kinds), "layer_types": kinds,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "num_global_key_value_heads": global_kv_heads, "global_head_dim": global_head_dim, "intermediate_size": ffn,
        "vocab_size": vocab, "sliding_window": window, "attention_k_eq_v": global_kv_heads is not None,
        "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0, "use_double_wide_mlp": False,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "eos_token_id": 1,
        "rope_parameters": {
            F: {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
            S: {"rope_theta": 10000.0, "rope_type": "default"},
        }, **more,
    }


def moe(experts=6, chosen=3, size=40):
    return {"enable_moe_block": True, "num_experts": experts, "top_k_experts": chosen, "moe_intermediate_size": size}


def small(size, shared, vocab):
    return {"hidden_size_per_layer_input": size, "num_kv_shared_layers": shared, "use_double_wide_mlp": True,
            "vocab_size_per_layer_input": vocab}


def wrapped(text, vocab, model_type="gemma4"):
    """In a multimodal model's config, whose vocab_size counts."""
    return {"model_type": model_type, "architectures": ["Gemma4ForConditionalGeneration"], "vocab_size": vocab,
            "text_config": text, "vision_config": {"model_type": "gemma4_vision", "hidden_size": 8}, "eos_token_id": 1}


def without(config, *fields):
    return {name: value for name, value in config.items() if name not in fields}


def original(tensors, config):
    """Hugging Face's names: gate and up in one tensor, the model inside of another, towers beside it."""
    out = {}
    for name, w in tensors.items():
        name = name.replace("language_model.model.", "model.language_model.")
        if name.endswith("experts.switch_glu.gate_proj.weight"):
            up = tensors[name.replace("model.language_model.", "language_model.model.").replace("gate_proj", "up_proj")]
            out[name.replace("switch_glu.gate_proj.weight", "gate_up_proj")] = mx.concatenate([w, up], axis=-2)
        elif name.endswith("experts.switch_glu.down_proj.weight"):
            out[name.replace("switch_glu.down_proj.weight", "down_proj")] = w
        elif "switch_glu.up_proj" not in name:
            out[name] = w
    for name in ("vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight", "embed_vision.embedding_projection.weight",
                 "audio_tower.layers.0.feed_forward1.ffw_layer_1.linear.weight"):
        out["model." + name] = mx.ones((2, 8), mx.bfloat16)
    return out, config


def with_shared_projections(tensors, config):
    """As published: layers that share keys and values have projections that nothing reads."""
    extra = {}
    for layer, owner in ((2, 1), (3, 0)):
        like = f"model.layers.{owner}.self_attn."
        for name in ("k_proj.weight", "v_proj.weight", "k_norm.weight"):
            extra[f"model.layers.{layer}.self_attn.{name}"] = mx.zeros_like(tensors[like + name])
    return {**tensors, **extra}, config


BYTES = {"group_size": 32, "bits": 8}  # affine, whatever the model's mode is

SPECS = {
    "gemma2-bf16": dict(
        config=gemma2(36, 3, 4, 2, 20, 24, 131, 6, query_pre_attn_scalar=28, attn_logit_softcapping=2.0,
                      final_logit_softcapping=4.0),
        dtype="bfloat16", windows=windows, tokens=16),
    "gemma2-q4": dict(
        config=gemma2(64, 2, 3, 1, 32, 32, 67, 5, rope_traditional=True, rope_theta=50000.0, layer_types=[F, S]),
        dtype="float16", quant=(4, 32), windows=windows, tokens=14),

    "gemma3-bf16": dict(
        config=gemma3(48, 2, 3, 1, 20, 24, 131, 6, sliding_window_pattern=2, rope_theta=500000.0,
                      query_pre_attn_scalar=28, rope_scaling={"factor": 8.0, "rope_type": "linear"}),
        prepare=tie, dtype="bfloat16", tokens=16),
    "gemma3-wrapped-q4": dict(
        config=wrapped(gemma3(96, 2, 3, 1, 32, 32, 999, 7, sliding_window_pattern=2), 67, "gemma3"),
        dtype="float16", quant=(4, 32), tokens=14,
        overrides={"language_model.lm_head": {"group_size": 32, "bits": 6}}),
    "gemma3-mxfp8": dict(
        config=gemma3(32, 6, 3, 1, 32, 32, 1003, 5), prepare=tie,
        dtype="bfloat16", norm_dtype="float32", quant=(8, 32, "mxfp8"),
        overrides={"model.embed_tokens": {"group_size": 32, "bits": 4}}, tokens=8),

    "gemma4-bf16": dict(
        config=wrapped(gemma4(40, [S, F], 3, 3, 20, 1, 40, 24, 977, 6), 131), dtype="bfloat16", tokens=16),
    "gemma4-q4": dict(
        config=gemma4(64, [S, F], 5, 1, 32, 1, 64, 32, 67, 5, rope_traditional=True, tie_word_embeddings=False,
                      final_logit_softcapping=None),
        dtype="float16", quant=(4, 32), tokens=12),
    "gemma4-unified-nvfp4": dict(
        config=wrapped(without(gemma4(32, [S] * 4 + [F], 9, 3, 16, 1, 32, 16, 131, 5, final_logit_softcapping=5.0),
                               "rope_parameters", "layer_types"), 131, "gemma4_unified"),
        dtype="bfloat16", quant=(4, 16, "nvfp4"), overrides={"language_model.model.embed_tokens": False}, tokens=12),

    "gemma4-moe-bf16-original": dict(
        config=wrapped(gemma4(32, [S, F], 3, 3, 20, 1, 24, 24, 131, 6, **moe(size=12)), 131), dtype="bfloat16",
        layout=original, seed=1, tokens=16),
    "gemma4-moe-q4": dict(
        config=wrapped(gemma4(32, [S, F], 3, 1, 32, None, 64, 32, 131, 5, **moe(size=32)), 131),
        dtype="bfloat16", quant=(4, 32), tokens=12,
        overrides={f"language_model.model.layers.{i}.router.proj": BYTES for i in range(2)}),
    "gemma4-moe-mxfp4": dict(
        config=gemma4(64, [F, S], 3, 1, 32, 1, 64, 32, 131, 5, **moe(5, 2, 32)),
        dtype="bfloat16", quant=(4, 32, "mxfp4"), tokens=12,
        overrides={"model.embed_tokens": BYTES,
                   **{f"model.layers.{i}.router.proj": {"group_size": 64, "bits": 8} for i in range(2)}}),

    "gemma4-small-f16": dict(
        config=gemma4(32, [S, F, F, S], 3, 1, 12, None, 24, 12, 131, 6, **small(6, 2, 150)),
        layout=with_shared_projections, dtype="float16", seed=1, tokens=16),
    "gemma4-small-q4": dict(
        config=wrapped(gemma4(32, [S, F, S, F], 3, 1, 32, None, 64, 32, 67, 5, **small(32, 2, 67)), 67),
        dtype="bfloat16", quant=(4, 32), tokens=12,
        overrides={"language_model.model.embed_tokens_per_layer": {"group_size": 128, "bits": 6}}),
    "gemma4-small-q8": dict(
        config=gemma4(32, [S, F, S], 3, 1, 32, None, 64, 32, 67, 5, **small(32, 1, 67)),
        dtype="float16", quant=(8, 32), tokens=12),
}
