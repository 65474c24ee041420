#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes folders for tools/check_tokenizers.py from real vocabularies that come in other forms: the vocabulary-only GGUF
files of llama.cpp's repository, files of base64 lines (.tiktoken), Mistral's tekken.json. Each gets a tokenizer.json in
the form that the model's own has; tiktoken files a folder with the file itself, too.

    tools/real_tokenizers.py OUT FILE.gguf... NAME=FILE.tiktoken... NAME=tekken.json...

NAME says which pattern and special tokens a tiktoken file goes with: qwen1, qwen3_5, cl100k, o200k, r50k, llama3."""

import base64
import json
import os
import sys

from smollm2_tokenizer import metadata

MARK = "\u2581"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s|" + TAIL
QWEN2 = CL100K % ""
LLAMA3 = CL100K % "{1,3}"
QWEN3_5 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + CONTRACTIONS + r"?|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" +
         CONTRACTIONS + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = O200K.replace(CONTRACTIONS + "?", "").replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def by_patterns(*patterns, digits=False):
    steps = [split(p) for p in patterns] + ([DIGITS] if digits else [])
    return sequence(*steps, dict(BYTE_LEVEL, use_regex=False))


# tokenizer.ggml.pre -> (pre-tokenizer, NFC, ignore_merges)
PRE = {
    "gpt-2": (BYTE_LEVEL, False, False), "mpt": (BYTE_LEVEL, True, False), "none": (BYTE_LEVEL, True, False),
    "starcoder": (sequence(DIGITS, BYTE_LEVEL), False, False), "refact": (sequence(DIGITS, BYTE_LEVEL), False, False),
    "command-r": (sequence(DIGITS, BYTE_LEVEL), True, False), "smollm": (sequence(DIGITS, BYTE_LEVEL), False, False),
    "falcon": (sequence({"type": "Punctuation", "behavior": "Contiguous"}, BYTE_LEVEL,
                        {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")), False, False),
    "llama-bpe": (by_patterns(LLAMA3), False, True), "qwen2": (by_patterns(QWEN2), True, False),
    "qwen35": (by_patterns(QWEN3_5), True, False),
    "deepseek-coder": (by_patterns("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, digits=True), False, False),
    "deepseek-llm": (by_patterns("[\r\n]", r"\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
                                 "\u0370-\u0373\u0376\u0377\u037b-\u037d\u0386-\u03ff\u0400-\u0481\u048a-\u052f\u10a0-\u10c5]+",
                                 r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", CJK, digits=True),
                     False, False),
}


def added(text, i, is_special, **flags):
    return {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": is_special, **flags}


def tokenizer(vocab, merges, tokens, pre, normalizer, decoder, **model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer,
            "pre_tokenizer": pre, "post_processor": None, "decoder": decoder,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges, **model}}


def byte_tokenizer(vocab, merges, tokens, pre, nfc, ignore_merges, unk=None):
    return tokenizer(vocab, merges, tokens, pre, {"type": "NFC"} if nfc else None, dict(BYTE_LEVEL, add_prefix_space=True),
                     ignore_merges=ignore_merges, unk_token=unk)


def merges_by_score(vocab, scores):
    """Every way to make a token of two others, by the token's score, then by the parts' ids."""
    merges = []
    for token, i in vocab.items():
        local = [(token[:k], token[k:]) for k in range(1, len(token)) if token[:k] in vocab and token[k:] in vocab]
        local.sort(key=lambda p: (vocab[p[0]], vocab[p[1]]))
        merges += [(a, b, scores[i]) for a, b in local]
    merges.sort(key=lambda m: -m[2])
    return [[a, b] for a, b, _ in merges]


def piece_tokenizer(vocab, merges, tokens, prefix):
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    back = [{"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if prefix:
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        replace = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, replace]}
    pre = None if prefix else {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return tokenizer(vocab, merges, tokens, pre, replace, {"type": "Sequence", "decoders": back}, unk_token="<unk>",
                     fuse_unk=True, byte_fallback=True)


def from_gguf(path):
    meta = metadata(path)
    names, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    vocab = {t: i for i, t in enumerate(names)}
    model = meta["tokenizer.ggml.model"]
    tokens = [added(names[i], i, kind != 4) for i, kind in enumerate(kinds) if kind in (2, 3, 4)]
    merges = [m.split(" ") for m in meta.get("tokenizer.ggml.merges", [])]
    if model == "gpt2":
        pre, nfc, ignore = PRE[meta.get("tokenizer.ggml.pre", "none")]
        unk = meta.get("tokenizer.ggml.unknown_token_id")
        return byte_tokenizer(vocab, merges, tokens, pre, nfc, ignore, None if unk is None else names[unk])
    if model == "gemma4":
        return piece_tokenizer(vocab, [list(m.partition(" ")[::2]) for m in meta["tokenizer.ggml.merges"]], tokens, False)
    if model == "llama":
        if "phi-3" in path:  # its special tokens take the white space behind them
            tokens = [dict(t, rstrip=t["id"] >= 32000) for t in tokens]
        return piece_tokenizer(vocab, merges_by_score(vocab, meta["tokenizer.ggml.scores"]), tokens, True)
    return None


# ---- Files of base64 lines ----------------------------------------------------------------------------------------

def special_range(first, *texts):
    return {t: first + i for i, t in enumerate(texts)}


CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION = ("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
          "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>",
          "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
          "<tool_response>", "</tool_response>", "<think>", "</think>")
LLAMA3_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
                  "<|reserved_special_token_2|>", "<|reserved_special_token_3|>", "<|start_header_id|>", "<|end_header_id|>",
                  "<|reserved_special_token_4|>", "<|eot_id|>") + tuple("<|reserved_special_token_%d|>" % i for i in range(5, 251))
RANKED = {  # pattern, special tokens, NFC, the class of tokenizer_config.json
    "qwen1": (QWEN2, special_range(151643, *CHAT, *("<|extra_%d|>" % i for i in range(205))), True, "QWenTokenizer"),
    "qwen3_5": (QWEN3_5, special_range(248044, *CHAT, *VISION), True, "Qwen3_5Tokenizer"),
    "cl100k": (LLAMA3, {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|endofprompt|>": 100276}, False, None),
    "o200k": (O200K, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}, False, None),
    "llama3": (LLAMA3, special_range(128000, *LLAMA3_SPECIAL), False, "PreTrainedTokenizerFast"),
}


def byte_alphabet():
    plain = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    table, extra = {}, 0x100
    for b in range(256):
        if b in plain:
            table[b] = chr(b)
        else:
            table[b] = chr(extra)
            extra += 1
    return table


def parts_of(token, ranks):
    """The two tokens that are left when `token` is built up by merges of lower rank than its own."""
    limit, parts = ranks[token], [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], limit))
        if ranks.get(parts[best] + parts[best + 1], limit) >= limit:
            break
        parts[best:best + 2] = [parts[best] + parts[best + 1]]
    return parts


def from_ranks(ranks, pattern, specials, nfc):
    letters = byte_alphabet()
    spell = lambda token: "".join(letters[b] for b in token)
    vocab = {spell(t): r for t, r in ranks.items()}
    merges = []
    for token in sorted((t for t in ranks if len(t) > 1), key=ranks.get):
        parts = parts_of(token, ranks)
        if len(parts) == 2:
            merges.append([spell(parts[0]), spell(parts[1])])
    vocab.update(specials)
    return byte_tokenizer(vocab, merges, [added(t, i, True) for t, i in specials.items()], by_patterns(pattern), nfc, True)


def ranked_file(path):
    with open(path, "rb") as f:
        return {base64.b64decode(a): int(b) for a, b in (line.split() for line in f.read().splitlines() if line)}


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name, tree in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            json.dump(tree, out, ensure_ascii=False)
    print(folder)


def from_tiktoken(out, name, path):
    pattern, specials, nfc, class_name = RANKED[name]
    ranks = ranked_file(path)
    write(os.path.join(out, "hf-" + name), {"tokenizer.json": from_ranks(ranks, pattern, specials, nfc)})
    folder = os.path.join(out, "tiktoken-" + name)
    prefix = [specials["<|begin_of_text|>"]] if name == "llama3" else []
    config = {"tokenizer_class": class_name, "added_tokens_decoder": {str(i): added(t, i, True) for t, i in specials.items()}}
    write(folder, {"tiktoken.json": {"pattern": pattern, "special_tokens": specials, "nfc": nfc, "prefix": prefix}, "tokenizer_config.json": config})
    with open(path, "rb") as source, open(os.path.join(folder, name + ".tiktoken"), "wb") as copy:
        copy.write(source.read())


def from_tekken(out, name, path):
    with open(path, encoding="utf-8") as f:
        tree = json.load(f)
    config = tree["config"]
    n_special = config["default_num_special_tokens"]
    n = config["default_vocab_size"] - n_special
    ranks = {base64.b64decode(e["token_bytes"]): e["rank"] for e in tree["vocab"][:n]}
    names = {e["rank"]: e["token_str"] for e in tree.get("special_tokens") or []}
    specials = {names.get(i, "<SPECIAL_%d>" % i): i for i in range(n_special)}
    ranks = {t: r + n_special for t, r in ranks.items()}
    write(os.path.join(out, name), {"tokenizer.json": from_ranks(ranks, config["pattern"], specials, False)})


def main():
    out = sys.argv[1]
    for arg in sys.argv[2:]:
        name, _, path = arg.rpartition("=")
        if path.endswith(".gguf"):
            tree = from_gguf(path)
            stem = os.path.basename(path)[:-5].replace("ggml-vocab-", "")
            if tree:
                write(os.path.join(out, stem), {"tokenizer.json": tree})
            else:
                print("%s: no BPE model" % path)
        elif path.endswith(".json"):
            from_tekken(out, name, path)
        else:
            from_tiktoken(out, name, path)


if __name__ == "__main__":
    main()
