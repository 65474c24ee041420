#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/tokenizer/old/: small tokenizers in the forms that came before tokenizer.json, and digests of what the
packages `sentencepiece` (made with 0.2.3) and `tiktoken` (0.13) do with the texts of tools/tokenizer_texts.py; the
same digests of Hugging Face's `tokenizers` for the tokenizers of tests/data/tokenizer/.
Usage: make_old_tokenizer_goldens.py [OUT [BIG_OUT]], after make_tokenizer_goldens.py. BIG_OUT gets models whose
normalization rules are too large to commit, for tools/check_tokenizers.py.

NAME/            a folder as a model would have it
NAME.digests     a line for each 50 texts: FNV-1a of each text's ids (32 bits), 0xff, the decoded text, 0xff"""

import base64
import io
import json
import os
import struct
import sys

import sentencepiece

import check_tokenizers
import make_tokenizer_goldens
import tokenizer_texts

TEXTS, GROUP, LONG = 1000, 50, 2000
RULES = "0041\t0061\n0042\t0062 0062\n00E9\t0065 0301\n2003\t0020\n3000\t0020\n0009\t0020\n000A\t0020\n200D\t\nFF21 FF22\t0041\n00BD\t0031 2044 0032\n2026\t002E 002E 002E\nFDFA\t0635 0020 0644\n"
SYMBOLS = ["<|im_start|>", "<mask>", "word", "\n\n", "\u2581\u2581", "New York", "caf\u00e9", "[B]", "ab", "abc", "A"]


def digests(ref, texts):
    out, h = [], 0
    for i, text in enumerate(texts):
        if i % GROUP == 0:
            h = 0xCBF29CE484222325
        ids = ref.encode(text, True)
        data = struct.pack("<%di" % len(ids), *ids) + b"\xff" + ref.decode(ids, True).encode("utf-8") + b"\xff"
        for byte in data:
            h = (h ^ byte) * 0x100000001B3 & tokenizer_texts.MASK
        if i % GROUP == GROUP - 1 or i == len(texts) - 1:
            out.append("%016x\n" % h)
    return "".join(out)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode("utf-8"))


def train(corpus, rules=None, **options):
    """A SentencePiece model; trainer's defaults but for what is given."""
    model = io.BytesIO()
    path = "/tmp/sp_rules.tsv"
    if rules:
        with open(path, "w", encoding="utf-8") as f:
            f.write(rules)
        options["normalization_rule_tsv"] = path
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus * 20), model_writer=model, model_type="bpe", vocab_size=1300, minloglevel=2,
        character_coverage=0.98, num_threads=1, hard_vocab_limit=False, **options)
    return model.getvalue()


def sentencepiece_models(corpus):
    return {
        "sp-llama": train(corpus, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                          split_digits=True, allow_whitespace_only_pieces=True, unk_surface=" \u2047 "),
        "sp-rules": train(corpus, RULES, byte_fallback=True, user_defined_symbols=SYMBOLS, control_symbols=["[INST]", "<|user|>"]),
        "sp-plain": train(corpus, normalization_rule_name="identity", add_dummy_prefix=False, user_defined_symbols=SYMBOLS[:3]),
        "sp-unknown": train(corpus, RULES, unk_surface="?!", remove_extra_whitespaces=False, bos_id=-1, eos_id=0, unk_id=1,
                            pad_id=2),
    }


def big_models(corpus):
    return {"sp-" + name: train(corpus, normalization_rule_name=name, **more) for name, more in (
        ("nmt_nfkc", {"byte_fallback": True}), ("nfkc", {"remove_extra_whitespaces": False, "user_defined_symbols": SYMBOLS}),
        ("nmt_nfkc_cf", {"add_dummy_prefix": False}), ("nfkc_cf", {"control_symbols": ["<|im_end|>"]}))}


