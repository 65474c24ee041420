# SPDX-License-Identifier: Apache-2.0
"""qwen3_moe, qwen3_next, qwen3_5 and qwen3_5_moe: experts, a shared expert, gated delta nets, gated attention.

Layers of every kind and order (3:1, 1:1, attention first by layer_types), several ratios of heads, sequences longer than
the convolution, 8-bit router gates in 4-bit models, and the checkpoints as they are on Hugging Face."""

import math

import mlx.core as mx
import numpy as np

from numpy_lm import Model, attend, choose, register, rope_table, sigmoid, silu, softmax


@register("qwen3_moe")
class QwenMoe(Model):
    """The dense model with experts in some layers."""

    def rope(self, x, positions):
        """The first 2 * len(inv_freq) columns of each head turn, in pairs (i, i + half)."""
        half = len(self.inv_freq)
        angle = positions[:, None, None] * self.inv_freq
        first, second = x[..., :half], x[..., half:2 * half]
        turned = [first * np.cos(angle) - second * np.sin(angle), first * np.sin(angle) + second * np.cos(angle)]
        return np.concatenate([*turned, x[..., 2 * half:]], axis=-1)

    def attention(self, x, layer):
        c, n, p = self.config, len(x), f"model.layers.{layer}.self_attn."
        q = self.linear(x, p + "q_proj").reshape(n, self.n_heads, -1)
        gate = q[..., self.head_dim:]
        k = self.linear(x, p + "k_proj").reshape(n, self.n_kv_heads, self.head_dim)
        v = self.linear(x, p + "v_proj").reshape(n, self.n_kv_heads, self.head_dim)
        q, k = self.norm(q[..., :self.head_dim], p + "q_norm"), self.norm(k, p + "k_norm")
        q, k = self.rope(q, np.arange(n)), self.rope(k, np.arange(n))
        y = attend(q, k, v, 1 / math.sqrt(self.head_dim))
        if c["model_type"] != "qwen3_moe":
            y = y * sigmoid(gate.reshape(n, -1))
        return self.linear(y, p + "o_proj")

    def mlp(self, x, layer):
        c, p = self.config, f"model.layers.{layer}.mlp."
        if p + "gate.weight" not in self.tensors:
            return super().mlp(x, layer)
        logits = self.linear(x, p + "gate")
        chosen = choose(logits, c["num_experts_per_tok"])
        weights = np.take_along_axis(softmax(logits), chosen, axis=-1)
        if c.get("norm_topk_prob", c["model_type"].startswith("qwen3_5")):
            weights = weights / weights.sum(axis=-1, keepdims=True)
        gate, up = (self.experts(x, chosen, p + f"switch_mlp.{name}_proj") for name in ("gate", "up"))
        y = self.experts(silu(gate) * up, chosen, p + "switch_mlp.down_proj")
        y = np.einsum("ts,tsn->tn", weights, y)
        if p + "shared_expert_gate.weight" not in self.tensors:
            return y
        s = p + "shared_expert."
        shared = silu(self.linear(x, s + "gate_proj")) * self.linear(x, s + "up_proj")
        return y + sigmoid(self.linear(x, p + "shared_expert_gate")) * self.linear(shared, s + "down_proj")


