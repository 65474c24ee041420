#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/convert/*.json: what mlx_lm.convert makes of small checkpoints in Hugging Face's and MLX's layouts.

A golden has a config, the source's tensors (name, type, shape; their data are pseudo-random numbers that the test makes
too), options, and of the result the config and each tensor's type, shape and FNV-1a hash. For maintainers; needs mlx-lm.

  tools/make_convert_goldens.py [--out tests/data/convert] [--keep DIR] [NAME ...]
"""
import argparse, copy, importlib, json, pathlib, shutil, tempfile

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm import utils

mlx_convert = importlib.import_module("mlx_lm.convert")  # the package has a function of this name

ROOT = pathlib.Path(__file__).resolve().parent.parent
MASK = (1 << 64) - 1
TYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def random_words(seed, n):
    """splitmix64 of the numbers seed * 2^32 + i."""
    with np.errstate(over="ignore"):
        z = (np.uint64(seed << 32) + np.arange(n, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def make_data(seed, type_name, shape):
    """Floats in [-1/8, 1/8) from the upper 24 bits, or bytes for integers."""
    n = int(np.prod(shape)) if shape else 1
    if type_name in TYPES:
        x = ((random_words(seed, n) >> np.uint64(40)).astype(np.float32) - np.float32(2**23)) * np.float32(2.0**-26)
        return mx.array(x.reshape(shape)).astype(TYPES[type_name])
    if type_name == "U8":
        return mx.array((random_words(seed, n) >> np.uint64(56)).astype(np.uint8).reshape(shape) & np.uint8(127))
    return mx.array((random_words(seed, n) >> np.uint64(32)).astype(np.uint32).reshape(shape))


def raw(a):
    width = {mx.float32: mx.uint32, mx.float16: mx.uint16, mx.bfloat16: mx.uint16}.get(a.dtype)
    return np.array(mx.view(a, width) if width else a).tobytes()


def fnv(data):
    """FNV-1a over 64-bit words (the rest as one word of zeros behind it)."""
    data = data + bytes(-len(data) % 8)
    h = 0xCBF29CE484222325
    for w in np.frombuffer(data, np.uint64).tolist():
        h = ((h ^ w) * 0x100000001B3) & MASK
    return f"{h:016x}"


def type_name(a):
    return {mx.float32: "F32", mx.float16: "F16", mx.bfloat16: "BF16", mx.uint32: "U32", mx.uint8: "U8"}[a.dtype]


# ---- Configs ---------------------------------------------------------------------------------------------------

def llama(**more):
    return {"model_type": "llama", "hidden_size": 128, "num_hidden_layers": 8, "intermediate_size": 192,
            "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-06, "vocab_size": 97,
            "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "_name_or_path": "x/y",
            "unicode": "caf\u00e9 \U0001f600", "empty": {}, "list": [1, 2.50, [], "a/b"], **more}


QWEN35_TEXT = {"model_type": "qwen3_5_moe_text", "hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 192,
               "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 101,
               "rms_norm_eps": 1e-06, "linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 64,
               "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "full_attention_interval": 2,
               "tie_word_embeddings": False, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
               "shared_expert_intermediate_size": 64, "norm_topk_prob": True, "dtype": "bfloat16",
               "rope_parameters": {"type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25,
                                   "mrope_section": [3, 3, 2]}}
QWEN35_MOE = {"model_type": "qwen3_5_moe", "text_config": QWEN35_TEXT, "vision_config": {"depth": 1}}
QWEN35_DENSE = {"model_type": "qwen3_5", "vision_config": {"depth": 1}, "tie_word_embeddings": True, "text_config": {
    **{k: v for k, v in QWEN35_TEXT.items() if "expert" not in k}, "model_type": "qwen3_5_text",
    "tie_word_embeddings": True}}
QWEN3_MOE = {"model_type": "qwen3_moe", "hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192,
             "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 101, "rms_norm_eps": 1e-06,
             "num_experts": 11, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [1],
             "moe_intermediate_size": 64, "rope_theta": 1000000.0, "tie_word_embeddings": False,
             "max_position_embeddings": 4096, "norm_topk_prob": True, "torch_dtype": "bfloat16"}
QWEN3_NEXT = {**QWEN3_MOE, "model_type": "qwen3_next", "num_experts": 3, "mlp_only_layers": [],
              "linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 64,
              "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "shared_expert_intermediate_size": 64,
              "partial_rotary_factor": 0.25, "full_attention_interval": 2, "rope_theta": 10000000}
GEMMA4_TEXT = {"model_type": "gemma4_text", "hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 192,
               "num_attention_heads": 2, "head_dim": 64, "global_head_dim": 128, "num_key_value_heads": 1,
               "num_kv_shared_layers": 2, "vocab_size": 99, "vocab_size_per_layer_input": 99,
               "hidden_size_per_layer_input": 64, "use_double_wide_mlp": True, "sliding_window": 16,
               "layer_types": ["sliding_attention", "full_attention"] * 2, "tie_word_embeddings": True,
               "dtype": "bfloat16"}
GEMMA4 = {"model_type": "gemma4", "text_config": GEMMA4_TEXT, "vocab_size": 99, "vision_config": {"depth": 1}}
GEMMA4_MOE = {"model_type": "gemma4", "vocab_size": 99, "text_config": {
    **GEMMA4_TEXT, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0, "use_double_wide_mlp": False,
    "enable_moe_block": True, "num_experts": 3, "top_k_experts": 2, "moe_intermediate_size": 64,
    "attention_k_eq_v": True, "num_global_key_value_heads": 1}}
GEMMA3 = {"model_type": "gemma3_text", "hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192,
          "num_attention_heads": 2, "head_dim": 64, "num_key_value_heads": 1, "rms_norm_eps": 1e-06, "vocab_size": 99,
          "query_pre_attn_scalar": 64, "sliding_window": 16, "sliding_window_pattern": 2, "torch_dtype": "bfloat16"}
GEMMA2 = {**{k: v for k, v in GEMMA3.items() if k != "sliding_window_pattern"}, "model_type": "gemma2"}
GPT_OSS = {"model_type": "gpt_oss", "num_hidden_layers": 2, "num_local_experts": 3, "num_experts_per_tok": 2,
           "vocab_size": 97, "rms_norm_eps": 1e-05, "hidden_size": 128, "intermediate_size": 96, "head_dim": 64,
           "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 16, "rope_theta": 150000,
           "torch_dtype": "bfloat16", "layer_types": ["sliding_attention", "full_attention"],
           "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                            "original_max_position_embeddings": 4096}}
PHI3 = {"model_type": "phi3", "hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192,
        "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-05, "vocab_size": 97,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
        "torch_dtype": "bfloat16"}


# ---- Layouts ---------------------------------------------------------------------------------------------------

def to_hf(names, model_type):
    """From mlx-lm's names and shapes to those of the published checkpoint."""
    out = {}
    for name, shape in names.items():
        bare = name.removeprefix("language_model.")
        if "conv1d.weight" in name:
            shape = [shape[0], shape[2], shape[1]]
        if model_type.startswith("qwen3_5"):
            bare = bare.replace("model.", "model.language_model.", 1) if bare.startswith("model.") else bare
            if ".switch_mlp." in bare:
                base, projection = bare.split(".switch_mlp.")
                if projection.startswith("gate"):
                    out[f"{base}.experts.gate_up_proj"] = [shape[0], 2 * shape[1], shape[2]]
                elif projection.startswith("down"):
                    out[f"{base}.experts.down_proj"] = shape
                continue
        elif model_type == "gemma4":
            bare = bare.replace("model.", "model.language_model.", 1)
            if ".experts.switch_glu." in bare:
                base, projection = bare.split(".switch_glu.")
                if projection.startswith("gate"):
                    out[f"{base}.gate_up_proj"] = [shape[0], 2 * shape[1], shape[2]]
                elif projection.startswith("down"):
                    out[f"{base}.down_proj"] = shape
                continue
        elif model_type == "gpt_oss":
            if ".mlp.experts." in bare:
                base, projection = bare.rsplit(".experts.", 1)
                module, suffix = projection.split(".")
                fused = {"gate_proj": "gate_up_proj", "down_proj": "down_proj"}.get(module)
                if fused:
                    n = shape[1] * (2 if fused == "gate_up_proj" else 1)
                    if suffix == "weight":
                        out[f"{base}.experts.{fused}_blocks"] = [shape[0], n, shape[2] // 32, 16]
                        out[f"{base}.experts.{fused}_scales"] = [shape[0], n, shape[2] // 32]
                    else:
                        out[f"{base}.experts.{fused}_bias"] = [shape[0], n]
                continue
        elif ".switch_mlp." in bare:
            base, projection = bare.split(".switch_mlp.")
            for e in range(shape[0]):
                out[f"{base}.experts.{e}.{projection}"] = shape[1:]
            continue
        out[bare] = shape
    if model_type.startswith(("qwen3_5", "gemma4")):
        visual = "model.visual.blocks.0.attn.qkv.weight" if "qwen" in model_type else "model.vision_tower.a.weight"
        out[visual] = [4, 6]
    if model_type.startswith(("qwen3_5", "qwen3_next")):
        out["mtp.layers.0.input_layernorm.weight"] = [8]
    if model_type == "llama":
        out["model.layers.0.self_attn.rotary_emb.inv_freq"] = [16]
    return out


# name: config, options of convert, layout, type of the source
CASES = {
    "llama-affine4": (llama(), dict(), "mlx", "BF16"),
    "llama-f32-to-bf16-3-32": (llama(), dict(q_bits=3, q_group_size=32), "hf", "F32"),
    "llama-f16-5-128": (llama(torch_dtype="float16"), dict(q_bits=5, q_group_size=128), "mlx", "BF16"),
    "llama-mxfp4": (llama(), dict(q_mode="mxfp4"), "mlx", "BF16"),
    "llama-mxfp8-f32": (llama(torch_dtype="float32"), dict(q_mode="mxfp8"), "mlx", "F32"),
    "llama-nvfp4": (llama(), dict(q_mode="nvfp4"), "mlx", "F16"),
    "llama-mixed_2_6": (llama(), dict(q_group_size=64, quant_predicate="mixed_2_6"), "hf", "BF16"),
    "llama-mixed_3_4": (llama(num_hidden_layers=9), dict(q_group_size=32, quant_predicate="mixed_3_4"), "mlx", "BF16"),
    "llama-no-dtype": ({k: v for k, v in llama(hidden_size=96, intermediate_size=160).items() if k != "torch_dtype"},
                       dict(q_bits=8), "mlx", "F16"),
    "llama-partial": (llama(hidden_size=96, intermediate_size=128, head_dim=64), dict(q_bits=4), "mlx", "BF16"),
    "qwen3_moe-hf": (QWEN3_MOE, dict(q_bits=4, q_group_size=64), "hf", "BF16"),
    "qwen3_moe-mixed_4_6": (QWEN3_MOE, dict(q_group_size=64, quant_predicate="mixed_4_6"), "mlx", "BF16"),
    "qwen3_next-hf": (QWEN3_NEXT, dict(q_bits=6), "hf", "BF16"),
    "qwen3_5-hf": (QWEN35_DENSE, dict(q_bits=4), "hf", "BF16"),
    "qwen3_5_moe-hf": (QWEN35_MOE, dict(q_bits=4), "hf", "BF16"),
    "qwen3_5_moe-mxfp4": (QWEN35_MOE, dict(q_mode="mxfp4"), "hf", "F32"),
    "gemma4-hf": (GEMMA4, dict(q_bits=4), "hf", "BF16"),
    "gemma4-moe-hf": (GEMMA4_MOE, dict(q_bits=4), "hf", "BF16"),
    "gemma2": (GEMMA2, dict(q_bits=4), "hf", "BF16"),
    "gemma3_text": (GEMMA3, dict(q_bits=4), "hf", "BF16"),
    "phi3": (PHI3, dict(q_bits=4, q_group_size=32), "hf", "BF16"),
    "gpt_oss-hf": ({**GPT_OSS, "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["x"]}},
                   dict(q_bits=4), "hf", "BF16"),
    "gpt_oss-mlx": (GPT_OSS, dict(q_bits=4), "mlx", "BF16"),
    "gpt_oss-dequantize": ({**GPT_OSS, "quantization_config": {"quant_method": "mxfp4"}}, dict(dequantize=True), "hf",
                           "BF16"),
    "llama-dequantize": (llama(), dict(dequantize=True), "result of llama-f32-to-bf16-3-32", "BF16"),
    "qwen3_moe-dequantize": (QWEN3_MOE, dict(dequantize=True), "result of qwen3_moe-hf", "BF16"),
    "llama-again": (llama(), dict(q_bits=8), "result of llama-partial", "BF16"),
}


def run_convert(source, target, options, config):
    """mlx_lm.convert without the tokenizer."""
    options = dict(options)
    dequantize = options.pop("dequantize", False)
    predicate = options.pop("quant_predicate", None)
    model, config = utils.load_model(source, lazy=True)
    if predicate:
        predicate = mlx_convert.mixed_quant_predicate_builder(predicate, model, options.get("q_group_size"))
    dtype = config.get("torch_dtype") or config.get("text_config", {}).get("dtype")
    if dtype in mlx_convert.MODEL_CONVERSION_DTYPES:
        cast = getattr(model, "cast_predicate", lambda _: True)
        model.update(tree_map_with_path(
            lambda k, v: v.astype(getattr(mx, dtype)) if cast(k) and mx.issubdtype(v.dtype, mx.floating) else v,
            model.parameters()))
    if dequantize:
        config.pop("quantization", None)
        config.pop("quantization_config", None)
        model = utils.dequantize_model(model)
    else:
        model, config = utils.quantize_model(model, config, options.get("q_group_size"), options.get("q_bits"),
                                             mode=options.get("q_mode", "affine"), quant_predicate=predicate)
    target.mkdir()
    utils.save_model(target, model)
    utils.save_config(config, target / "config.json")


def source_of(config, layout, source_type):
    """Names, types and shapes of the source's tensors."""
    model_class, args_class = utils._get_classes(config)
    model = model_class(args_class.from_dict(copy.deepcopy(config)))
    names = {k: list(v.shape) for k, v in tree_flatten(model.parameters())}
    types = {k: source_type for k in names}
    if layout == "hf":
        names = to_hf(names, config["model_type"])
        types = {k: "U8" if k.endswith(("_blocks", "_scales")) else source_type for k in names}
    for k in names:
        if k.endswith("A_log"):
            types[k] = "F32"
    return [[k, types[k], names[k]] for k in sorted(names)]


def describe(folder):
    out = []
    for f in sorted(folder.glob("*.safetensors")):
        for k, v in mx.load(str(f)).items():
            out.append([k, type_name(v), list(v.shape), fnv(raw(v))])
    return sorted(out)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/data/convert")
    p.add_argument("--keep", type=pathlib.Path, help="leave the model directories here")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    mx.set_default_device(mx.cpu)
    a.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp:
        folder = a.keep or pathlib.Path(temp)
        for name, (config, options, layout, source_type) in CASES.items():
            if a.names and name not in a.names:
                continue
            source, target = folder / name, folder / (name + "-out")
            for d in (source, target):
                shutil.rmtree(d, ignore_errors=True)
            golden = {"options": options, "config": json.dumps(config, indent=2)}
            if layout.startswith("result of "):
                shutil.copytree(folder / (layout.removeprefix("result of ") + "-out"), source)
                golden["source_of"] = layout.removeprefix("result of ")
                del golden["config"]
            else:
                source.mkdir(parents=True)
                golden["source"] = source_of(config, layout, source_type)
                tensors = {k: make_data(i + 1, t, s) for i, (k, t, s) in enumerate(golden["source"])}
                mx.save_safetensors(str(source / "model.safetensors"), tensors, metadata={"format": "pt"})
                (source / "config.json").write_text(golden["config"])
                (source / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
            run_convert(source, target, options, config)
            golden["result"] = describe(target)
            golden["result_config"] = (target / "config.json").read_text()
            index = json.loads((target / "model.safetensors.index.json").read_text())["metadata"]
            golden["metadata"] = index
            (a.out / (name + ".json")).write_text(json.dumps(golden, separators=(",", ":")) + "\n")
            print(name, len(golden["result"]), "tensors")


if __name__ == "__main__":
    main()