def rank_files(out):
    """The byte model's tokens in the order of their merges, in a folder for each kind that goes by the class's name."""
    with open(out + "/../models/byte.json", encoding="utf-8") as f:
        model = json.load(f)
    letters = {c: b for b, c in real_letters().items()}
    tokens = sorted((t for t in model["vocab"]), key=model["vocab"].get)
    ranks = [bytes(letters[c] for c in t) for t in tokens if all(c in letters for c in t)]
    lines = "".join("%s %d\n" % (base64.b64encode(t).decode(), i) for i, t in enumerate(ranks))
    n = len(ranks)
    from real_tokenizers import LLAMA3, QWEN2
    chat = {"<|endoftext|>": n, "<|im_start|>": n + 1, "<|im_end|>": n + 2, **{"<|extra_%d|>" % i: n + 3 + i for i in range(205)}}
    kimi = {"[BOS]": n, "[EOS]": n + 1, "<|im_start|>": n + 4, "<|im_end|>": n + 2}
    kimi.update({"<|reserved_token_%d|>" % i: i for i in range(n, n + 256) if i not in kimi.values()})
    glm = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>",
           "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"]
    glm = {t: n + i for i, t in enumerate(glm)}
    kinds = {"ranks-qwen": ("qwen.tiktoken", "QWenTokenizer", QWEN2, chat, True, []),
             "ranks-kimi": ("tiktoken.model", "TikTokenTokenizer", KIMI, kimi, False, []),
             "ranks-glm": ("tokenizer.model", "ChatGLM4Tokenizer", LLAMA3, glm, False, [n + 2, n + 4])}
    for name, (file, class_name, pattern, special, nfc, prefix) in kinds.items():
        config = {"tokenizer_class": class_name}
        if name == "ranks-kimi":
            config["added_tokens_decoder"] = {
                str(i): {"content": t, "special": True} for t, i in special.items() if not t.startswith("<|reserved")}
        write("%s/%s/%s" % (out, name, file), lines)
        write("%s/%s/tokenizer_config.json" % (out, name), json.dumps(config))
        write("%s/%s/tiktoken.json" % (out, name), json.dumps(
            {"pattern": pattern, "special_tokens": special, "nfc": nfc, "prefix": prefix}, separators=(",", ":")))


def real_letters():
    from real_tokenizers import byte_alphabet
    return byte_alphabet()


HAN = r"&&[^\p{Han}]]"
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}" + HAN + r"*[\p{Ll}\p{Lm}\p{Lo}\p{M}" + HAN +
        r"+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}" + HAN + r"+[\p{Ll}\p{Lm}\p{Lo}\p{M}" +
        HAN + r"*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class Made(check_tokenizers.HuggingFace):
    """A tokenizer of tests/data/tokenizer with its model put in."""

    def __init__(self, folder, name):
        from tokenizers import Tokenizer
        with open("%s/%s.json" % (folder, name), encoding="utf-8") as f:
            tree = json.load(f)
        change = tree["model"]
        with open("%s/models/%s.json" % (folder, change.pop("base")), encoding="utf-8") as f:
            tree["model"] = {**json.load(f), **change}
        self.t = Tokenizer.from_str(json.dumps(tree))


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "tests/data/tokenizer/old"
    parts = tokenizer_texts.written()
    corpus = [t for t in make_tokenizer_goldens.texts() if t and "\x00" not in t]
    for name, model in sentencepiece_models(corpus).items():
        write("%s/%s/tokenizer.model" % (out, name), model)
    rank_files(out)
    if len(sys.argv) > 2:
        for name, model in big_models(corpus).items():
            write("%s/%s/tokenizer.model" % (sys.argv[2], name), model)
    texts = [tokenizer_texts.text(i, parts) for i in range(TEXTS)] + [t * LONG for t in tokenizer_texts.LONG]
    for name in sorted(n for n in os.listdir(out) if os.path.isdir(os.path.join(out, n))):
        write("%s/%s.digests" % (out, name), digests(check_tokenizers.reference(os.path.join(out, name)), texts))
    folder = os.path.dirname(out)
    for name in sorted(n[:-5] for n in os.listdir(folder) if n.endswith(".json")):
        write("%s/%s.digests" % (folder, name), digests(Made(folder, name), texts))


if __name__ == "__main__":
    main()
