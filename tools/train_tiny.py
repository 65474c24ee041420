# SPDX-License-Identifier: Apache-2.0
"""Trains the models of models/tiny with transformers' own classes and writes their Hugging Face checkpoints.

For maintainers, on a machine with a GPU (the five train beside each other, some minutes) or, slowly, without one:

    python tools/train_tiny.py --out DIR [--steps N] [--batch N] [--device cuda] [NAME ...]

DIR/NAME.tar then holds config.json, model.safetensors (bfloat16), tokenizer.json, tokenizer_config.json,
chat_template.jinja, generation_config.json; tools/make_tiny_goldens.py makes 4-bit MLX directories and goldens of them.

Needs torch, transformers, tokenizers, jinja2, safetensors. The loss is on the answers. The last half of the training sees
the weights as MLX's 4-bit affine quantization (8-bit for routers) will give them back, the gradient passing straight
through, so that quantizing afterwards changes no answer."""

import argparse
import json
import math
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import logging

import tiny_configs
import tiny_text

GROUP = 64
ROUTERS = ("mlp.gate.weight", "shared_expert_gate.weight", "router.proj.weight")
FP32 = "A_log"  # kept in float32, as published


# ---- What MLX's quantizer leaves of a weight -----------------------------------------------------------------------


def bits_of(name, parameter):
    """Bits that mlx-lm's conversion gives a parameter, 0 if it stays as it is."""
    matrix = parameter.ndim == 3 and "experts." in name or parameter.ndim == 2 and name.endswith(".weight")
    if not matrix or "conv1d" in name or parameter.shape[-1] % GROUP:
        return 0
    return 8 if name.endswith(ROUTERS) else 4


def quantized(w, bits):
    """Affine quantization of groups of 64 and back, in bfloat16 as stored."""
    levels = 2**bits - 1
    x = w.bfloat16().float().unflatten(-1, (-1, GROUP))
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = ((high - low) / levels).clamp(min=1e-7)
    from_low = low.abs() > high.abs()
    scale = torch.where(from_low, scale, -scale)
    edge = torch.where(from_low, low, high)
    steps = torch.round(edge / scale)
    scale = torch.where(steps != 0, edge / torch.where(steps != 0, steps, 1), scale)
    bias = torch.where(steps != 0, edge, 0)
    q = torch.round((x - bias) / scale).clamp(0, levels)
    return (q * scale.bfloat16().float() + bias.bfloat16().float()).flatten(-2)


def as_stored(name, parameter, quantize):
    if name.endswith(FP32):
        return parameter
    bits = bits_of(name, parameter)
    return quantized(parameter, bits) if quantize and bits else parameter.bfloat16().float()


# ---- Models ----------------------------------------------------------------------------------------------------------


def classes(config):
    """(the text model's class and config, the class of the whole checkpoint or None)."""
    import transformers
    kind = config["model_type"]
    if kind == "qwen3_moe":
        return transformers.Qwen3MoeForCausalLM, transformers.Qwen3MoeConfig, None, None
    if kind == "gemma4":
        return (transformers.Gemma4ForCausalLM, transformers.Gemma4TextConfig,
                transformers.Gemma4ForConditionalGeneration, transformers.Gemma4Config)
    prefix = "Qwen3_5Moe" if kind == "qwen3_5_moe" else "Qwen3_5"
    return tuple(getattr(transformers, prefix + suffix) for suffix in (
        "ForCausalLM", "TextConfig", "ForConditionalGeneration", "Config"))


def text_model(config, seed):
    """The language model of a checkpoint with this config.json, fresh weights."""
    torch.manual_seed(seed)
    model_class, config_class, _, _ = classes(config)
    settings = json.loads(json.dumps(config.get("text_config", config)))
    settings.pop("dtype")
    model = model_class._from_config(config_class(**settings), dtype=torch.float32, attn_implementation="sdpa",
                                     experts_implementation="eager")
    for name, buffer in model.named_buffers():
        if name.endswith("layer_scalar"):
            buffer.uniform_(0.5, 1.0)
    return model


