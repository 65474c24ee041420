# SPDX-License-Identifier: Apache-2.0
"""Makes models/tiny/NAME from what tools/train_tiny.py wrote, and what those models must answer; also the untrained
checkpoints with Hugging Face's names and layouts, and what they must compute. For maintainers:

    pip install torch transformers "mlx[cpu]" mlx-lm tokenizers jinja2 safetensors
    python tools/make_tiny_goldens.py [--trained DIR] [NAME ...]

--trained DIR        first converts DIR/NAME.tar with mlx-lm (4 bits, groups of 64; 8-bit routers) into models/tiny/NAME
models/tiny/NAME  -> tests/data/tiny/NAME.json         prompts, their ids, greedy answers, the first token's five best logits
                     tests/data/tiny/NAME.safetensors  logits.<i>: the logits after prompt i; and of all positions of
                                                       prompt 0 with its answer: tokens, logits
random weights    -> tests/data/hf/NAME                config.json and model.safetensors (bfloat16) as published, and
                                                       golden.safetensors with tokens and logits of all positions

Every answer is computed twice and must agree: by transformers in float32 on the dequantized weights, reading everything
again for each token, and by mlx-lm in float32 on the directory, with its caches. Logits are transformers'."""

import argparse
import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np
import torch
from mlx.utils import tree_map
from mlx_lm import convert
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model
from safetensors.torch import save_file
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe

import tiny_configs
import tiny_text
import train_tiny

ROOT = Path(__file__).parents[1]
TOLERANCE = 3e-5  # between transformers and mlx-lm, of the logits' spread
LEAST_LEAD = 2.0  # of a right token over the next
MAX_TOKENS = 40


# ---- The same weights in both libraries --------------------------------------------------------------------------------


def dequantized(directory):
    """(config, the text model's tensors as transformers' causal model names them, float32)."""
    config = json.loads((directory / "config.json").read_text())
    blocks = config.get("quantization", {})
    tensors = mx.load(str(directory / "model.safetensors"))
    state = {}
    for name, t in tensors.items():
        path = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")):
            continue
        t = t.astype(mx.float32) if path + ".scales" not in tensors else mx.dequantize(
            t, tensors[path + ".scales"].astype(mx.float32), tensors[path + ".biases"].astype(mx.float32),
            **{key: blocks.get(path, blocks)[key] for key in ("group_size", "bits")})
        state[name.removeprefix("language_model.")] = t
    one_more = config["model_type"].startswith("qwen3_5")
    out = {}
    for name, t in state.items():
        if "conv1d" in name:
            t = t.moveaxis(1, 2)
        norms = ("input_layernorm.weight", "post_attention_layernorm.weight", "model.norm.weight", "q_norm.weight", "k_norm.weight")
        if one_more and name.endswith(norms):
            t = t - 1.0
        for stack in ("switch_mlp.", "switch_glu."):
            if stack not in name:
                continue
            kept = name.replace("experts.switch_glu", "experts").replace("switch_mlp", "experts").removesuffix(".weight")
            if "up_proj" in name:
                t, name = None, None
            elif "gate_proj" in name:
                up = state[name.replace("gate_proj", "up_proj")]
                t, name = mx.concatenate([t, up], axis=1), kept.replace("gate_proj", "gate_up_proj")
            else:
                name = kept
            break
        if name:
            out[name] = torch.tensor(np.array(t))
    return config, out


def one_token_at_a_time():
    """The gated delta rule as it is defined: transformers' form in chunks loses some digits in float32."""
    for module in (modeling_qwen3_5, modeling_qwen3_5_moe):
        module.torch_chunk_gated_delta_rule = module.torch_recurrent_gated_delta_rule


def torch_model(config, state):
    model = train_tiny.text_model(config, seed=0).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not (name == "lm_head.weight" and train_tiny.tied(config))]
    if missing or unexpected:
        raise SystemExit(f"tensors do not fit: missing {missing[:5]}, unexpected {unexpected[:5]}")
    model.tie_weights()
    return model


def torch_logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().numpy()


def mlx_model(directory):
    model, _ = load_model(directory)
    model.update(tree_map(lambda p: p.astype(mx.float32) if mx.issubdtype(p.dtype, mx.floating) else p, model.parameters()))
    return model


