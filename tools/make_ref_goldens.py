#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/ref/golden.safetensors: what mlx and mlx-lm say of the operations that src/ref/ defines, on the CPU
in fp32: quantized weights whose codes and scale bytes go through all of their values, activations, sinks, routing, and a
gated delta net with its states. For maintainers; needs mlx and mlx-lm.

  tools/make_ref_goldens.py [--out tests/data/ref]
"""
import argparse, pathlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.activations import swiglu_oai
from mlx_lm.models.gated_delta import compute_g, gated_delta_ops, normalize_qk

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATS = [("affine", b, g) for b in (2, 3, 4, 5, 6, 8) for g in (32, 64, 128)]
FORMATS += [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)]


def weights(rng):
    """NaN codes of e4m3 are left out: mlx takes them for 480."""
    parts = {}
    for mode, bits, group in FORMATS:
        n, k = (2, 128) if mode == "affine" else (16, 256)
        codes = rng.integers(0, 256, (n, k * bits // 8), dtype=np.uint8)
        shape, biases = (n, k // group), None
        name = f"{mode}.{bits}.{group}"
        if mode == "affine":
            scales = mx.array(rng.normal(size=shape).astype(np.float32)).astype(mx.bfloat16)
            biases = parts[name + ".biases"] = mx.array(rng.normal(size=shape).astype(np.float32)).astype(mx.bfloat16)
            parts[name + ".scales"] = scales
            # mlx dequantizes in the type of the scales: widened, which is exact, they round nothing
            scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        else:
            codes[0] = np.resize(np.arange(256), codes.shape[1])
            raw = np.arange(n * k // group)
            raw = raw % 256 if mode == "nvfp4" else 107 + raw % 31
            if mode == "mxfp8":
                codes[codes & 0x7F == 0x7F] = 0x7E
            if mode == "nvfp4":
                raw[raw & 0x7F == 0x7F] = 0x7E
            scales = parts[name + ".scales"] = mx.array(raw.astype(np.uint8).reshape(shape))
        words = parts[name + ".codes"] = mx.array(codes.view(np.uint32))
        parts[name] = mx.dequantize(words, scales, biases, group_size=group, bits=bits, mode=mode, dtype=mx.float32)
    return parts


def operations(rng):
    def normal(*shape):
        return mx.array(rng.normal(size=shape).astype(np.float32))

    parts = {}
    x, z = 4 * normal(3, 40), 4 * normal(3, 40)
    parts |= {"act.x": x, "act.z": z, "act.silu": nn.silu(x) * z, "act.gelu": nn.gelu_approx(x) * z}
    parts |= {"act.sigmoid": mx.sigmoid(x) * z, "act.swiglu_oai": swiglu_oai(x, z), "act.none": x * z}
    # attention with sinks: 5 tokens, 4 query heads on 2, head_dim 16
    q, k, v, sinks = normal(1, 4, 5, 16), normal(1, 2, 5, 16), normal(1, 2, 5, 16), normal(4)
    y = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask="causal", sinks=sinks)
    parts |= {"attention.q": q.swapaxes(1, 2).reshape(5, 64), "attention.k": k[0], "attention.v": v[0]}
    parts |= {"attention.sinks": sinks, "attention.y": y.swapaxes(1, 2).reshape(5, 64)}
    # routing as qwen3_next does it (and gpt_oss: the softmax of the chosen logits is the normalized one)
    logits = normal(6, 9)
    gates = mx.softmax(logits, axis=-1, precise=True)
    order = mx.argsort(-logits, axis=-1)[:, :3]
    scores = mx.take_along_axis(gates, order, axis=-1)
    parts |= {"route.x": logits, "route.all": mx.concatenate([order.astype(mx.float32), scores], -1)}
    chosen = mx.concatenate([order.astype(mx.float32), scores / scores.sum(-1, keepdims=True)], -1)
    parts |= {"route.chosen": chosen}
    # a gated delta net: 7 tokens, 2 key heads of 32, 4 value heads of 24; convolution of 3 channels
    heads, dk, dv, n = 4, 32, 24, 7
    a, b, a_log, dt = normal(n, heads), normal(n, heads), normal(heads), normal(heads)
    g, beta = compute_g(a_log, a, dt), mx.sigmoid(b)
    parts |= {"gates.a": a, "gates.b": b, "gates.a_log": a_log, "gates.dt": dt}
    parts |= {"gates.y": mx.concatenate([g, beta], -1)}
    q, k, v, state = normal(1, n, 2, dk), normal(1, n, 2, dk), normal(1, n, heads, dv), normal(1, heads, dv, dk)
    qn, kn = normalize_qk(q, k, inv_scale=dk**-0.5, eps=1e-6)
    y, after = gated_delta_ops(qn, kn, v, g[None], beta[None], state)
    parts |= {"delta.x": mx.concatenate([t.reshape(n, -1) for t in (q, k, v)], -1), "delta.y": y.reshape(n, -1)}
    parts |= {"delta.before": state.reshape(-1), "delta.after": after.reshape(-1)}
    conv = nn.Conv1d(3, 3, 4, groups=3, bias=False)
    conv.weight = normal(3, 4, 1)
    u, past = normal(1, n, 3), normal(1, 3, 3)
    whole = mx.concatenate([past, u], axis=1)
    parts |= {"conv.w": conv.weight.reshape(3, 4), "conv.x": u[0], "conv.before": past.reshape(-1)}
    parts |= {"conv.y": nn.silu(conv(whole))[0], "conv.after": whole[0, -3:].reshape(-1)}
    return parts


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/data/ref")
    a = p.parse_args()
    mx.set_default_device(mx.cpu)
    a.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    parts = weights(rng) | operations(rng)
    mx.save_safetensors(str(a.out / "golden.safetensors"), parts, metadata={"format": "mlx"})


main()
