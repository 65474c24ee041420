# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/sampling/goldens.json: what mlx-lm's sampler does with made-up logits.

Each case holds the logits, the history, the parameters, and the probability with which mlx-lm draws each token: its
processors and filters are applied as mlx_lm.sample_utils applies them, and the softmax at the temperature is taken in
float64. xtc is made certain (probability 1) or impossible (0), so that the result is one distribution. Needs mlx-lm.
"""
import json
import pathlib

import mlx.core as mx
import numpy as np
from mlx_lm import sample_utils as su

NEWLINE = []  # the test's model has no tokenizer: only end tokens are exempt
END = [3]


def distribution(logits, history, p):
    x = mx.array([logits], dtype=mx.float32)
    processors = su.make_logits_processors(
        {int(k): v for k, v in p.get("logit_bias", {}).items()} or None,
        p.get("repetition_penalty"), p.get("repetition_context_size", 20),
        p.get("presence_penalty"), p.get("presence_context_size", 20),
        p.get("frequency_penalty"), p.get("frequency_context_size", 20))
    for processor in processors:
        x = processor(mx.array(history), x)
    x = x - mx.logsumexp(x, keepdims=True)
    if 0 < p.get("top_p", 0) < 1:
        x = su.apply_top_p(x, p["top_p"])
    if p.get("min_p", 0):
        x = su.apply_min_p(x, p["min_p"], p.get("min_tokens_to_keep", 1))
    if p.get("xtc_probability", 0):
        x = su.apply_xtc(x, p["xtc_probability"], p.get("xtc_threshold", 0.1), END)
    if p.get("top_k", 0):
        x = su.apply_top_k(x, p["top_k"])
    x = np.array(x, dtype=np.float64)[0] / p["temperature"]
    e = np.exp(x - x.max())
    return e / e.sum()


CASES = [
    {}, {"temperature": 0.3}, {"temperature": 2.5}, {"top_p": 0.5}, {"top_p": 0.9, "temperature": 0.7},
    {"top_p": 0.05}, {"min_p": 0.1}, {"min_p": 0.6, "min_tokens_to_keep": 5}, {"top_k": 1}, {"top_k": 7},
    {"xtc_probability": 1.0}, {"xtc_probability": 1.0, "xtc_threshold": 0.03},
    {"top_p": 0.8, "xtc_probability": 1.0, "xtc_threshold": 0.12},
    {"top_p": 0.95, "min_p": 0.05, "top_k": 4, "temperature": 1.3},
    {"logit_bias": {"2": 4.0, "5": -100.0}}, {"repetition_penalty": 1.5}, {"presence_penalty": 1.2},
    {"frequency_penalty": 0.8}, {"repetition_penalty": 0.7, "repetition_context_size": 3},
    {"presence_penalty": -1.0, "presence_context_size": 2}, {"frequency_penalty": 0.5, "frequency_context_size": 30},
    {"repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.3, "top_p": 0.9, "temperature": 0.8,
     "logit_bias": {"0": 1.5}},
]


def main():
    rng = np.random.default_rng(7)
    out = []
    for i, params in enumerate(CASES):
        logits = np.round(rng.normal(0, 2, 24), 3).astype(np.float32).tolist()
        if i % 3 == 0:
            logits[9] = logits[4]  # a tie
        history = rng.integers(0, 24, 25).tolist()
        p = {"temperature": 1.0, **params}
        out.append({"logits": logits, "history": history, "params": p,
                    "probabilities": [round(float(v), 9) for v in distribution(logits, history, p)]})
    path = pathlib.Path(__file__).parent.parent / "tests/data/sampling/goldens.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(out, separators=(",", ":")).replace("},{\"logits", "},\n{\"logits") + "\n")


main()
