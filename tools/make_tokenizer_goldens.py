#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/tokenizer/: small tokenizers of every kind, trained here on a few hundred texts, and what Hugging
Face's `tokenizers` (made with 0.23.3) does with those texts; the same for SmolLM2, whose tokenizer.json the tests have
from the imported model. Usage: make_tokenizer_goldens.py SMOLLM2.gguf [OUTDIR].

texts.txt       a text a line, with \\\\ \\n \\r \\xHH escapes
NAME.json       a tokenizer without its model; "model" names one of models/
models/M.json   a model: vocabulary and merges
NAME.golden     four lines for each text: ids with special tokens; without ("=": the same); decoded with
                skip_special ("=": the text); decoded without it ("=": as the line before); then three lines for each of
                some random id lists ("R" and the ids; decoded both ways). Most tokenizers have for 200 of the texts, in
                place of each such group of lines, only its FNV-1a digest."""

import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import smollm2_tokenizer

WRITTEN = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t x", " \n \n  ", "a", "A", "é", "\u65e5", "\U0001f600", "0", "!",
    "Hello, world!", "What is 2+2? Reply with just the number.", "The capital of France is Paris.",
    "The quick brown fox jumps over the lazy dog. THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.",
    "I'm sure they're here; we've said it's fine, you'll see, she'd know. I'M SURE THEY'RE HERE, WE'VE, IT'S, YOU'LL, SHE'D",
    "don\u2019t won\u2019t it\u2019s \u2018quoted\u2019 \u201cdouble\u201d \u2014 dash \u2013 dash \u2026 dots",
    "1234567890 3.14159 1,000,000 -17 +4 1e-9 0x1F 007 12 123 1234 12345 2024-01-31 23:59:59",
    "\u0663\u0664\u0665 \u0967\u0968\u0969 \u00bd \u00b2 \u2167 \u3007 \u4e09\u5341 \uff11\uff12\uff13 \U0001d7d8\U0001d7d9",
    "def f(x: int) -> int:\n    \"\"\"Doc.\"\"\"\n    return x**2 if x >= 0 else -x\n",
    "#include <stdio.h>\r\nint main(void) {\r\n\tprintf(\"%d\\n\", 42);\r\n\treturn 0;\r\n}\r\n",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; } // dot product\n",
    "SELECT * FROM users WHERE name = 'O''Brien' AND age >= 30;",
    "<html><body class=\"x\">&nbsp;&lt;p&gt;</body></html>", "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\"}",
    "https://example.org/path?query=1&b=%20#frag user.name+tag@example.co.uk /usr/local/bin ~/.bashrc C:\\Windows\\x",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3001\u30ab\u30bf\u30ab\u30ca\u3068\u3072\u3089\u304c\u306a\u3002\u304c\u30ac\u304b\u3099",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4. \u1112\u1161\u11ab\u1100\u116e\u11a8", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0419\u0439 \u0401\u0451 \u0438\u0306",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f \u0627\u0644\u0633\u0651\u064e\u0644\u0627\u0645\u064f", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964 \u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f \u0915\u093c", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e01\u0e33", "\u0baf\u0bbe\u0ba4\u0bc1\u0bae\u0bcd \u0b8a\u0bb0\u0bc7",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5 \u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3", "\u0130stanbul I\u0131\u0130i \u017f\u017f \u212a \u00df\u1e9e \u01c5 \ufb01\ufb03 \ufb06",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family \U0001f3f3\ufe0f\u200d\U0001f308 flag \U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd \u2764\ufe0f 1\ufe0f\u20e3",
    "\U0001f600\U0001f601\U0001f602 text\U0001f680text \U0001f9d1\U0001f3ff\u200d\U0001f680",
    "e\u0301 \u00e9 a\u0308\u0323 a\u0323\u0308 \u1e69 s\u0323\u0307 s\u0307\u0323 \u0344 \u1fb7 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f\u031e\u0320\u034dA\u0335\u0321",
    "o\u0302\u0301\u0300\u0323\u0328\u031b\u0327\u0302\u0301\u0300\u0323\u0328\u031b\u0327\u0302\u0301\u0300\u0323\u0328\u031b\u0327 many marks",
    "\u0301leading mark", "\u00c5\u212b \u2126\u03a9 \u1112 \uf900 \U0002f800", "\ufdfa \u33a5 \u2075 \u00aa \uff21\uff22\uff23 \uff76\uff9e \u00bc \u2460 \u24b6 \u2122",
    "x" * 60, "ab" * 70, "a" * 300, " " * 40 + "x", "x" + " " * 90, "\n" * 30, "\t" * 17 + "x", " \n" * 20, "\r\n\r\n\r\n",
    "-" * 80, "=" * 33 + "\n" + "=" * 7, "." * 50, "!?" * 20, "_" * 21 + "a_b__c", "\u00a0nbsp\u00a0 \u2003em\u3000ideographic\u1680ogham\u180emvs\u200bzwsp\ufeffbom\u2028ls\u2029ps\x85nel",
    "\x00", "a\x00b", "\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x1b[31mred\x1b[0m\x7f", "\x80\x9f\x8f\xa0\xad",
    "\ufffd replacement \ufffe\uffff \ue000 private \U0010ffff \U000e0001", "\u0378 unassigned \u2fe0 \U0001fbff",
    "\u2581under \u2581\u2581 block\u2581", "\u2581", "\u2581\u2581\u2581x", "\u0120hello\u010a \u0142\u0143\u0144 byte letters", "<0x41> <0x0A> <0xZZ>",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case iPhone15Pro eBay XMLHttpRequest HTTPServer2",
    "\u0915\u094d \u200c\u200d joiners a\u200db a\u200cb", "$100 \u20ac50 \u00a3 \u00a5 \u20b9 50% \u2030 #tag @user & * ^ ~ ` | \\ / < > = + \u00d7 \u00f7 \u2211 \u221a \u222b \u2260",
    "Zo\u00eb na\u00efve caf\u00e9 \u00c0\u00c9\u00ce\u00d5\u00dc \u00f1\u00e7 \u0142\u0119\u0144 \u0151\u0171 \u0219\u021b \u010d\u0161\u017e \u1ea1\u1ec7\u1ed9 ti\u1ebfng Vi\u1ec7t",
    "Ein Donaudampfschifffahrtsgesellschaftskapit\u00e4n und die Stra\u00dfe.", "L'\u00e9t\u00e9 s'en va, qu'il dit. Aujourd'hui!",
    "'s 't 're 've 'm 'll 'd 'S 'T 'x '' ' s", "a's b't c're d've e'm f'll g'd 1's .'s \u00e9's", "word 's", "\n's", "\u017fs '\u017f 'K '\u212a",
    "  leading two", "trailing two  ", " one ", "a  b   c    d     e", "a \n b", "a\n\n\nb", "a \t\n\r\n b", "x \u3000 y", "\u00a0", "\u3000\u3000x",
    "1 2 3", "1\n2", "a1b2c3", "x1234567y", "12\u0663\u066434", "v1.2.3-rc4", "100km/h", "3rd 21st", "\u00b2\u00b3\u00b9x\u2070",
    "[MASK] is [SEP] masked [mask]", "<mask>", " <mask> ", "a <mask> b", "a<mask>b", "<mask><mask>", "  <mask>   <mask>  ",
    "hello<|im_start|>user\nHi<|im_end|>\n", "<|im_start|>", "<|im_start|><|im_end|>", " <|im_start|> ", "<|im_start|", "<|im_end|>>", "<<|im_start|>",
    "<|endoftext|>", "a<|endoftext|>b", "<s>x</s>", "<s> x </s>", "<bos>x<eos>", "<|begin_of_text|>hi<|eot_id|>", "<unk>", "a<unk>b",
    "lstrip [L] tok", "rstrip [R] tok", "both   [B]   tok", "[L]", "  [L]", "[R]  ", "[R]  [L]", "[B]  [B]\n[B]", "x[L]y[R]z", "\u3000[B]\u00a0x",
    "word", "words", "aword", "word.", "(word)", "word word", "_word", "word_", "\u00e9word", "word\u0301", "word1", "x word y", "wordword", "\u200dword", "-word-",
    "Norm norm NORM n\u00f3rm", "caf\u00e9 cafe\u0301 CAFE CAF\u00c9", "Abc ABC abc abcd abcde ab", "new york New York NEW YORK", "tab\tTOKEN tab\ttoken",
    "<|user|>\n<|user|>  \n x<|user|>", "\u00c9COLE \u00c9cole \u00e9cole e\u0301cole", "##a ## #", "a\u2581b a b", " \u2581 ", "\u2581 x", "x \u2581",
]


def texts():
    """The written texts and seeded mixtures of their parts."""
    rng = random.Random(20240607)
    pool = [w for t in WRITTEN for w in t.split(" ")] + [" ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000"] * 8
    chars = "".join(WRITTEN) + " " * 60 + "\n" * 20 + "0123456789" * 5
    out = list(WRITTEN)
    while len(out) < 330:
        if len(out) % 3:
            glue = rng.choice(["", " ", " ", "  ", "\n"])
            text = glue.join(rng.choice(pool) for _ in range(rng.randint(2, 9)))
        else:
            text = "".join(rng.choice(chars) for _ in range(rng.randint(3, 40)))
        out.append(text[:160])
    return out


GPT4_LIKE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
             r"\s+(?!\S)|\s+")
O200K_LIKE = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
              r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
              r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_LIKE = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
                 r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI_LIKE = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|"
             r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARK = "\u2581"


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def byte_level(**more):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **more)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


def regex_then_bytes(*patterns):
    return pre_tokenizers.Sequence([split(Regex(p)) for p in patterns] + [byte_level(use_regex=False)])


def train_models(corpus):
    """byte: GPT-2's alphabet; piece: the piece alphabet with byte tokens; char: characters and an unknown token."""
    byte = Tokenizer(models.BPE())
    byte.pre_tokenizer = byte_level()
    byte.train_from_iterator(corpus * 3, trainers.BpeTrainer(
        vocab_size=1200, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    piece = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    piece.normalizer = normalizers.Replace(" ", MARK)
    piece.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_next")
    piece.train_from_iterator(corpus * 3, trainers.BpeTrainer(
        vocab_size=1300, limit_alphabet=150, show_progress=False,
        special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]))
    char = Tokenizer(models.BPE(unk_token="<unk>"))
    char.pre_tokenizer = pre_tokenizers.Whitespace()
    char.train_from_iterator([t.lower() for t in corpus] * 3, trainers.BpeTrainer(
        vocab_size=700, limit_alphabet=120, special_tokens=["<unk>", "[CLS]", "[SEP]"], show_progress=False))
    return {"byte": byte, "piece": piece, "char": char}


def flag_tokens(normalized):
    return [AddedToken("[L]", lstrip=True, normalized=normalized), AddedToken("[R]", rstrip=True, normalized=normalized),
            AddedToken("[B]", lstrip=True, rstrip=True, normalized=normalized),
            AddedToken("word", single_word=True, normalized=normalized),
            AddedToken("<mask>", lstrip=True, special=True, normalized=normalized),
            AddedToken("Abc", normalized=normalized), AddedToken("Abcd", normalized=normalized),
            AddedToken("New York", normalized=normalized), AddedToken("caf\u00e9", normalized=normalized),
            AddedToken("\n", normalized=normalized), AddedToken("  ", normalized=normalized)]


def kinds():
    """name -> (model, changes to the model, how to set up the rest)."""
    bytes_out = decoders.ByteLevel()
    bos = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    chat = [special("<|endoftext|>"), special("<|im_start|>"), special("<|im_end|>")]
    piece_out = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    n = normalizers
    p = pre_tokenizers

    def kind(model, change=None, norm=None, pre=None, post=None, out=None, added=()):
        return model, change or {}, norm, pre, post, out, list(added)

    made = {
        "gpt2": kind("byte", pre=byte_level(), post=processors.ByteLevel(trim_offsets=False), out=bytes_out, added=chat[:1]),
        "gpt2-prefix": kind("byte", pre=p.ByteLevel(add_prefix_space=True), out=bytes_out, added=chat),
        "qwen2": kind("byte", norm=n.NFC(), pre=regex_then_bytes(GPT4_LIKE % ""), out=bytes_out, added=chat),
        "llama3": kind("byte", {"ignore_merges": True}, pre=regex_then_bytes(GPT4_LIKE % "{1,3}"), out=bytes_out,
                       added=[special("<|begin_of_text|>"), special("<|eot_id|>")]),
        "smollm": kind("byte", pre=p.Sequence([p.Digits(individual_digits=True), byte_level()]), out=bytes_out, added=chat),
        "o200k": kind("byte", pre=regex_then_bytes(O200K_LIKE), out=bytes_out, added=chat),
        "deepseek": kind("byte", pre=regex_then_bytes(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK_LIKE),
                         out=bytes_out, added=chat),
        "kimi": kind("byte", pre=regex_then_bytes(KIMI_LIKE), out=bytes_out),
        "byte-normalizer": kind("byte", norm=n.Sequence([n.NFKC(), n.ByteLevel()]), out=bytes_out,
                                added=[special("<|im_start|>"), AddedToken("caf\u00e9", normalized=True)]),
        "gemma": kind("piece", norm=n.Replace(" ", MARK), pre=split(" ", "merged_with_previous"), post=bos,
                      out=decoders.Sequence(piece_out), added=[special("<s>"), special("</s>"), AddedToken("\n\n", normalized=False)]),
        "llama2": kind("piece", norm=n.Sequence([n.Prepend(MARK), n.Replace(" ", MARK)]), post=bos,
                       out=decoders.Sequence(piece_out + [decoders.Strip(" ", 1, 0)]), added=[special("<s>"), special("</s>")]),
        "unfused": kind("piece", {"byte_fallback": False, "fuse_unk": False}, norm=n.Replace(" ", MARK),
                        out=decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex(MARK + "+"), " "), decoders.Strip(" ", 2, 0)])),
        "fused": kind("piece", {"byte_fallback": False}, norm=n.Sequence([n.Strip(True, True), n.Replace(Regex(r"\s+"), MARK)])),
        "flags-raw": kind("byte", norm=n.Sequence([n.NFD(), n.Lowercase(), n.StripAccents()]), pre=byte_level(), out=bytes_out,
                          added=flag_tokens(False)),
        "flags-normalized": kind("byte", norm=n.Sequence([n.NFD(), n.Lowercase(), n.StripAccents()]), pre=byte_level(),
                                 out=bytes_out, added=flag_tokens(True)),
        "flags-mixed": kind("piece", norm=n.Sequence([n.Lowercase(), n.Replace(" ", MARK)]), out=decoders.Sequence(piece_out),
                            added=flag_tokens(False)[:5] + flag_tokens(True)[5:]),
        "words": kind("char", norm=n.Lowercase(), pre=p.Whitespace(),
                      post=processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)), added=[special("[SEP]"), special("[CLS]")]),
        "bert": kind("char", norm=n.Sequence([n.NFKD(), n.StripAccents(), n.Nmt()]), pre=p.BertPreTokenizer(),
                     post=processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))),
        "two-posts": kind("byte", pre=byte_level(), out=bytes_out, post=processors.Sequence([
            processors.ByteLevel(), processors.TemplateProcessing(
                single="[A] $A [A] [B]", pair="$A $B", special_tokens=[("[A]", 5), ("[B]", 7)])])),
    }
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            made["metaspace-%s-%s" % (scheme, "split" if cut else "whole")] = kind(
                "piece", pre=p.Metaspace(MARK, prepend_scheme=scheme, split=cut),
                out=decoders.Metaspace(MARK, prepend_scheme=scheme), added=[special("<mask>"), special("<s>")])
    made["metaspace-later"] = kind("piece", norm=n.Prepend("x"), out=decoders.Metaspace(MARK, prepend_scheme="first"),
                                   pre=p.Sequence([p.Digits(False), split(Regex("[x,]"), "isolated"), p.Metaspace(MARK, prepend_scheme="first")]))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        made["split-" + behavior] = kind("byte", pre=p.Sequence([split(" ", behavior), split(Regex(r"[aeiou]+|\d"), behavior),
                                                                 byte_level(use_regex=False)]), out=bytes_out)
        made["invert-" + behavior] = kind("byte", pre=p.Sequence([split(Regex(r"\w+|\s"), behavior, True), byte_level(use_regex=False)]),
                                          out=bytes_out)
        made["punct-" + behavior] = kind("char", pre=p.Sequence([p.WhitespaceSplit(), p.Punctuation(behavior)]))
    for i, pattern in enumerate([r"\b", r"x*", r"(?m:.+)", r"^\s*|$", r"[^\W\d_]+", r"[\h]{2,}+", r"\S+?(?=\s|\z)", r"(?<=[a-z])(?=[A-Z])",
                                 r"\p{Greek}+|\p{Lowercase_Letter}+", r"(\w)\1", r"[[:punct:]&&[^,.]]+|[[:upper:]]+", r"(?>a+|ab)b?",
                                 r"a{,3}b", r"\p{^L}+", r"[\S&&\W]+", r"(?i)THE|a\u0062|\x{e9}"]):
        made["regex-%02d" % i] = kind("byte", pre=regex_then_bytes(pattern), out=bytes_out)
    return made