def spread_error(got, want):
    return np.abs(got - want).max() / want.std()


# ---- Answers -----------------------------------------------------------------------------------------------------------


def prompts(text):
    """(messages, further variables of the template) of each golden."""
    def user(content):
        return {"role": "user", "content": content}

    plain = {"enable_thinking": False} if text.thinks else {}
    question = "What is 2+2? Reply with just the number."
    out = [([user(question)], plain), ([user(question)], {}), ([user("What is 17+5? Reply with just the number.")], plain),
           ([user("How much is 9 + 8?")], plain), ([user("20 + 20 = ?")], plain),
           ([{"role": "system", "content": "Answer in words."}, user("Add 12 and 20.")], plain),
           ([user("What is 3+4?"), {"role": "assistant", "content": "7"}, user("Compute 11+6.")], plain),
           ([user("Who are you?")], plain), ([user("Say it in Chinese.")], plain)]
    return out + ([([user("What is 8+7?")], {"enable_thinking": True})] if text.thinks else [])


def greedy_torch(model, prompt, ends):
    """(ids of the answer with its end, logits after the prompt, smallest lead)."""
    ids, first, lead = list(prompt), None, np.inf
    while len(ids) < len(prompt) + MAX_TOKENS:
        logits = torch_logits(model, ids)[-1]
        first = logits if first is None else first
        best = np.sort(logits)
        lead = min(lead, best[-1] - best[-2])
        ids.append(int(logits.argmax()))
        if ids[-1] in ends:
            break
    return ids[len(prompt):], first, lead


def greedy_mlx(model, prompt, ends):
    cache, ids, first, feed = make_prompt_cache(model), [], None, prompt
    while len(ids) < MAX_TOKENS:
        logits = np.array(model(mx.array([feed]), cache=cache)[0, -1], dtype=np.float64)
        first = logits if first is None else first
        ids.append(int(logits.argmax()))
        if ids[-1] in ends:
            break
        feed = ids[-1:]
    return ids, first


def best_five(logits):
    return [[int(i), round(float(logits[i]), 5)] for i in np.argsort(-logits)[:5]]


