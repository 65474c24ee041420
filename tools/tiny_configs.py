# SPDX-License-Identifier: Apache-2.0
"""config.json of the models under models/tiny, in the layout of the published checkpoints of their families, and of the
smaller untrained ones under tests/data/hf. Every feature of the family is there, scaled down."""

import copy


def pattern(layers, interval, most, last):
    return [last if (i + 1) % interval == 0 else most for i in range(layers)]


def qwen_vision(hidden, model_type):
    return {"model_type": model_type, "depth": 1, "hidden_size": 16, "hidden_act": "gelu_pytorch_tanh", "intermediate_size": 32,
            "num_heads": 2, "in_channels": 3, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2,
            "out_hidden_size": hidden, "num_position_embeddings": 16, "deepstack_visual_indexes": []}


def qwen3_5(text, tied):
    """The wrapper of Qwen3.5: text_config and a vision tower."""
    moe = "num_experts" in text
    kind = "qwen3_5_moe" if moe else "qwen3_5"
    layers = text["num_hidden_layers"]
    text = {"attention_bias": False, "attention_dropout": 0.0, "attn_output_gate": True, "dtype": "bfloat16",
            "full_attention_interval": 4, "hidden_act": "silu", "initializer_range": 0.02,
            "layer_types": pattern(layers, text.get("full_attention_interval", 4), "linear_attention", "full_attention"),
            "linear_conv_kernel_dim": 4, "mamba_ssm_dtype": "float32", "max_position_embeddings": 4096,
            "mlp_only_layers": [], "model_type": kind + "_text", "mtp_num_hidden_layers": 0, "rms_norm_eps": 1e-6,
            "rope_parameters": {"mrope_interleaved": True, "mrope_section": [3, 3, 2], "rope_type": "default",
                                "rope_theta": 10000000, "partial_rotary_factor": 0.25},
            "tie_word_embeddings": tied, "use_cache": True, **text}
    return {"architectures": ["Qwen3_5MoeForConditionalGeneration" if moe else "Qwen3_5ForConditionalGeneration"],
            "model_type": kind, "text_config": text, "vision_config": qwen_vision(text["hidden_size"], kind),
            "tie_word_embeddings": tied}


def qwen3_moe(text):
    return {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "attention_bias": False,
            "attention_dropout": 0.0, "decoder_sparse_step": 1, "hidden_act": "silu", "initializer_range": 0.02,
            "max_position_embeddings": 4096, "max_window_layers": 28, "mlp_only_layers": [], "norm_topk_prob": True,
            "output_router_logits": False, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000000,
            "router_aux_loss_coef": 0.0, "sliding_window": None, "tie_word_embeddings": False, "dtype": "bfloat16",
            "use_cache": True, "use_sliding_window": False, **text}


def gemma4(text, interval=6):
    layers = text["num_hidden_layers"]
    text = {"attention_bias": False, "attention_dropout": 0.0, "attention_k_eq_v": True, "bos_token_id": 2,
            "dtype": "bfloat16", "enable_moe_block": False, "eos_token_id": 1, "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size_per_layer_input": 0, "initializer_range": 0.02,
            "layer_types": pattern(layers, interval, "sliding_attention", "full_attention"),
            "max_position_embeddings": 4096, "model_type": "gemma4_text", "moe_intermediate_size": None, "num_experts": None,
            "num_kv_shared_layers": 0, "pad_token_id": 0, "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
                "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
            "tie_word_embeddings": True, "top_k_experts": None, "use_bidirectional_attention": None, "use_cache": True,
            "use_double_wide_mlp": False, "vocab_size_per_layer_input": text["vocab_size"], **text}
    vision = {"model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "patch_size": 4,
              "position_embedding_size": 16, "pooling_kernel_size": 2}
    return {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "audio_config": None,
            "dtype": "bfloat16", "text_config": text, "vision_config": vision, "tie_word_embeddings": True,
            "vocab_size": text["vocab_size"], "eos_token_id": [1, 16, 9]}


# The trained ones. Widths are multiples of 64, the group of the quantization; the rest is odd where it may be.
TRAINED = {
    # Qwen3.5-0.8B: tied, as many key heads as value heads.
    "qwen3_5": qwen3_5(dict(
        vocab_size=704, hidden_size=192, intermediate_size=320, num_hidden_layers=8, num_attention_heads=3,
        num_key_value_heads=1, head_dim=64, linear_num_key_heads=3, linear_num_value_heads=3, linear_key_head_dim=64,
        linear_value_head_dim=64), tied=True),
    # Qwen3-Coder-30B-A3B.
    "qwen3_moe": qwen3_moe(dict(
        vocab_size=704, hidden_size=192, intermediate_size=384, moe_intermediate_size=64, num_hidden_layers=4,
        num_attention_heads=6, num_key_value_heads=2, head_dim=32, num_experts=8, num_experts_per_tok=3)),
    # Qwen3.6-35B-A3B: untied, two value heads a key head, heads of other widths for keys and values.
    "qwen3_5_moe": qwen3_5(dict(
        vocab_size=704, hidden_size=192, moe_intermediate_size=64, shared_expert_intermediate_size=64, num_experts=8,
        num_experts_per_tok=3, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=48,
        router_aux_loss_coef=0.0), tied=False),
    # Gemma-4-31B: dense; the windows are shorter than a prompt.
    "gemma4": gemma4(dict(
        vocab_size=704, hidden_size=192, intermediate_size=320, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=3, num_global_key_value_heads=2, head_dim=32, global_head_dim=64, sliding_window=12)),
    # Gemma-4-26B-A4B: experts beside the dense layer.
    "gemma4_moe": gemma4(dict(
        vocab_size=704, hidden_size=192, intermediate_size=128, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, num_global_key_value_heads=1, head_dim=32, global_head_dim=64, sliding_window=16,
        enable_moe_block=True, num_experts=6, top_k_experts=2, moe_intermediate_size=64)),
}