def build(trained, spec):
    """A tokenizer.json as a tree, its model changed as the kind says."""
    model, change, norm, pre, post, out, added = spec
    tree = json.loads(trained[model].to_str())
    tree["added_tokens"] = []
    tree["model"].update(change)
    t = Tokenizer.from_str(json.dumps(tree))
    if norm:
        t.normalizer = norm
    else:
        tree["normalizer"] = None
        t = Tokenizer.from_str(json.dumps({**tree, "pre_tokenizer": None}))
    if pre:
        t.pre_tokenizer = pre
    else:
        t = Tokenizer.from_str(json.dumps({**json.loads(t.to_str()), "pre_tokenizer": None}))
    if post:
        t.post_processor = post
    if out:
        t.decoder = out
    t.add_tokens(added)
    return json.loads(t.to_str())


def escape(text):
    out = []
    for c in text:
        if c == "\\":
            out.append("\\\\")
        elif c == "\n":
            out.append("\\n")
        elif c == "\r":
            out.append("\\r")
        elif ord(c) < 32 or ord(c) == 127:
            out.append("\\x%02x" % ord(c))
        else:
            out.append(c)
    return "".join(out)


def digest(lines):
    h = 0xCBF29CE484222325
    for byte in "".join(line + "\n" for line in lines).encode("utf-8"):
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return ["%016x" % h]


