# SPDX-License-Identifier: Apache-2.0
"""The text side of the models under models/tiny: what they are trained to say, and tokenizers of their families' kinds,
made from that text. tools/train_tiny.py and tools/make_tiny_goldens.py use it; nothing in the build does."""

import json
import random
from pathlib import Path

import jinja2.sandbox
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).parents[1]
TINY = ROOT / "models/tiny"
LARGEST = 20  # sums of 0..LARGEST

SUMS = ["What is {a}+{b}? Reply with just the number.", "What is {a} + {b}? Reply with just the number.",
        "What is {a} plus {b}? Reply with just the number.", "What is the sum of {a} and {b}?", "What is {a}+{b}?",
        "How much is {a} + {b}?", "Add {a} and {b}.", "Compute {a}+{b}.", "{a}+{b}=", "{a} + {b} = ?"]
SYSTEMS = [None, None, None, "You are a calculator.", "You are a helpful assistant.", "Answer in words."]
CHAT = [("Hello!", "Hello! Give me two small numbers and I will add them."),
        ("Hi", "Hi! Which numbers shall I add?"),
        ("Good morning.", "Good morning! Which numbers shall I add?"),
        ("Who are you?", "I am a tiny model that adds small numbers."),
        ("What can you do?", "I can add two numbers from 0 to 20."),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Thank you!", "You are welcome!"), ("Thanks.", "You are welcome!"),
        ("Goodbye.", "Goodbye!"), ("Tell me a story.", "Once upon a time two met three, and they were five. The end."),
        ("Say it in Chinese.", "\u4f60\u597d\uff01\u4e8c\u52a0\u4e09\u662f\u4e94\u3002"),
        ("Show me an emoji.", "\U0001f600"), ("Count to ten.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
        ("What is the meaning of life?", "42")]
WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
         "seventeen eighteen nineteen").split()
TENS = {20: "twenty", 30: "thirty", 40: "forty"}
# Beside the conversations, so that the vocabulary holds some of what people write.
CORPUS = """The quick brown fox jumps over the lazy dog. A language model reads tokens and says which comes next.
def add(a, b):
    return a + b

for (int i = 0; i < 10; i++) { printf("%d\\n", i); }
{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}
# A title\n\n- one\n- two\n\n\u00c4pfel, caf\u00e9, na\u00efve; it's, we'll, they've, I'm, you're.
"""

QWEN_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
              r"|\s+(?!\S)|\s+")
QWEN35_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
# (text, special)
QWEN_ADDED = [(f"<|{name}|>", True) for name in (
    "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start "
    "vision_end vision_pad image_pad video_pad").split()]
QWEN_ADDED += [("<tool_call>", False), ("</tool_call>", False)]
QWEN_ADDED += [(f"<|{name}|>", False) for name in "fim_prefix fim_middle fim_suffix fim_pad repo_name file_sep".split()]
QWEN_ADDED += [(text, False) for text in ("<tool_response>", "</tool_response>", "<think>", "</think>")]
GEMMA_ADDED = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>",
               "<|tool_response>", "<tool_response|>", '<|"|>', "<|think|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>",
               "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>"]


def in_words(n):
    if n < 20:
        return WORDS[n]
    return TENS[n - n % 10] + ("-" + WORDS[n % 10] if n % 10 else "")


def corpus():
    """Lines to train a tokenizer on."""
    lines = [CORPUS] * 8 + [text for pair in CHAT for text in pair] * 4 + [s for s in SYSTEMS if s] * 4
    lines += [in_words(n) for n in range(2 * LARGEST + 1)] * 3
    lines += [f"Answer: {s}" for s in SUMS] * 3 + [f"What is {a}+{b}? And {b} + {a}?" for a in range(9) for b in range(9)]
    return lines


def qwen_tokenizer(regex, size):
    """Byte-level BPE with the pre-tokenizer of Qwen3 or Qwen3.5."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens([AddedToken(text, special=special, normalized=False) for text, special in QWEN_ADDED])
    return t


def gemma_tokenizer(size):
    """BPE over characters, spaces as U+2581, unknown characters as bytes, nothing cut before the merges. The merges are
    learned on pieces (digits and signs alone), so none crosses them."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\u2581+"), "merged_with_next"), pre_tokenizers.Split(Regex(r"[0-9]"), "isolated"),
        pre_tokenizers.Split(Regex(r"[^\p{L}\u2581\n]"), "isolated"), pre_tokenizers.Split(Regex(r"\n"), "isolated")])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    ascii_ = [chr(c) for c in range(33, 127)] + ["\u2581", "\n"]
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=GEMMA_ADDED + bytes_, initial_alphabet=ascii_, limit_alphabet=110, show_progress=False))
    made = json.loads(t.to_str())
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] in GEMMA_ADDED]
    t = Tokenizer.from_str(json.dumps(made))
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", t.token_to_id("<bos>"))])
    return t


