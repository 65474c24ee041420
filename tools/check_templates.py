#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders conversations through real chat templates with jinja2, set up as transformers does, and with nibble, and shows
every difference. For maintainers: the templates stay where they are, none is committed.

    tools/check_templates.py --render ./jinja_render FOLDER_OF_JINJA_FILES...

Needs jinja2 and transformers (PyPI). The renderer is tests/tools/jinja_render.c (built as it says): it takes a template file and a JSON
file of variables and writes the text, or an error to stderr with an exit status that is not 0."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import jinja2
from transformers.utils import chat_template_utils

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Get the weather \u2014 \"now\" & here <b>", "parameters": {
            "type": "object", "properties": {
                "city": {"type": "string", "description": "City\nname", "enum": ["Paris", "\u6771\u4eac"]},
                "days": {"type": "integer", "default": 3, "minimum": 0},
                "detail": {"type": ["boolean", "null"]},
                "units": {"type": "array", "items": {"type": "string"}}},
            "required": ["city"]}, "return": {"type": "object", "description": "weather"}}},
    {"type": "function", "function": {
        "name": "noop", "description": "Nothing.", "parameters": {
            "type": "object", "properties": {"o": {"type": "object", "properties": {"x": {"type": "number"}},
                                                   "required": ["x"]}}}}},
]
CALL = {"id": "call00001", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 2, "f": 1.0, "ok": True, "n": None,
                                                          "units": ["C", {"k": "\u00e9"}]}}}
CALL2 = {"id": "call00002", "type": "function", "function": {"name": "noop", "arguments": {}}}
UNICODE_CALL = {"id": "call00001", "type": "function",
                "function": {"name": "get_weather", "arguments": {"city": "\u6771\u4eac \U0001f600 <b>&'\"\\\n", "units": [],
                                                                  "o": {"x": {"y": [1e-7, 12345678901234, -0.0]}}}}}
STRING_CALL = {"id": "call00001", "type": "function",
               "function": {"name": "get_weather", "arguments": "{\"city\": \"\u6771\u4eac\"}"}}


def system(text="You are helpful."):
    return {"role": "system", "content": text}


def user(text="Hello"):
    return {"role": "user", "content": text}


def assistant(text="Hi.", **more):
    return {"role": "assistant", "content": text, **more}


def tool(text="{\"t\": 21.5}", **more):
    return {"role": "tool", "content": text, **{"tool_call_id": "call00001", "name": "get_weather", **more}}


def parts(*texts):
    return [{"type": "text", "text": t} for t in texts]