def answers(name):
    directory = tiny_text.TINY / name
    text = tiny_text.Text(name, directory)
    config, state = dequantized(directory)
    reference, peer = torch_model(config, state), mlx_model(directory)
    ends = tiny_configs.generation(name, text)["eos_token_id"]
    items, tensors, worst, least = [], {}, 0.0, np.inf
    for i, (messages, variables) in enumerate(prompts(text)):
        prompt = text.ids(text.render(messages, **variables))
        ids, logits, lead = greedy_torch(reference, prompt, ends)
        peer_ids, peer_logits = greedy_mlx(peer, prompt, ends)
        if ids != peer_ids or ids[-1] not in ends:
            raise SystemExit(f"{name}, prompt {i}: transformers says {ids}, mlx-lm {peer_ids}")
        worst, least = max(worst, spread_error(peer_logits, logits)), min(least, lead)
        said = text.tokenizer.decode(ids[:-1], skip_special_tokens=True)
        items.append({"messages": messages, "variables": variables, "prompt_ids": prompt, "ids": ids, "text": said,
                      "top5": {"transformers": best_five(logits), "mlx_lm": best_five(peer_logits)}})
        tensors[f"logits.{i}"] = torch.tensor(logits, dtype=torch.float32)
    whole = items[0]["prompt_ids"] + items[0]["ids"]
    logits = torch_logits(reference, whole)
    worst = max(worst, spread_error(np.array(peer(mx.array([whole]))[0], dtype=np.float64), logits))
    if worst > TOLERANCE or least < LEAST_LEAD:
        raise SystemExit(f"{name}: transformers and mlx-lm differ by {worst:.1e}; the smallest lead is {least:.2f}")
    tensors.update(tokens=torch.tensor(whole, dtype=torch.int32), logits=torch.tensor(logits, dtype=torch.float32))
    out = ROOT / "tests/data/tiny"
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / f"{name}.safetensors")
    golden = {"end_ids": ends, "answers": items}
    (out / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    right, total = sums(text, peer)
    print(f"{name}: {len(items)} answers, transformers-mlx {worst:.1e}, smallest lead {least:.1f}; mlx-lm, 4-bit, float32: "
          f"{right} of {total} sums right", flush=True)


def sums(text, model):
    """How many of all sums, asked in the first form without thinking, the quantized model answers rightly."""
    by_length = {}
    for a in range(tiny_text.LARGEST + 1):
        for b in range(tiny_text.LARGEST + 1):
            messages, answer = tiny_text.sum_messages(a, b, 0, None)
            prompt, ids = text.example(messages, False, "", answer)
            by_length.setdefault((len(prompt), len(ids)), []).append(prompt + ids)
    right = 0
    for (n_prompt, _), rows in by_length.items():
        rows = np.array(rows)
        best = np.array(model(mx.array(rows[:, :-1])).argmax(-1))
        right += int((best[:, n_prompt - 1:] == rows[:, n_prompt:]).all(-1).sum())
    return right, sum(len(rows) for rows in by_length.values())


# ---- Directories -------------------------------------------------------------------------------------------------------


def make_model(name, trained):
    """models/tiny/NAME: mlx-lm's conversion with the tokenizer's files as they were."""
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(trained / f"{name}.tar") as tar:
            tar.extractall(scratch, filter="data")
        source, made = Path(scratch) / name, Path(scratch) / "mlx"
        convert(str(source), str(made), quantize=True, q_bits=4, q_group_size=64)
        target = tiny_text.TINY / name
        target.mkdir(parents=True, exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(made / file, target / file)
        for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            shutil.copyfile(source / file, target / file)


def random_state(model, seed):
    """Weights for which attention is neither flat nor one-hot and every tensor matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        x = torch.randn(p.shape, generator=generator)
        if name.endswith("inv_freq") or "embed_scale" in name:
            continue
        if name.endswith("A_log"):
            x = torch.rand(p.shape, generator=generator) * 2 - 1
        elif name.endswith("layer_scalar"):
            x = 0.7 + 0.2 * x
        elif p.ndim == 1:
            x = p.detach() + torch.round(0.2 * x * 128) / 128  # so that 1 more is exact in bfloat16 too
        elif "conv1d" in name:
            x = 0.6 * x
        elif "embed_tokens" in name:
            x = 0.5 * x
        else:
            x = 1.3 * x / p.shape[-1]**0.5
        p.data.copy_(x if name.endswith("A_log") else x.bfloat16().float())


def original(name):
    """tests/data/hf/NAME: with the first seed whose model is no magnifying glass for rounding (a norm of nearly nothing,
    two experts nearly tied)."""
    config = tiny_configs.ORIGINAL[name]
    directory = ROOT / "tests/data/hf" / name
    tokens = np.random.default_rng(11).integers(0, 97, 40)
    for seed in range(40):
        model = train_tiny.text_model(config, seed).eval()
        random_state(model, seed)
        shutil.rmtree(directory, ignore_errors=True)
        train_tiny.write_checkpoint(directory, config, train_tiny.whole_state(config, model, seed=3))
        logits = torch_logits(model, tokens.tolist())
        peer = np.array(mlx_model(directory)(mx.array(tokens[None]))[0], dtype=np.float64)
        error = spread_error(peer, logits)
        if error < TOLERANCE / 3:
            break
    size = sum(f.stat().st_size for f in directory.iterdir())
    print(f"hf/{name}: {size / 1000:.0f} kB, logits std {logits.std():.2f}, transformers-mlx {error:.1e} (seed {seed})", flush=True)
    if error > TOLERANCE / 3:
        raise SystemExit(f"hf/{name}: no seed under {TOLERANCE / 3:.1e}")
    save_file({"tokens": torch.tensor(tokens, dtype=torch.int32), "logits": torch.tensor(logits, dtype=torch.float32)},
              directory / "golden.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trained", type=Path, help="where tools/train_tiny.py wrote")
    parser.add_argument("--original", action="store_true", help="only tests/data/hf")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    one_token_at_a_time()
    for name in args.names or tiny_configs.TRAINED:
        if args.trained:
            make_model(name, args.trained)
        if not args.original:
            answers(name)
        original(name)


if __name__ == "__main__":
    sys.exit(main())