@register("qwen3_next", "qwen3_5", "qwen3_5_moe")
class QwenHybrid(QwenMoe):
    def setup(self, c):
        rope = c.get("rope_parameters") or c
        dims = int(c["head_dim"] * rope["partial_rotary_factor"])
        super().setup({**c, "rope_theta": rope["rope_theta"]})
        self.inv_freq, _ = rope_table({**c, "rope_theta": rope["rope_theta"]}, dims)

    def attention(self, x, layer):
        p = f"model.layers.{layer}.linear_attn."
        return self.delta_net(x, p) if p + "A_log" in self.tensors else super().attention(x, layer)

    def projections(self, x, p):
        """[q | k | v], the output's gate z, and b and a; qwen3_next keeps what belongs to a key head side by side."""
        if p + "in_proj_qkv.weight" in self.tensors:
            return [self.linear(x, p + "in_proj_" + name) for name in ("qkv", "z", "b", "a")]
        c, n = self.config, len(x)
        keys, dim = c["linear_num_key_heads"], c["linear_key_head_dim"]
        own = c["linear_num_value_heads"] // keys * c["linear_value_head_dim"]
        qkvz = self.linear(x, p + "in_proj_qkvz").reshape(n, keys, -1)
        q, k, v, z = np.split(qkvz, [dim, 2 * dim, 2 * dim + own], axis=-1)
        b, a = np.split(self.linear(x, p + "in_proj_ba").reshape(n, keys, -1), 2, axis=-1)
        flat = [t.reshape(n, -1) for t in (q, k, v, z, b, a)]
        return [np.concatenate(flat[:3], axis=-1), *flat[3:]]

    def delta_net(self, x, p):
        c, n, t = self.config, len(x), self.tensors
        n_keys, key_dim = c["linear_num_key_heads"], c["linear_key_head_dim"]
        n_values, value_dim = c["linear_num_value_heads"], c["linear_value_head_dim"]
        qkv, z, b, a = self.projections(x, p)
        taps = t[p + "conv1d.weight"][..., 0].astype(np.float64)  # [channels, kernel]
        padded = np.concatenate([np.zeros((taps.shape[1] - 1, qkv.shape[1])), qkv])
        qkv = silu(sum(padded[j:j + n] * taps[:, j] for j in range(taps.shape[1])))
        q, k, v = np.split(qkv, [n_keys * key_dim, 2 * n_keys * key_dim], axis=-1)
        q, k = (u.reshape(n, n_keys, key_dim) for u in (q, k))
        q, k = (u / np.sqrt((u * u).sum(axis=-1, keepdims=True) + 1e-6) for u in (q, k))
        q, k = (np.repeat(u, n_values // n_keys, axis=1) for u in (q / math.sqrt(key_dim), k))
        v = v.reshape(n, n_values, value_dim)
        rate = np.exp(t[p + "A_log"].astype(np.float64))
        decay = np.exp(-rate * np.log1p(np.exp(a + t[p + "dt_bias"])))
        beta = sigmoid(b)
        state, y = np.zeros((n_values, value_dim, key_dim)), np.empty_like(v)
        for i in range(n):
            state = state * decay[i][:, None, None]
            error = beta[i][:, None] * (v[i] - np.einsum("hvk,hk->hv", state, k[i]))
            state = state + error[..., None] * k[i][:, None, :]
            y[i] = np.einsum("hvk,hk->hv", state, q[i])
        y = self.norm(y, p + "norm").reshape(n, -1)
        return self.linear(y * silu(z), p + "out_proj")


def random_weight(rng, path, shape, config):
    x = rng.standard_normal(shape)
    if path.endswith("A_log"):
        return np.log(rng.uniform(0.5, 4, shape))
    if path.endswith("dt_bias"):
        return -2 + 0.7 * x  # decays between about 0.2 and 1
    if "conv1d" in path:
        return 1.2 * x / np.sqrt(shape[1])
    if path.endswith("mlp.gate.weight"):
        return 2 * x / np.sqrt(shape[-1])
    if path.endswith("norm.weight"):
        # in steps of 1/64, so that Hugging Face's form, less one, is exact in 16 bits as well
        return 1 + np.round(64 * 0.25 * np.clip(x, -3, 3)) / 64
    return None


def base(model_type, hidden, layers, heads, kv_heads, head_dim, vocab, **more):
    return {
        "model_type": model_type, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocab, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 4096, "tie_word_embeddings": False, **more,
    }


def experts(n, chosen, width, shared=None, **more):
    fields = {"num_experts": n, "num_experts_per_tok": chosen, "moe_intermediate_size": width, **more}
    return fields if shared is None else {**fields, "shared_expert_intermediate_size": shared}


def delta(n_keys, key_dim, n_values, value_dim, kernel):
    return {
        "linear_num_key_heads": n_keys, "linear_key_head_dim": key_dim, "linear_num_value_heads": n_values,
        "linear_value_head_dim": value_dim, "linear_conv_kernel_dim": kernel,
    }


def nested(text, **more):
    """A config as the vision-language checkpoints have it."""
    kind = text["model_type"]
    name = {"qwen3_5": "Qwen3_5", "qwen3_5_moe": "Qwen3_5Moe"}[kind]
    return {"model_type": kind, "architectures": [name + "ForConditionalGeneration"],
            "text_config": {**text, "model_type": kind + "_text"}, **more}


def rope(theta=10000000.0, partial=0.25):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": partial,
                                "mrope_section": [11, 11, 10], "mrope_interleaved": True}}