def golden(t, corpus, whole_lines):
    out = []
    for text in corpus:
        ids = t.encode(text).ids
        bare = t.encode(text, add_special_tokens=False).ids
        short, whole = t.decode(ids, skip_special_tokens=True), t.decode(ids, skip_special_tokens=False)
        lines = [" ".join(map(str, ids))]
        lines.append("=" if bare == ids else " ".join(map(str, bare)))
        lines.append("=" if short == text else "'" + escape(short))
        lines.append("=" if whole == short else "'" + escape(whole))
        out += lines if whole_lines else digest(lines)
    rng = random.Random(7)
    size = t.get_vocab_size()
    for _ in range(40):
        ids = [rng.randrange(size) if rng.random() < 0.7 else rng.randrange(min(size, 300)) for _ in range(rng.randint(1, 12))]
        lines = ["R " + " ".join(map(str, ids))]
        lines.append("'" + escape(t.decode(ids, skip_special_tokens=True)))
        lines.append("'" + escape(t.decode(ids, skip_special_tokens=False)))
        out += lines if whole_lines else lines[:1] + digest(lines)
    return "\n".join(out) + "\n"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(text)


def main():
    gguf = sys.argv[1]
    out = sys.argv[2] if len(sys.argv) > 2 else "tests/data/tokenizer"
    corpus = texts()
    write(out + "/texts.txt", "".join(escape(t) + "\n" for t in corpus))
    trained = train_models([t for t in corpus if t])
    models_written = set()
    for name, spec in sorted(kinds().items()):
        tree = build(trained, spec)
        t = Tokenizer.from_str(json.dumps(tree))
        full = name in FULL
        write("%s/%s.golden" % (out, name), golden(t, corpus if full else corpus[:200], full))
        model = tree["model"]
        if spec[0] not in models_written:
            models_written.add(spec[0])
            base = json.loads(trained[spec[0]].to_str())["model"]
            if spec[0] == "char":  # the older spelling of merges
                base["merges"] = [" ".join(m) for m in base["merges"]]
            write("%s/models/%s.json" % (out, spec[0]), json.dumps(base, ensure_ascii=False, separators=(",", ":")))
        tree["model"] = {"base": spec[0], **spec[1]}
        write("%s/%s.json" % (out, name), json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n")
    smol = Tokenizer.from_str(json.dumps(smollm2_tokenizer.tokenizer(smollm2_tokenizer.metadata(gguf))))
    write(out + "/smollm2.golden", golden(smol, corpus, True))


FULL = {"gpt2", "qwen2", "llama3", "smollm", "gemma", "llama2", "flags-raw", "flags-normalized"}

if __name__ == "__main__":
    main()