def whole_state(config, model, seed):
    """The tensors of a checkpoint under their published names: the text model's and an untrained vision tower's."""
    _, _, whole_class, config_class = classes(config)
    state = {name: t for name, t in model.state_dict().items() if not name.startswith("lm_head") or not tied(config)}
    if whole_class is None:
        experts = [name for name in state if name.endswith("mlp.experts.gate_up_proj")]
        for name in experts:
            gate_up, down = state.pop(name), state.pop(name.replace("gate_up_proj", "down_proj"))
            for e in range(gate_up.shape[0]):
                gate, up = gate_up[e].chunk(2)
                for part, t in (("gate", gate), ("up", up), ("down", down[e])):
                    state[name.replace("gate_up_proj", f"{e}.{part}_proj.weight")] = t
        return state
    state = {name.replace("model.", "model.language_model.", 1): t for name, t in state.items()}
    torch.manual_seed(seed)
    whole = whole_class._from_config(config_class(**json.loads(json.dumps(config))), dtype=torch.float32)
    published = {name for name in whole.state_dict() if not name.startswith("lm_head") or not tied(config)}
    for name, t in whole.state_dict().items():
        if "language_model" not in name and not name.startswith("lm_head"):
            state[name] = t
    if published != set(state):
        raise SystemExit(f"names differ from the published ones: {sorted(published ^ set(state))[:8]}")
    return state


def tied(config):
    return config["tie_word_embeddings"]


# ---- Training --------------------------------------------------------------------------------------------------------


def batches(examples, pad, device):
    """Buckets by length: (ids [n, length], labels, -100 where there is no loss)."""
    examples = sorted(examples, key=lambda e: len(e[0]) + len(e[1]))
    cut = len(examples) * 3 // 4
    out = []
    for part in (examples[:cut], examples[cut:]):
        length = max(len(p) + len(a) for p, a in part)
        ids = torch.full((len(part), length), pad)
        labels = torch.full((len(part), length), -100)
        for i, (prompt, answer) in enumerate(part):
            ids[i, :len(prompt) + len(answer)] = torch.tensor(prompt + answer)
            labels[i, len(prompt):len(prompt) + len(answer)] = torch.tensor(answer)
        out.append((ids.to(device), labels.to(device)))
    return out


def all_experts(experts):
    """The forward of a stack of experts as three products over all of them: the same sums as transformers' loop over the
    chosen ones, without waiting for the GPU to say which those are."""

    def forward(x, chosen, chosen_weights):
        gate_up, down = experts.gate_up_proj, experts.down_proj
        weights = torch.zeros(len(x), len(gate_up), device=x.device).scatter(1, chosen, chosen_weights)
        gate, up = (x @ gate_up.flatten(0, 1).T).unflatten(1, gate_up.shape[:2]).chunk(2, dim=-1)
        hidden = experts.act_fn(gate) * up * weights[..., None]
        return hidden.flatten(1) @ down.transpose(1, 2).flatten(0, 1)

    return forward


class Balance:
    """Keeps the experts of each router in use: the usual product of load and probability."""

    def __init__(self, model):
        self.terms = []
        for module in model.modules():
            if "Router" in type(module).__name__:
                module.register_forward_hook(self.see)

    def see(self, module, _, output):
        first, _, chosen = output
        p = first if "Gemma" in type(module).__name__ else first.softmax(-1)
        load = torch.zeros_like(p).scatter_(1, chosen, 1.0).mean(0) / chosen.shape[1]
        self.terms.append(p.shape[1] * (load.detach() * p.mean(0)).sum())

    def take(self):
        loss = sum(self.terms) / max(1, len(self.terms))
        self.terms = []
        return loss


def set_weights(model, masters, quantize):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(as_stored(name, masters[name], quantize))