PLUS_ONE = (".input_layernorm.weight", ".post_attention_layernorm.weight", "model.norm.weight", ".q_norm.weight",
            ".k_norm.weight")


def hugging_face(tensors, config):
    """Back to the form in which the checkpoint was published, with weights that nothing asks for."""
    out = {}
    is_qwen3_5 = "text_config" in config
    for name, w in tensors.items():
        if name.endswith(PLUS_ONE):
            w = w - 1
        if "conv1d" in name:
            w = mx.contiguous(w.moveaxis(1, 2))
        if is_qwen3_5:
            name = name.replace("language_model.model.", "model.language_model.")
            name = name.replace("language_model.lm_head", "lm_head")
        if "switch_mlp" not in name:
            out[name] = w
        elif not is_qwen3_5:
            for e in range(w.shape[0]):
                out[name.replace("switch_mlp", f"experts.{e}")] = mx.contiguous(w[e])
        elif "down_proj" in name:
            out[name.replace("switch_mlp.down_proj.weight", "experts.down_proj")] = w
        elif "gate_proj" in name:
            up = tensors[name_of_up(name)]
            out[name.replace("switch_mlp.gate_proj.weight", "experts.gate_up_proj")] = mx.concatenate([w, up], axis=-2)
    for name in ("mtp.fc.weight", "mtp.layers.0.input_layernorm.weight", "mtp.norm.weight"):
        out[name] = mx.zeros((3,), mx.bfloat16)
    if is_qwen3_5:
        out["model.visual.patch_embed.proj.weight"] = mx.zeros((2, 3), mx.bfloat16)
    return out, {**config, "vision_config": {"depth": 1}} if is_qwen3_5 else config


def name_of_up(name):
    return name.replace("model.language_model.", "language_model.model.").replace("gate_proj", "up_proj")


GATE8, GATE8_32 = {"group_size": 64, "bits": 8}, {"group_size": 32, "bits": 8}

