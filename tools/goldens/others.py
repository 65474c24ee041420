# SPDX-License-Identifier: Apache-2.0
"""mistral, smollm3, phi3 and gpt_oss: layers without rope, fused and partly rotated heads, sinks, mxfp4 experts."""

import mlx.core as mx
import numpy as np

from numpy_lm import Model, attend, choose, register, rope_table, sigmoid, silu, softmax


def base(model_type, hidden, layers, heads, kv_heads, ffn, vocab, **more):
    return {
        "model_type": model_type, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": ffn, "vocab_size": vocab, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "tie_word_embeddings": False, **more,
    }


def gpt_oss(hidden, layers, heads, kv_heads, ffn, vocab, experts, chosen, **more):
    return base("gpt_oss", hidden, layers, heads, kv_heads, ffn, vocab, num_local_experts=experts,
                num_experts_per_tok=chosen, rope_theta=150000, attention_bias=True, swiglu_limit=7.0, **more)


LONG = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0, 1.5, 2.25, 4.0]}

SPECS = {
    "mistral-bf16": dict(
        config=base("mistral", 48, 2, 3, 1, 72, 223, head_dim=24, sliding_window=None), dtype="bfloat16", tokens=40),
    "mistral-q4-g64-bf16": dict(
        config=base("mistral", 192, 1, 3, 1, 64, 201, head_dim=64), dtype="bfloat16", quant=(4, 64), tokens=24),
    "mistral-mxfp8": dict(
        config=base("mistral", 96, 1, 3, 3, 64, 203), dtype="float16", quant=(8, 32, "mxfp8"), tokens=24),
    "smollm3-f16-nope": dict(
        config=base("smollm3", 40, 3, 5, 5, 56, 211, tie_word_embeddings=True, no_rope_layers=[1, 0, 1]),
        dtype="float16", tokens=40),
    "smollm3-q4-g32-bf16-interval": dict(
        config=base("smollm3", 96, 4, 3, 1, 32, 199, tie_word_embeddings=True, no_rope_layer_interval=2),
        dtype="bfloat16", quant=(4, 32), tokens=24),
    "smollm3-nvfp4": dict(
        config=base("smollm3", 96, 2, 3, 1, 64, 197, tie_word_embeddings=True), dtype="bfloat16",
        quant=(4, 16, "nvfp4"), tokens=24),
    "phi3-bf16-longrope": dict(
        config=base("phi3", 48, 2, 3, 1, 40, 209, rope_scaling=LONG, partial_rotary_factor=0.5,
                    original_max_position_embeddings=64, max_position_embeddings=512), dtype="bfloat16", tokens=48),
    "phi3-q4-g64-f16": dict(
        config=base("phi3", 192, 1, 3, 3, 64, 193), dtype="float16", quant=(4, 64), tokens=24),
    "phi3-mxfp4": dict(
        config=base("phi3", 96, 2, 3, 1, 32, 211, tie_word_embeddings=True), dtype="float32", quant=(4, 32, "mxfp4"),
        tokens=24),
    "gpt_oss-bf16": dict(
        config=gpt_oss(40, 2, 5, 1, 24, 211, 6, 3, head_dim=16, sliding_window=9, layer_types=[
            "sliding_attention", "full_attention"]), dtype="bfloat16", tokens=40),
    "gpt_oss-q4-g32-yarn": dict(
        config=gpt_oss(96, 2, 3, 1, 64, 203, 5, 2, head_dim=32, sliding_window=8, rope_scaling={
            "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
            "original_max_position_embeddings": 64}),
        dtype="bfloat16", quant=(4, 32), tokens=40),
    "gpt_oss-mxfp4": dict(
        config=gpt_oss(96, 2, 3, 3, 32, 199, 6, 3, head_dim=32, sliding_window=128),
        dtype="bfloat16", quant=(4, 32, "mxfp4"), tokens=24,
        overrides={f"model.layers.{i}.{m}": {"group_size": 32, "bits": 8} for i in range(2) for m in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.router")}),
}


def original_gpt_oss(tensors, config):
    """OpenAI's layout: gate and up rows by turns in one tensor, codes as bytes in blocks of 32 columns."""
    out = {}
    for name, t in tensors.items():
        if ".experts." not in name:
            out[name] = t
        elif "gate_proj" in name:
            both = mx.stack([t, tensors[name.replace("gate_proj", "up_proj")]], axis=2)
            out[name.replace("gate_proj", "gate_up_proj")] = both.reshape(t.shape[0], -1, *t.shape[2:])
        elif "down_proj" in name:
            out[name] = t
    suffixes = {".weight": "_blocks", ".scales": "_scales", ".bias": "_bias"}
    for name in [name for name in out if ".experts." in name]:
        t, (stem, suffix) = out.pop(name), (name[:name.rindex(".")], name[name.rindex("."):])
        if suffix == ".weight":
            t = t.view(mx.uint8).reshape(*t.shape[:-1], -1, 16)
        out[stem + suffixes[suffix]] = t
    del config["quantization"]
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": [
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
    return out, config


PLAIN = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.router"]
SPECS["gpt_oss-original"] = dict(
    config=gpt_oss(64, 2, 3, 1, 32, 197, 5, 2, head_dim=20, sliding_window=7),
    dtype="bfloat16", quant=(4, 32, "mxfp4"), tokens=24, layout=original_gpt_oss,
    overrides={"model.embed_tokens": False, "lm_head": False, **{f"model.layers.{i}.{m}": False for i in range(2) for m in PLAIN}})


def random_weight(rng, path, shape, config):
    if path.endswith("sinks"):
        return rng.standard_normal(shape)
    if path.endswith("router.weight"):
        return 2 * rng.standard_normal(shape) / np.sqrt(shape[-1])
    return None


@register("mistral")
class Mistral(Model):
    pass


@register("smollm3")
class SmolLM3(Model):
    def rope(self, x, positions):
        c = self.config
        interval = c.get("no_rope_layer_interval", 4)
        rotates = c["no_rope_layers"][self.layer] if "no_rope_layers" in c else (self.layer + 1) % interval != 0
        return super().rope(x, positions) if rotates else x

    def attention(self, x, layer):
        self.layer = layer
        return super().attention(x, layer)


@register("phi3")
class Phi3(Model):
    def setup(self, c):
        self.rotary = int(c["hidden_size"] // c["num_attention_heads"] * c.get("partial_rotary_factor", 1.0))
        if c.get("rope_scaling"):
            c["rope_scaling"].setdefault("original_max_position_embeddings", c["original_max_position_embeddings"])
        super().setup({**c, "rope_scaling": None})
        self.inv_freq, self.rope_scale = rope_table(c, self.rotary)

    def rotate(self, x, positions):
        whole, self.head_dim = self.head_dim, self.rotary
        y = np.concatenate([self.rope(x[..., :self.rotary], positions), x[..., self.rotary:]], axis=-1)
        self.head_dim = whole
        return y

    def attention(self, x, layer):
        n, d, q_cols, kv_cols = len(x), self.head_dim, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        p = f"model.layers.{layer}.self_attn."
        q, k, v = np.split(self.linear(x, p + "qkv_proj"), [q_cols, q_cols + kv_cols], axis=-1)
        positions = np.arange(n)
        q, k = (self.rotate(a.reshape(n, -1, d), positions) for a in (q, k))
        return self.linear(attend(q, k, v.reshape(n, -1, d), d ** -0.5), p + "o_proj")

    def mlp(self, x, layer):
        p = f"model.layers.{layer}.mlp."
        gate, up = np.split(self.linear(x, p + "gate_up_proj"), 2, axis=-1)
        return self.linear(silu(gate) * up, p + "down_proj")


@register("gpt_oss")
class GptOss(Model):
    def attention(self, x, layer):
        n, d, p = len(x), self.head_dim, f"model.layers.{layer}.self_attn."
        q, k, v = (self.linear(x, p + name).reshape(n, -1, d) for name in ("q_proj", "k_proj", "v_proj"))
        positions = np.arange(n)
        kinds = self.config.get("layer_types")
        sliding = kinds[layer] == "sliding_attention" if kinds else layer % 2 == 0
        window = self.config["sliding_window"] if sliding else None
        y = attend(self.rope(q, positions), self.rope(k, positions), v, d ** -0.5, window,
                   self.tensors[p + "sinks"].astype(np.float64))
        return self.linear(y, p + "o_proj")

    def mlp(self, x, layer):
        p = f"model.layers.{layer}.mlp."
        logits = self.linear(x, p + "router")
        chosen = choose(logits, self.config["num_experts_per_tok"])
        weights = softmax(np.take_along_axis(logits, chosen, axis=-1))
        gate, up = (self.experts(x, chosen, p + f"experts.{name}_proj") for name in ("gate", "up"))
        gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
        y = self.experts(gate * sigmoid(1.702 * gate) * (up + 1), chosen, p + "experts.down_proj")
        return np.einsum("ts,tsd->td", weights, y)

    def forward(self, tokens):
        self.config["tie_word_embeddings"] = False
        return super().forward(tokens)