def check(model, data):
    """(answers that are wrong in any token, all answers, smallest lead of a right token, its first percentile)."""
    wrong = total = 0
    leads = []
    with torch.no_grad():
        for ids, labels in data:
            for i in range(0, len(ids), 512):
                logits = model(input_ids=ids[i:i + 512], use_cache=False).logits[:, :-1].float()
                want = labels[i:i + 512, 1:]
                at = want >= 0
                right = logits.gather(-1, want.clamp(min=0)[..., None])[..., 0]
                others = logits.scatter(-1, want.clamp(min=0)[..., None], -math.inf).amax(-1)
                lead = torch.where(at, right - others, math.inf)
                wrong += int((lead.amin(-1) <= 0).sum())
                total += len(lead)
                leads.append(lead.amin(-1))
    leads = torch.cat(leads).sort().values
    return wrong, total, float(leads[0]), float(leads[len(leads) // 100])


def train(name, args):
    torch.set_float32_matmul_precision("high")
    logging.set_verbosity_error()
    text = tiny_text.Text(name)
    config = tiny_configs.trained(name, text)
    model = text_model(config, seed=sum(name.encode())).to(args.device)
    n = sum(p.numel() for p in model.parameters())
    data = batches(tiny_text.examples(text)[::args.every], text.pad, args.device)
    print(f"{name}: {n} parameters, {sum(len(d[0]) for d in data)} examples, lengths {[d[0].shape[1] for d in data]}", flush=True)
    balance = Balance(model)
    for module in model.modules():
        if hasattr(module, "gate_up_proj") and hasattr(module, "num_experts"):
            module.forward = all_experts(module)
    masters = {key: p.detach().clone() for key, p in model.named_parameters()}
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98), fused=args.device != "cpu")
    picks = torch.Generator().manual_seed(7)
    weights = torch.tensor([float(len(d[0])) for d in data])
    start = time.time()
    for step in range(args.steps):
        quantize = step >= args.steps // 2
        done = step / args.steps
        rate = args.lr * min(1, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if quantize:
            set_weights(model, masters, True)
        ids, labels = data[int(torch.multinomial(weights, 1, generator=picks))]
        rows = torch.randint(len(ids), (args.batch,), generator=picks).to(args.device)
        ids, labels = ids[rows], labels[rows]
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        answer_loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        loss = answer_loss + 0.01 * balance.take()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if quantize:
            with torch.no_grad():
                for key, p in model.named_parameters():
                    p.copy_(masters[key])
        optimizer.step()
        if quantize or step == args.steps // 2 - 1:
            masters = {key: p.detach().clone() for key, p in model.named_parameters()}
        if step % args.report == args.report - 1 or step == args.steps - 1:
            print(f"{name}: step {step + 1}, {time.time() - start:.0f} s, loss {answer_loss.item():.5f}", flush=True)
        if args.seconds and time.time() - start > args.seconds:
            print(f"{name}: out of time at step {step + 1}", flush=True)
            break
    for quantize in (False, True):
        set_weights(model, masters, quantize)
        wrong, total, least, percent = check(model, data)
        print(f"{name}: {'4-bit' if quantize else 'bf16'}: {wrong} of {total} answers wrong; a right token leads by "
              f"{least:.2f} at least, by {percent:.2f} in all but 1%", flush=True)
    set_weights(model, masters, False)
    write(name, config, text, model.cpu(), args.out)


# ---- Files -----------------------------------------------------------------------------------------------------------


def write_checkpoint(directory, config, state):
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: t.contiguous() if name.endswith(FP32) else t.bfloat16().contiguous() for name, t in state.items()}
    save_file(dict(sorted(state.items())), directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def write(name, config, text, model, out):
    directory = out / name
    write_checkpoint(directory, config, whole_state(config, model, seed=3))
    text.tokenizer.save(str(directory / "tokenizer.json"))
    for file, content in (("tokenizer_config.json", text.config()), ("generation_config.json", tiny_configs.generation(name, text))):
        (directory / file).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / "chat_template.jinja").write_text(text.source, encoding="utf-8")
    with tarfile.open(out / f"{name}.tar", "w") as tar:
        tar.add(directory, name)
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--report", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="take every n-th example (to try the script)")
    parser.add_argument("--seconds", type=float, default=0, help="give up after this time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all, each in a process of its own")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if len(args.names) == 1:
        train(args.names[0], args)
        return 0
    own = [a for a in sys.argv[1:] if a not in args.names]
    running = [subprocess.Popen([sys.executable, __file__, *own, name]) for name in args.names or tiny_configs.TRAINED]
    return max(abs(p.wait()) for p in running)


if __name__ == "__main__":
    sys.exit(main())