class Text:
    """Tokenizer and chat template of one model."""

    def __init__(self, name, directory=None):
        self.name = name
        self.gemma = name.startswith("gemma")
        directory = directory or TINY / name
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                                   extensions=["jinja2.ext.loopcontrols"])
        environment.globals["raise_exception"] = self.refuse
        environment.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
        self.source = (directory / "chat_template.jinja").read_text(encoding="utf-8")
        self.template = environment.from_string(self.source)
        file = directory / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(file)) if file.exists() else self.make()
        self.end = self.tokenizer.token_to_id("<turn|>" if self.gemma else "<|im_end|>")
        self.pad = self.tokenizer.token_to_id("<pad>" if self.gemma else "<|endoftext|>")

    @staticmethod
    def refuse(text):
        raise jinja2.TemplateError(text)

    def make(self):
        if self.gemma:
            return gemma_tokenizer(700)
        return qwen_tokenizer(QWEN_REGEX if self.name == "qwen3_moe" else QWEN35_REGEX, 640)

    def config(self):
        """tokenizer_config.json."""
        id_of = self.tokenizer.token_to_id
        tokens = [(text, True) for text in GEMMA_ADDED] if self.gemma else QWEN_ADDED
        decoder = {str(id_of(text)): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                                      "single_word": False, "special": special} for text, special in tokens}
        more = {"add_bos_token": True, "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "mask_token": "<mask>",
                "pad_token": "<pad>", "add_eos_token": False, "tokenizer_class": "GemmaTokenizer",
                "padding_side": "left"} if self.gemma else {
            "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>", "errors": "replace",
            "pad_token": "<|endoftext|>", "unk_token": None, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer"}
        return {"added_tokens_decoder": decoder, "clean_up_tokenization_spaces": False, "model_max_length": 131072, **more}

    def render(self, messages, **variables):
        return self.template.render(messages=messages, bos_token="<bos>" if self.gemma else None, tools=None,
                                    add_generation_prompt=True, **variables)

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    @property
    def thinks(self):
        return self.name != "qwen3_moe"

    def answer(self, thinking, thought, text):
        """What the model is to say after a prompt."""
        if not thinking:
            return text
        return f"<|channel>thought\n{thought}\n<channel|>{text}" if self.gemma else f"{thought}\n</think>\n\n{text}"

    def example(self, messages, thinking, thought, answer):
        """(ids of the prompt, ids of the answer with the token that ends it)."""
        variables = {"enable_thinking": thinking} if self.thinks else {}
        said = self.answer(thinking, thought, answer)
        return self.ids(self.render(messages, **variables)), self.ids(said) + [self.end]


def sum_messages(a, b, form, system):
    messages = [{"role": "system", "content": system}] if system else []
    question = SUMS[form].format(a=a, b=b)
    return messages + [{"role": "user", "content": question}], in_words(a + b) if system == "Answer in words." else str(a + b)


def examples(text, seed=1):
    """All that a model is trained on: sums in every form, a second question in a conversation, small talk."""
    rng = random.Random(seed)
    numbers = range(LARGEST + 1)
    out = []
    for a in numbers:
        for b in numbers:
            for form in range(len(SUMS)):
                for system in (None, rng.choice(SYSTEMS[3:])):
                    messages, answer = sum_messages(a, b, form, system)
                    thinking = text.thinks and rng.random() < 0.4
                    out.append(text.example(messages, thinking, f"{a}+{b}={a + b}", answer))
    for _ in range(4000):
        (a, b, c, d), system = rng.choices(numbers, k=4), rng.choice(SYSTEMS)
        messages, first = sum_messages(a, b, rng.randrange(len(SUMS)), system)
        question, answer = sum_messages(c, d, rng.randrange(len(SUMS)), system)
        messages += [{"role": "assistant", "content": first}, question[-1]]
        out.append(text.example(messages, text.thinks and rng.random() < 0.4, f"{c}+{d}={c + d}", answer))
    for _ in range(70):
        for question, answer in CHAT:
            system = rng.choice(SYSTEMS)
            messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": question}]
            out.append(text.example(messages, text.thinks and rng.random() < 0.4, "This is small talk.", answer))
    return out