# The untrained ones, for names and layouts: as small as can be, fp32 or bf16 as published.
ORIGINAL = {
    "qwen3_5": qwen3_5(dict(
        vocab_size=97, hidden_size=40, intermediate_size=56, num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1,
        head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=12,
        rope_parameters={"mrope_interleaved": True, "mrope_section": [2, 1, 1], "rope_type": "default",
                         "rope_theta": 10000000, "partial_rotary_factor": 0.25}), tied=True),
    "qwen3_moe": qwen3_moe(dict(
        vocab_size=97, hidden_size=40, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=5, num_key_value_heads=1, head_dim=16, num_experts=6, num_experts_per_tok=3,
        mlp_only_layers=[1], norm_topk_prob=False)),
    "qwen3_5_moe": qwen3_5(dict(
        vocab_size=97, hidden_size=40, moe_intermediate_size=24, shared_expert_intermediate_size=32, num_experts=6,
        num_experts_per_tok=3, num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1, head_dim=32,
        linear_num_key_heads=3, linear_num_value_heads=3, linear_key_head_dim=12, linear_value_head_dim=8,
        rope_parameters={"mrope_interleaved": True, "mrope_section": [2, 1, 1], "rope_type": "default",
                         "rope_theta": 10000000, "partial_rotary_factor": 0.25}, router_aux_loss_coef=0.0), tied=False),
    "gemma4": gemma4(dict(
        vocab_size=97, hidden_size=40, intermediate_size=72, num_hidden_layers=4, num_attention_heads=3,
        num_key_value_heads=3, num_global_key_value_heads=1, head_dim=16, global_head_dim=32, sliding_window=7), interval=2),
    "gemma4_moe": gemma4(dict(
        vocab_size=97, hidden_size=40, intermediate_size=32, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, num_global_key_value_heads=2, head_dim=16, global_head_dim=32, sliding_window=9,
        enable_moe_block=True, num_experts=5, top_k_experts=2, moe_intermediate_size=24), interval=4),
}


def trained(name, text):
    """The config of a trained model whose tokenizer is known (tiny_text.Text)."""
    config = copy.deepcopy(TRAINED[name])
    id_of = text.tokenizer.token_to_id
    if name == "qwen3_moe":
        config.update(bos_token_id=id_of("<|endoftext|>"), eos_token_id=id_of("<|im_end|>"))
    elif name.startswith("qwen"):
        config["text_config"]["eos_token_id"] = id_of("<|endoftext|>")
        config.update(image_token_id=id_of("<|image_pad|>"), video_token_id=id_of("<|video_pad|>"),
                      vision_start_token_id=id_of("<|vision_start|>"), vision_end_token_id=id_of("<|vision_end|>"))
    else:
        config.update(eos_token_id=[id_of("<eos>"), id_of("<turn|>"), id_of("<|tool_response>")],
                      boi_token_id=id_of("<|image>"), eoi_token_id=id_of("<image|>"), image_token_id=id_of("<|image|>"),
                      boa_token_id=id_of("<|audio>"), eoa_token_index=id_of("<audio|>"), audio_token_id=id_of("<|audio|>"),
                      video_token_id=id_of("<|video|>"))
    return config


def generation(name, text):
    """generation_config.json with the sampling values that the family publishes."""
    id_of = text.tokenizer.token_to_id
    if name.startswith("gemma"):
        return {"bos_token_id": id_of("<bos>"), "do_sample": True, "pad_token_id": id_of("<pad>"), "temperature": 1.0,
                "eos_token_id": [id_of("<eos>"), id_of("<turn|>"), id_of("<|tool_response>")], "top_k": 64, "top_p": 0.95}
    coder = name == "qwen3_moe"
    return {"bos_token_id": id_of("<|endoftext|>"), "do_sample": True, "pad_token_id": id_of("<|endoftext|>"),
            "eos_token_id": [id_of("<|im_end|>"), id_of("<|endoftext|>")], "top_k": 20, "top_p": 0.8 if coder else 0.95,
            "temperature": 0.7 if coder else 1.0, **({"repetition_penalty": 1.05} if coder else {})}