SPECS = {
    "qwen3_moe-bf16": dict(
        config=base("qwen3_moe", 40, 3, 3, 1, 16, 199, rope_theta=1000000.0, intermediate_size=56,
                    **experts(6, 3, 24, norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[1])),
        dtype="bfloat16", tokens=24),
    "qwen3_moe-q4-g64-f16": dict(
        config=base("qwen3_moe", 64, 2, 5, 1, 64, 203, rope_theta=1000000.0, intermediate_size=64,
                    tie_word_embeddings=True,
                    **experts(6, 3, 64, norm_topk_prob=True, decoder_sparse_step=2, mlp_only_layers=[])),
        dtype="float16", quant=(4, 64), overrides={"model.layers.1.mlp.gate": GATE8}, tokens=24),
    "qwen3_moe-mxfp4-bf16": dict(
        config=base("qwen3_moe", 96, 2, 3, 3, 32, 197, rope_theta=500000.0, intermediate_size=64,
                    **experts(9, 2, 32, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])),
        dtype="bfloat16", quant=(4, 32, "mxfp4"), tokens=20,
        overrides={"model.layers.0.mlp.gate": GATE8_32, "model.layers.1.mlp.gate": GATE8_32}),
    "qwen3_next-bf16": dict(
        config=base("qwen3_next", 40, 4, 3, 1, 16, 193, rope_theta=10000.0, partial_rotary_factor=0.5,
                    intermediate_size=56, **delta(3, 8, 9, 12, 4),
                    **experts(6, 3, 16, 24, decoder_sparse_step=2, mlp_only_layers=[3])),
        dtype="bfloat16", tokens=24),
    "qwen3_next-q4-g64-f16": dict(
        config=base("qwen3_next", 64, 2, 2, 2, 32, 211, rope_theta=5000000.0, partial_rotary_factor=0.25,
                    intermediate_size=64, full_attention_interval=2, tie_word_embeddings=True,
                    **delta(1, 24, 5, 64, 3),
                    **experts(6, 3, 64, 64, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])),
        dtype="float16", quant=(4, 64), tokens=24,
        overrides={f"model.layers.{i}.mlp.{g}": GATE8 for i in (0, 1) for g in ("gate", "shared_expert_gate")}),
    "qwen3_next-nvfp4-bf16": dict(
        config=base("qwen3_next", 96, 2, 3, 1, 32, 201, rope_theta=10000.0, partial_rotary_factor=0.25,
                    intermediate_size=64, full_attention_interval=2, **delta(2, 16, 2, 48, 4),
                    **experts(5, 2, 32, 48, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])),
        dtype="bfloat16", quant=(4, 16, "nvfp4"), tokens=20,
        overrides={f"model.layers.{i}.mlp.gate": GATE8_32 for i in (0, 1)}),
    "qwen3_next-hf": dict(
        config=base("qwen3_next", 24, 2, 3, 1, 8, 101, rope_theta=10000.0, partial_rotary_factor=0.5,
                    intermediate_size=32, full_attention_interval=2, **delta(1, 8, 3, 8, 4),
                    **experts(4, 2, 16, 24, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])),
        dtype="bfloat16", tokens=16, layout=hugging_face),
    "qwen3_5-f16": dict(
        config=nested(base("qwen3_5", 40, 4, 3, 1, 16, 97, intermediate_size=56, full_attention_interval=4,
                           layer_types=["linear_attention"] * 3 + ["full_attention"], **delta(3, 8, 3, 16, 4),
                           **rope(100000.0, 0.25))),
        dtype="float16", tokens=75),
    "qwen3_5-q4-g64-bf16": dict(
        config=nested(base("qwen3_5", 64, 2, 9, 3, 64, 1003, intermediate_size=128, full_attention_interval=2,
                           tie_word_embeddings=True, attention_bias=True, **delta(2, 32, 6, 32, 4), **rope())),
        dtype="bfloat16", quant=(4, 64), tokens=12),
    "qwen3_5-mxfp8-bf16": dict(
        config=nested(base("qwen3_5", 160, 2, 5, 1, 32, 103, intermediate_size=32, full_attention_interval=2,
                           **delta(1, 16, 3, 32, 2), **rope(partial=0.5))),
        dtype="bfloat16", norm_dtype="float32", quant=(8, 32, "mxfp8"), tokens=16),
    "qwen3_5-hf": dict(
        config=nested(base("qwen3_5", 24, 2, 3, 1, 8, 101, intermediate_size=32, full_attention_interval=2,
                           tie_word_embeddings=True, **delta(1, 8, 3, 8, 4), **rope(partial=0.5))),
        dtype="bfloat16", tokens=16, layout=hugging_face),
    "qwen3_5_moe-f32": dict(
        config=nested(base("qwen3_5_moe", 40, 2, 3, 1, 16, 181, full_attention_interval=2,
                           **delta(2, 8, 4, 12, 3), **experts(6, 3, 16, 24), **rope(partial=0.25))),
        dtype="float32", tokens=20),
    "qwen3_5_moe-q4-g64-bf16": dict(
        config=nested(base("qwen3_5_moe", 64, 4, 2, 1, 64, 211, full_attention_interval=4,
                           **delta(2, 16, 2, 32, 4), **experts(6, 3, 64, 64), **rope())),
        dtype="bfloat16", quant=(4, 64), tokens=24, seed=2,
        overrides={f"language_model.model.layers.{i}.mlp.{g}": GATE8 for i in range(4)
                   for g in ("gate", "shared_expert_gate")}),
    "qwen3_5_moe-q3-g32-f16": dict(
        config=nested(base("qwen3_5_moe", 96, 2, 3, 1, 32, 199, full_attention_interval=2, tie_word_embeddings=True,
                           **delta(1, 32, 3, 32, 4), **experts(5, 1, 32, 32), **rope())),
        dtype="float16", quant=(3, 32), tokens=20),
    "qwen3_5_moe-hf": dict(
        config=nested(base("qwen3_5_moe", 24, 2, 3, 1, 8, 101, full_attention_interval=2, **delta(1, 8, 3, 8, 4),
                           **experts(4, 2, 16, 24), **rope(partial=0.5))),
        dtype="bfloat16", tokens=16, layout=hugging_face),
}