CONVERSATIONS = {
    "user": ([user()], None, {}),
    "system": ([system(), user(), assistant(), user("And?  ")], None, {}),
    "no prompt": ([system(), user(), assistant()], None, {"add_generation_prompt": False}),
    "unicode": ([system("D\u00e9j\u00e0 vu \U0001f600"), user("\u6f22\u5b57 \u0645\u0631\u062d\u0628\u0627 e\u0301\u200d\n\t x"),
                 assistant("\u00df \u00bf"), user("\r\n a\u00a0b \u2028 ")], None, {}),
    "tools": ([system(), user("Weather?")], TOOLS, {}),
    "tools, no system": ([user("Weather?")], TOOLS, {}),
    "call": ([user("Weather?"), assistant("", tool_calls=[CALL]), tool(), assistant("21.5"), user("ok")], TOOLS, {}),
    "call, null content": ([user("Weather?"), assistant(None, tool_calls=[CALL]), tool()], TOOLS, {}),
    "call with text": ([system(), user("W?"), assistant("Let me see.", tool_calls=[CALL]), tool()], TOOLS, {}),
    "two calls": ([user("W?"), assistant("", tool_calls=[CALL, CALL2]), tool(), tool("{}", tool_call_id="call00002", name="noop"),
                   assistant("Done.")], TOOLS, {"add_generation_prompt": False}),
    "string arguments": ([user("W?"), assistant("", tool_calls=[STRING_CALL]), tool()], TOOLS, {}),
    "bare call": ([user("W?"), assistant("", tool_calls=[CALL["function"]]), tool()], TOOLS, {}),
    "tool result object": ([user("W?"), assistant("", tool_calls=[CALL]),
                            tool({"t": 21.5, "s": "a'b\"c"})], TOOLS, {}),
    "tool result list": ([user("W?"), assistant("", tool_calls=[CALL]), tool(parts("a", "b"))], TOOLS, {}),
    "reasoning": ([user("1+1"), assistant("2", reasoning_content="Think: 1+1=2"), user("2+2")], None, {}),
    "reasoning, call": ([system(), user("W?"), assistant("", reasoning_content="Need a tool.\n", tool_calls=[CALL]),
                         tool()], TOOLS, {}),
    "think in text": ([user("1+1"), assistant("<think>\nhm\n</think>\n\n2"), user("2+2")], None, {}),
    "thinking off": ([user("1+1")], None, {"enable_thinking": False}),
    "thinking on": ([system(), user("1+1")], None, {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}),
    "list content": ([system(), {"role": "user", "content": parts("one", " two")}, assistant("x"), user()], None, {}),
    "all lists": ([{"role": "system", "content": parts("sys")}, {"role": "user", "content": parts("one")},
                   {"role": "assistant", "content": parts("two")}, {"role": "user", "content": parts("three")}], None, {}),
    "image": ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}], None, {}),
    "empty": ([system(""), user(""), assistant(""), user("")], None, {}),
    "no messages": ([], None, {}),
    "empty list": ([{"role": "user", "content": []}], None, {}),
    "developer": ([{"role": "developer", "content": "Be brief."}, user()], None, {}),
    "unknown role": ([{"role": "narrator", "content": "x"}, user()], None, {}),
    "two users": ([user("a"), user("b"), assistant("c"), assistant("d")], None, {}),
    "assistant first": ([assistant("a"), user("b")], None, {}),
    "no content": ([user(), {"role": "assistant"}], None, {}),
    "long": ([system()] + [m for i in range(20) for m in (user(f"q{i} "), assistant(f" a{i}", reasoning_content=f"r{i}"))]
             + [user("end")], TOOLS, {}),
    "steps": ([system(), user("go")] + [m for i in range(3) for m in
                                       (assistant("", tool_calls=[CALL], reasoning_content=f"step {i}"), tool(f"r{i}"))],
              TOOLS, {"enable_thinking": True}),
    "documents": ([user("W?")], None, {"documents": [{"title": "T", "text": "D\u00e9"}]}),
    "empty tools": ([user("W?")], [], {}),
    "markup": ([system("<b>&'\"</b>"), user("{{ x }} {% y %} <|im_end|>")], TOOLS, {}),
    "thinking": ([user("1+1"), assistant("2", thinking="Let me.\n\nIt is 2."), user("2+2"), assistant("4", reasoning="So.")],
                 None, {"add_generation_prompt": False}),
    "reasoning, unicode call": ([user("\u5929\u6c17?"), assistant("", reasoning_content="\u898b\u308b\n<tool> & </x>",
                                                              tool_calls=[UNICODE_CALL]), tool("\u6674\u308c \U0001f31e")],
                                TOOLS, {"enable_thinking": True}),
    "reasoning only": ([user("1+1"), assistant(None, reasoning_content="Hm."), user("?")], None, {}),
    "empty reasoning": ([user("1+1"), assistant("2", reasoning_content=""), user("?")], None, {"enable_thinking": False}),
    "lists, call": ([{"role": "system", "content": parts("a", "b")}, {"role": "user", "content": parts("W?")},
                     {"role": "assistant", "content": parts("Let", " me."), "tool_calls": [CALL, CALL2]},
                     tool(parts("r1")), tool(parts("r", "2"), tool_call_id="call00002", name="noop"), user("ok")], TOOLS, {}),
    "empty contents, call": ([system(""), user(""), assistant("", tool_calls=[CALL2]), tool(""), assistant("")], TOOLS,
                             {"add_generation_prompt": False}),
    "two turns of calls": ([system(), user("W?"), assistant("", tool_calls=[CALL], reasoning_content="a"), tool(),
                            assistant("21.5", reasoning_content="b"), user("And there?"),
                            assistant("So.", tool_calls=[UNICODE_CALL], reasoning_content="c"), tool("{}")], TOOLS, {}),
    "date": ([system(), user()], TOOLS, {"date_string": "26 Jul 2024", "strftime_now": "no function"}),
}


def variables(messages, tools, extra):
    messages = chat_template_utils._alias_reasoning_fields(messages)
    return {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "messages": messages, "tools": tools,
            "documents": None, "add_generation_prompt": True, **extra}


def expected(source, values):
    """(True, text), or (False, what is raised, and whether the template itself raises it)."""
    try:
        return True, chat_template_utils._compile_jinja_template(source).render(**values), False
    except jinja2.TemplateError as e:
        return False, f"{type(e).__name__}: {e}", type(e) is jinja2.TemplateError
    except Exception as e:  # whatever else goes wrong
        return False, f"{type(e).__name__}: {e}", False


def says(stderr, want):
    """Whether nibble's error is what raise_exception was called with."""
    return stderr.decode().partition(": ")[2].strip() == want.partition(": ")[2].strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", required=True, help="the renderer: RENDER TEMPLATE_FILE VARIABLES_FILE")
    parser.add_argument("--verbose", action="store_true", help="show both texts around each difference")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    same = errors = worded = differ = 0
    templates = sorted(f for folder in args.folders for f in folder.glob("*.jinja"))
    clean = set(templates)
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "vars.json"
        for template in templates:
            source = template.read_text(encoding="utf-8")
            for name, (messages, tools, extra) in CONVERSATIONS.items():
                values = variables(messages, tools, extra)
                file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
                ok, want, own_words = expected(source, values)
                run = subprocess.run([args.render, template, file], capture_output=True)
                if ok and run.returncode == 0 and run.stdout == want.encode():
                    same += 1
                elif not ok and run.returncode == 1 and (not own_words or says(run.stderr, want)):
                    errors += 1
                    worded += own_words
                    if args.verbose:
                        print(f"  both raise: {template.name} / {name}: {want[:150]!r} | {run.stderr.decode()[:150]!r}")
                else:
                    differ += 1
                    clean.discard(template)
                    got = run.stdout.decode(errors="replace") if run.returncode == 0 else run.stderr.decode()
                    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
                    print(f"DIFFER {template.name} / {name} at {at}: {want[max(0, at - 40):at + 80]!r} | "
                          f"exit {run.returncode} {got[max(0, at - 40):at + 80]!r}")
    print(f"{len(templates)} templates x {len(CONVERSATIONS)} conversations: {same} byte-equal, {errors} raise in both "
          f"({worded} in the template's own words), {differ} differ ({len(clean)} templates without any difference)")
    return differ != 0


if __name__ == "__main__":
    sys.exit(main())
