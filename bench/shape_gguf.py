#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file with the shapes of a config.json and random weights, so that llama.cpp can be timed on them.

    python3 bench/shape_gguf.py CONFIG.json TYPE OUT.gguf

TYPE is q4_0, q4_1 or q4_k, and holds for every matrix (what llama-quantize calls --pure). The file has no vocabulary:
llama-bench feeds random token numbers. Every block is made of random codes and scales that give weights of about the
size of a trained model's; the time of a matrix product does not depend on them. Needs nothing but Python."""

import json
import os
import random
import struct
import sys
from pathlib import Path

ALIGNMENT = 32
F32 = 0
# name: (ggml type number, weights a block, bytes of fixed floats, bytes in all, general.file_type)
TYPES = {
    "q4_0": (2, 32, struct.pack("<e", 0.005), 18, 2),
    "q4_1": (3, 32, struct.pack("<ee", 0.005, -0.0375), 20, 3),
    "q4_k": (12, 256, struct.pack("<ee", 0.005 / 32, 0.0375 / 32), 144, 14),
}
POOL_BLOCKS = 1 << 16  # random blocks; matrices are long stretches of them


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def metadata(pairs):
    out = b""
    for key, value in pairs.items():
        out += string(key)
        if isinstance(value, str):
            out += struct.pack("<I", 8) + string(value)
        elif isinstance(value, float):
            out += struct.pack("<If", 6, value)
        else:
            out += struct.pack("<II", 4, value)
    return out


def shapes(c, head_dim):
    """(name, columns, rows) of each tensor; vectors have rows 0."""
    hidden, ffn = c["hidden_size"], c["intermediate_size"]
    q, kv = c["num_attention_heads"] * head_dim, c["num_key_value_heads"] * head_dim
    yield "token_embd.weight", hidden, c["vocab_size"]
    yield "output_norm.weight", hidden, 0
    if not c["tie_word_embeddings"]:
        yield "output.weight", hidden, c["vocab_size"]
    for i in range(c["num_hidden_layers"]):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", hidden, 0
        yield p + "ffn_norm.weight", hidden, 0
        yield p + "attn_q.weight", hidden, q
        yield p + "attn_k.weight", hidden, kv
        yield p + "attn_v.weight", hidden, kv
        yield p + "attn_output.weight", q, hidden
        yield p + "ffn_gate.weight", hidden, ffn
        yield p + "ffn_up.weight", hidden, ffn
        yield p + "ffn_down.weight", ffn, hidden
        if c["model_type"] == "qwen3":
            yield p + "attn_q_norm.weight", head_dim, 0
            yield p + "attn_k_norm.weight", head_dim, 0


def write(config_path, type_name, out_path):
    c = json.loads(Path(config_path).read_text())
    arch = c["model_type"]
    if arch not in ("llama", "qwen3"):
        raise SystemExit(f"{config_path}: model_type {arch}, expected llama or qwen3")
    number, per_block, floats, block_bytes, file_type = TYPES[type_name]
    head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    pairs = {
        "general.architecture": arch, "general.name": Path(config_path).stem, "general.file_type": file_type,
        f"{arch}.block_count": c["num_hidden_layers"], f"{arch}.context_length": c["max_position_embeddings"],
        f"{arch}.embedding_length": c["hidden_size"], f"{arch}.feed_forward_length": c["intermediate_size"],
        f"{arch}.attention.head_count": c["num_attention_heads"],
        f"{arch}.attention.head_count_kv": c["num_key_value_heads"],
        f"{arch}.attention.key_length": head_dim, f"{arch}.attention.value_length": head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": float(c["rms_norm_eps"]),
        f"{arch}.rope.freq_base": float(c["rope_theta"]), f"{arch}.rope.dimension_count": head_dim,
        f"{arch}.vocab_size": c["vocab_size"], "tokenizer.ggml.model": "none",
    }
    infos, sizes, offset = b"", [], 0
    tensors = list(shapes(c, head_dim))
    for name, columns, rows in tensors:
        dims = [columns, rows] if rows else [columns]
        if rows and columns % per_block:
            raise SystemExit(f"{name} has {columns} columns, no multiple of {type_name}'s block of {per_block}")
        size = columns // per_block * rows * block_bytes if rows else 4 * columns
        infos += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number if rows else F32, offset)
        sizes.append(size)
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + metadata(pairs) + infos

    rng = random.Random(1)
    rest = block_bytes - len(floats)
    pool = b"".join(floats + rng.randbytes(rest) for _ in range(POOL_BLOCKS))
    temporary = f"{out_path}.tmp"
    with open(temporary, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT))
        for (_, columns, rows), size in zip(tensors, sizes):
            if not rows:
                f.write(struct.pack("<f", 1.0) * columns)
            left = size if rows else 0
            while left:
                start = rng.randrange(POOL_BLOCKS) * block_bytes
                piece = pool[start:start + left]
                f.write(piece)
                left -= len(piece)
            f.write(bytes(-size % ALIGNMENT))
    os.replace(temporary, out_path)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in TYPES:
        raise SystemExit(__doc__)
    write(*sys.argv[1:])
