# SPDX-License-Identifier: Apache-2.0
"""llama, qwen2 and qwen3: every bits and group size of affine, plain types, rope variants, sliding windows, sharding."""


def base(model_type, hidden, layers, heads, kv_heads, ffn, vocab, **more):
    architecture = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[model_type] + "ForCausalLM"
    return {
        "model_type": model_type, "architectures": [architecture], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": ffn, "vocab_size": vocab,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 4096, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, **more,
    }


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
    "llama-q4-g64-bf16-wide": dict(
        config=base("llama", 576, 1, 9, 3, 64, 1003, tie_word_embeddings=True), dtype="bfloat16", quant=(4, 64),
        tokens=12),
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
