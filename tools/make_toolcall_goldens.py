#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/toolcall/cases.json: answers in every tool-call format, and what they hold. For maintainers.

    tools/make_toolcall_goldens.py [--out FILE]

What an answer holds is said by mlx-lm (0.32.2): its state machine finds the marks, its parsers read the calls. Where
mlx-lm is wrong, refuses, or has no parser, the case says by hand what is right (`by_hand`). Space behind a mark is
layout in nibble and taken away here. Needs mlx-lm."""
import argparse
import importlib
import json
import pathlib

from mlx_lm.generate import TextStateMachine


def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "description": "", "parameters": {
        "type": "object", "properties": properties, "required": []}}}


TOOLS = [
    tool("get_weather", city={"type": "string"}, days={"type": "integer"}, detail={"type": "boolean"},
         ratio={"type": "number"}, units={"type": "array", "items": {"type": "string"}},
         options={"type": "object"}),
    tool("write_file", path={"type": "string"}, content={"type": "string"}),
    tool("choose", kind={"enum": ["a", "b"]}, level={"anyOf": [{"type": "integer"}, {"type": "null"}]},
         either={"type": ["integer", "string"]}, free={"description": "no type"}),
    tool("now"),
]
THINK = ("<think>", "</think>")
GEMMA_THINK = ("<|channel>thought", "<channel|>")
CASES = []


def case(format, text, by_hand=None, think=THINK, prompt=None, tools=TOOLS):
    CASES.append({"format": format, "text": text, "by_hand": by_hand, "think": think, "prompt": prompt, "tools": tools})


def hand(content="", *calls, reasoning=""):
    """What an answer holds, written down: calls are (name, arguments) or (name, arguments, id)."""
    return {"content": content, "reasoning": reasoning,
            "calls": [dict(zip(("name", "arguments", "id"), c)) for c in calls]}


def everywhere(format, call, other, think=THINK):
    """What every format must do with a whole call, and with a second one."""
    opens, closes = think
    case(format, "Hello, world.", think=think)
    case(format, call, think=think)
    case(format, f"Let me see.\n\n{call}", think=think)
    case(format, f"{opens}\nI need the weather.\n{closes}\n\n{call}", think=think)
    case(format, f"{opens}Only thoughts", think=think)
    case(format, f"{opens}\na < b && <tool\n{closes}\n\n5 < 6 and <th", think=think)
    case(format, "I need it.{}\n\n{}".format(closes, call), think=think, prompt=f"<|user|>x<|assistant|>{opens}\n")
    case(format, call, hand(call), think=think, tools=None)
    case(format, "\u6771\u4eac \U0001f600 <\u00e9> " + call, think=think)
    if other:
        case(format, f"{call}\n{other}", think=think)
        case(format, f"A {call} and {other}", think=think)
    # Reasoning opens at the beginning only: later the mark is something that the answer speaks of.
    case(format, f"The mark {opens} is text{closes}.", hand(f"The mark {opens} is text{closes}."), think=think)
    case(format, "", think=think)


# ---- json_tools ------------------------------------------------------------------------------------------------------

def json_tools():
    f = "json_tools"

    def call(body):
        return f"<tool_call>\n{body}\n</tool_call>"

    weather = call('{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}')
    everywhere(f, weather, call('{"name": "now", "arguments": {}}'))
    case(f, call('{"name": "get_weather", "arguments": {"city": "\u6771\\u4eac \\"x\\" \\\\ {}[]", "units": ["C", "}"]}}'))
    case(f, call('{"arguments": {"a": {"b": [1, 2.5e3, null, true]}}, "name": "f"}'))
    case(f, '<tool_call>{"name":"f","arguments":{}}</tool_call>')
    case(f, call('{"name": "nobody_knows_me", "arguments": {"x": -0.5}}'))
    case(f, '<tool_call>{"name": "f", "arguments": {"x": "</tool_call>"}}</tool_call>ok',
         hand("ok", ("f", {"x": "</tool_call>"})))
    case(f, call('[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]'))
    case(f, call('{"name": "f"}'), hand("", ("f", {})))
    case(f, call('{"name": "f", "arguments": null}'), hand("", ("f", {})))
    case(f, call('{"name": "f", "arguments": "{\\"a\\": \\"\\\\u00e9\\"}"}'), hand("", ("f", {"a": "\u00e9"})))
    case(f, call('{"id": "call_7", "name": "f", "arguments": {"a": 1}, "type": "function", "n": 12}'),
         hand("", ("f", {"a": 1}, "call_7")))
    case(f, call('{"name": "f", "arguments": {"text": "two\nlines\tof"}}'), hand("", ("f", {"text": "two\nlines\tof"})))
    case(f, '<tool_call>{"name": "f", "arguments": {"a": 1}}', hand("", ("f", {"a": 1})))
    case(f, '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool', hand("", ("f", {"a": 1})))
    # Malformed: all of it is text.
    for bad in ('<tool_call>hello</tool_call>', '<tool_call>\n{"name": "f", "arguments": {"a": 1,}}\n</tool_call> x',
                '<tool_call>{"name": 5, "arguments": {}}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>',
                '<tool_call>{"name": "f", "arguments": [1]}</tool_call>', '<tool_call>{"name": "f", "argu',
                '<tool_call>', '<tool_call></tool_call>', '<tool_call>{"name": "", "arguments": {}}</tool_call>',
                '<tool_call>{"name": "f", "arguments": {"a": 01}}</tool_call>', '<tool_call>[]</tool_call>',
                '<tool_call>"text"</tool_call>', '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>'):
        case(f, bad, hand(bad))
    case(f, f"<tool_call>{weather}", hand("<tool_call>", ("get_weather", {"city": "Paris", "days": 2})))
    case(f, weather + " </tool_call> x", hand("</tool_call> x", ("get_weather", {"city": "Paris", "days": 2})))
    case(f, "<think>a<tool_call>b</think>c", hand("c", reasoning="a<tool_call>b"))
    case(f, f"<think>a {weather} b</think>c", hand("b</think>c", ("get_weather", {"city": "Paris", "days": 2}),
                                                  reasoning="a "))
    case(f, "<think>a</think><think>b</think> c", hand("c", reasoning="ab"))
    case(f, "<<tool_call<tool_call>>< tool_call>", hand("<<tool_call<tool_call>>< tool_call>"))
    case(f, "What does <think> mean?", prompt="<|user|>What is <think> for?<|assistant|>",
         by_hand=hand("What does <think> mean?"))


# ---- Marks around names and values -------------------------------------------------------------------------------------

def qwen3_coder():
    f = "qwen3_coder"

    def call(name, **arguments):
        inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in arguments.items())
        return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"

    everywhere(f, call("get_weather", city="Paris", days="2"), call("now"))
    case(f, call("get_weather", city="123", days="5.0", detail="true", ratio="0.25", units='["C", "F"]', options='{"a": {"b": 1}}'))
    case(f, call("get_weather", city="null", days="null", detail="False", ratio="3"))
    case(f, call("get_weather", units="['C', 'F']", options="{'a': None, 'b': True}"))
    case(f, call("get_weather", days="many", detail="maybe"), hand("", ("get_weather", {"days": "many", "detail": "maybe"})))
    case(f, call("nobody", x="5", y='{"a": 1}', z="true"))
    case(f, call("choose", kind="a", level="3", either="x", free="5"), hand("", ("choose", {"kind": "a", "level": 3, "either": "x", "free": "5"})))
    case(f, call("choose", level="null", free='{"a": [1]}'))
    case(f, call("write_file", path="a.c", content="int main(void) {\n    return \"<b>\" < '\\n';\n}\n"))
    case(f, call("write_file", path="", content="\n\n  indented\n\n"))
    case(f, call("write_file", path="caf\u00e9 \U0001f600", content="&lt; <br/> </param> <parameter"))
    case(f, call("write_file", content="a</parameter>b </parameter >"),
         hand("", ("write_file", {"content": "a</parameter>b </parameter >"})))
    case(f, call("write_file", content="</parameter>\n</function>?"),
         hand("?\n</parameter>\n</function>\n</tool_call>", ("write_file", {"content": ""})))
    case(f, call("write_file", content="x</tool_call>\n<tool_call>y"),
         hand("", ("write_file", {"content": "x</tool_call>\n<tool_call>y"})))
    case(f, "<tool_call><function=now></function></tool_call>")
    case(f, "<tool_call>\n<function=now>\n</function>\n", hand("", ("now", {})))
    case(f, "<tool_call><function=now></function><function=g><parameter=a>1</parameter></function></tool_call>",
         hand("", ("now", {}), ("g", {"a": "1"})))
    for bad in ("<tool_call>\nfunction=f</tool_call>", "<tool_call>\n<function=>\n</function></tool_call>",
                "<tool_call>\n<function=f>\njunk</function>\n</tool_call>", "<tool_call>\n<function=f>\n<parameter=a>1",
                "<tool_call>\n<function=f>\n</tool_call>", "<tool_call></tool_call>", "<tool_call>\n<func",
                "<tool_call><function=f><parameter=a>1</parameter>x</tool_call>", "<tool_call>{\"name\": \"f\"}</tool_call>"):
        case(f, bad, hand(bad))
    case(f, "<tool_call>\n<" + call("now"), hand("<tool_call>\n<", ("now", {})))


def minimax_m2():
    f = "minimax_m2"

    def invoke(name, **arguments):
        inner = "".join(f'<parameter name="{k}">{v}</parameter>\n' for k, v in arguments.items())
        return f'<invoke name="{name}">\n{inner}</invoke>\n'

    def call(*invokes):
        return "<minimax:tool_call>\n" + "".join(invokes) + "</minimax:tool_call>"

    everywhere(f, call(invoke("get_weather", city="Paris", days="2")), call(invoke("now")))
    case(f, call(invoke("get_weather", city="Paris"), invoke("get_weather", city="Rome", detail="yes"), invoke("now")))
    case(f, call(invoke("get_weather", city="5", days="7", detail="false", ratio="2.5", units='["C"]', options='{"a": null}')))
    case(f, call(invoke("get_weather", city="null", days="null", detail="on", ratio="4.0")))
    case(f, call(invoke("choose", kind="b", level="3", either="12", free="text")))
    case(f, call(invoke("choose", level="null", either="twelve")))
    case(f, call(invoke("get_weather", units="['a', 'b']", options="{'k': (1, 2)}")))
    case(f, call(invoke("nobody", x="5", y="true")))
    case(f, call(invoke("write_file", path="a b", content="line 1\n  line <2> & \"3\"")))
    case(f, call("<invoke name='now'></invoke>"))
    case(f, call("<invoke name=now></invoke>"))
    case(f, call(invoke("get_weather", days="soon")), hand("", ("get_weather", {"days": "soon"})))
    case(f, call(invoke("write_file", content="a</parameter>b</invoke>c")),
         hand("", ("write_file", {"content": "a</parameter>b</invoke>c"})))
    case(f, "<minimax:tool_call>\n" + invoke("now"), hand("", ("now", {})))
    case(f, "<minimax:tool_call>\n" + invoke("now") + "junk</minimax:tool_call>",
         hand("junk</minimax:tool_call>", ("now", {})))
    for bad in ("<minimax:tool_call></minimax:tool_call>", "<minimax:tool_call>\ncall f", '<minimax:tool_call><invoke name="f">',
                '<minimax:tool_call><invoke name="f"><parameter name="a">1</invoke></minimax:tool_call>',
                '<minimax:tool_call><invoke name=""></invoke></minimax:tool_call>'):
        case(f, bad, hand(bad))


def keyed(f, opens, closes, key, value, think=THINK):
    def call(name, **arguments):
        inner = "".join(f"<{key}>{k}</{key}>\n<{value}>{v}</{value}>\n" for k, v in arguments.items())
        return f"{opens}{name}\n{inner}{closes}"

    everywhere(f, call("get_weather", city="Paris", days="2"), call("get_weather", city="Rome"), think=think)

    def mine(text, by_hand=None):
        case(f, text, by_hand, think=think)

    mine(call("get_weather", city="5", days="7", detail="false", ratio="2.5", units='["C", "]"]', options='{"a": {"b": null}}'))
    mine(call("get_weather", city="null", units="['a', 'b']", options="{'k': True}"))
    mine(call("nobody", a="5", b="text", c="true", d="null", e='{"x": [1]}', g='"quoted"'))
    mine(call("write_file", path=" a b ", content="line 1\n  line <2> & \"3\""))
    mine(call("write_file", path="\u00e9\u6f22", content="<b>bold</b> </arg> <arg_"))
    mine(call("write_file", content=f"a</{value}>b"), hand("", ("write_file", {"content": f"a</{value}>b"})))
    mine(f"{opens}now{closes}", hand("", ("now", {})))
    mine(f"{opens}\nnow\n{closes}", hand("", ("now", {})))
    mine(f"{opens}get_weather <{key}> city </{key}><{value}>Paris</{value}>{closes}")
    mine(f'{opens}{{"name": "get_weather", "arguments": {{"city": "Paris"}}}}{closes}')
    mine(f'{opens}get_weather\n{{"city": "Paris"}}{closes}', hand("", ("get_weather", {"city": "Paris"})))
    mine(f'{opens}get_weather {{"city": "}} {closes}"}}{closes}', hand("", ("get_weather", {"city": f"}} {closes}"})))
    for bad in (f"{opens}{closes}", f"{opens}two words{closes}", f"{opens}f<{key}>a</{key}>1{closes}",
                f"{opens}f<{key}>a</{key}><{value}>1", f"{opens}f<{key}></{key}><{value}>1</{value}>{closes}",
                f"{opens}f", f'{opens}{{"name": "f",, }}{closes}'):
        mine(bad, hand(bad))


# ---- Names in front of JSON --------------------------------------------------------------------------------------------

def kimi_k2():
    f = "kimi_k2"

    def one(id, arguments):
        return f"<|tool_call_begin|>{id}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"

    def call(*calls):
        return "<|tool_calls_section_begin|>" + "".join(calls) + "<|tool_calls_section_end|>"

    everywhere(f, call(one("functions.get_weather:0", '{"city": "Paris"}')), call(one("functions.now:1", "{}")))
    case(f, call(one("functions.get_weather:0", '{"city": "Paris"}'), one("functions.now:1", "{}"), one("functions.f:2", '{"a": [{"b": "}"}]}')))
    case(f, call("\n", one(" functions.f:12 ", ' {"a": "\\"<|tool\\u00e9"} '), "\n"))
    case(f, call(one("f:0", '{"a": 1.5}')))
    case(f, call('functions.f:0<|tool_call_argument_begin|>{"a": 1}'))
    case(f, call(one("functions.a.b-c:3", '{"x": {"y": {}}}')))
    case(f, call(one("functions.f:0", '{"a": "<|tool_call_end|>"}')), hand("", ("f", {"a": "<|tool_call_end|>"}, "functions.f:0")))
    case(f, call(one("lonely", "{}")), hand("", ("lonely", {}, "lonely")))
    case(f, "<|tool_calls_section_begin|>" + one("functions.f:0", "{}"), hand("", ("f", {}, "functions.f:0")))
    case(f, call(one("functions.f:0", "{}"), "junk"), hand("junk<|tool_calls_section_end|>", ("f", {}, "functions.f:0")))
    for bad in (call(), call(one("", "{}")), call(one("functions.f:0", "a=1")), call(one("functions.f:0", "[1]")),
                call(one("functions.f:0", '{"a": 1')), call("<|tool_call_begin|>functions.f:0"),
                "<|tool_calls_section_begin|><|tool_call_beg"):
        case(f, bad, hand(bad))


def mistral():
    f = "mistral"
    weather = '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}'
    everywhere(f, '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}', None)
    case(f, weather + 'now[ARGS]{}')
    case(f, weather + ' \n get-it_2[ARGS] {"a": "[ARGS]{"}')
    case(f, '[TOOL_CALLS] get_weather [ARGS]{"a": {"b": [1, "\\u00e9", "]"]}}')
    case(f, '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}}]')
    case(f, '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdef123"}, {"name": "g", "arguments": {}}]')
    case(f, '[TOOL_CALLS][{"name": "f", "arguments": "{\\"a\\": \\"x\\"}"}]')
    case(f, '[TOOL_CALLS][{"name": "f"}]')
    case(f, weather + '[TOOL_CALLS]now[ARGS]{}')
    case(f, '[TOOL_CALLS]f[CALL_ID]abcdef123[ARGS]{"a": 1}', hand("", ("f", {"a": 1}, "abcdef123")))
    case(f, weather + " That is all.", hand("That is all.", ("get_weather", {"city": "Paris", "days": 2})))
    case(f, weather + " \u00e9", hand("\u00e9", ("get_weather", {"city": "Paris", "days": 2})))
    case(f, weather + " word", hand("word", ("get_weather", {"city": "Paris", "days": 2})))
    case(f, "[THINK]hm[/THINK]" + weather, hand("", ("get_weather", {"city": "Paris", "days": 2}), reasoning="hm"),
         think=("[THINK]", "[/THINK]"))
    for bad in ("[TOOL_CALLS]", "[TOOL_CALLS] no call", "[TOOL_CALLS]f[ARGS]", '[TOOL_CALLS]f[ARGS]{"a": ', "[TOOL_CALLS]f[ARGS][1]",
                "[TOOL_CALLS][1, 2]", '[TOOL_CALLS][{"name": "f", "arguments": 5}]', "[TOOL_CALLS]f[ARG]{}", "[TOOL_CALLS]f",
                '[TOOL_CALLS][{"name": "f", "arguments": "no json"}]'):
        case(f, bad, hand(bad))


# ---- Literals ----------------------------------------------------------------------------------------------------------

def gemma(f, opens, closes, q, think):
    def call(body):
        return f"{opens}{body}{closes}"

    def mine(text, by_hand=None):
        case(f, text, by_hand, think=think)

    everywhere(f, call("call:get_weather{city:" + q + "Paris" + q + ",days:2}"), call("call:now{}"), think=think)
    mine(call("call:f{a:" + q + "x, y: z" + q + ",b:" + q + q + ",c:true,d:null,e:-1.5e3}"))
    mine(call("call:f{a:" + q + "line 1\nline \"2\" \\ \u00e9\u6771" + q + "}"))
    mine(call("call:nobody{x:" + q + "1" + q + "}"))
    mine(call("call:f{" + "a_b:1,c2:2}"))
    braces = "{ } [ ] , : { "
    by_hand = None if f == "gemma4" else hand("", ("f", {"a": braces, "b": 1}))
    mine(call("call:f{a:" + q + braces + q + ",b:1}"), by_hand)
    nested = "call:f{o:{k:[1,2,{z:" + q + "}" + q + "}],e:{}},l:[],m:[" + q + "a" + q + "," + q + "b" + q + "]}"
    mine(call(nested), None if f == "gemma4" else hand("", ("f", {"o": {"k": [1, 2, {"z": "}"}], "e": {}}, "l": [], "m": ["a", "b"]})))
    two = "call:f{a:1}call:g{b:2}"
    mine(call(two), None if f == "gemma4" else hand("", ("f", {"a": 1}), ("g", {"b": 2})))
    mine(call("call:my-tool{a:1}"), None if f == "gemma4" else hand("", ("my-tool", {"a": 1})))
    mine(call("call:f{unit:celsius,b:1}"), None if f != "gemma4" else hand("", ("f", {"unit": "celsius", "b": 1})))
    mine(call(" call:f{ a : 1 , b : " + q + " x " + q + " } "), hand("", ("f", {"a": 1, "b": " x "})))
    mine(call('call:f{"a":"x \\" y",b:["z"]}'), hand("", ("f", {"a": 'x " y', "b": ["z"]})))
    mine(call("call:f{n:None,l:[None,True,Nonesuch]}"), hand("", ("f", {"n": None, "l": [None, True, "Nonesuch"]})))
    mine(opens + "call:f{a:1}", hand("", ("f", {"a": 1})))
    if f == "function_gemma":
        mine(call("call:get_weather{city:75001,days:3,detail:yes}"),
             hand("", ("get_weather", {"city": "75001", "days": 3, "detail": True})))
    for bad in (call(""), call("hello"), call("call:f"), call("call:f{a:1"), call("call:{a:1}"), call("call:f{a}"), call("call:f{a:}"),
                call("call:f{a:" + q + "x}"), call("call:f{a:1}x"), call("call:f{a:[1}"), opens + "ca", opens + "call:f{a:"):
        mine(bad, hand(bad))


def pythonic():
    f = "pythonic"

    def call(body):
        return f"<|tool_call_start|>{body}<|tool_call_end|>"

    everywhere(f, call('[get_weather(city="Paris", days=2)]'), call("[now()]"))
    case(f, call('[get_weather(city="Paris"), get_weather(city=\'Rome\', days=-3), now()]'))
    case(f, call('[f(a=True, b=False, c=None, d=1.5, e=-2e-3, g=0x1f, h=1_000, i=.5, j=5.)]'))
    case(f, call('[f(a=true, b=[false, null], c={"x": [1, {"y": "]"}]})]'))
    case(f, call('[f(a="it\'s", b=\'say "hi"\', c="a\\n\\t\\\\\\"\\u00e9\\x41\\101", d=r"\\d+")]'))
    case(f, call('[f(a="x)]", b="[g(y=1)]")]'))
    case(f, call('[f(a=(1, 2), b=(3,), c=(4), d=(), e={1: "x", "k": None})]'))
    case(f, call('[f(a="one" " two", b="""three\nlines""")]'))
    case(f, call('[module.sub.f(a=1)]'))
    case(f, call('[ f( a = 1 , ) , ]'))
    case(f, call('[nobody(x="\u6771\u4eac \U0001f600")]'))
    case(f, call('\n[now()]\n'))
    case(f, call('[f(a=[[[[1]]]], b={})]'))
    case(f, call('[f(a="two\nlines")]'), hand("", ("f", {"a": "two\nlines"})))
    case(f, "<|tool_call_start|>[now()]", hand("", ("now", {})))
    for bad in (call(""), call("[]"), call("now()"), call("[f(1)]"), call("[f(a=)]"), call("[f(a=1]"), call("[f(a=b)]"), call("[f(a=1) g()]"),
                call('[f(a="x)]'), call("[f(a=1+2j)]"), "<|tool_call_start|>[f(a", call("hello")):
        case(f, bad, hand(bad))


# ---- harmony: by hand, mlx-lm has no parser ------------------------------------------------------------------------------

def harmony():
    f = "harmony"

    def mine(text, *what, prompt="<|start|>system<|message|>x<|end|><|start|>assistant", **more):
        case(f, text, hand(*what, **more), prompt=prompt)

    def channel(name, text, end="<|end|>", header=""):
        return f"<|channel|>{name}{header}<|message|>{text}{end}"

    def to(name, arguments, end="<|call|>"):
        return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}{end}"

    next = "<|start|>assistant"
    mine(channel("final", "4", ""), "4")
    mine(channel("final", "4", "<|return|>"), "4")
    mine(channel("analysis", "2+2 is 4.") + next + channel("final", "4", ""), "4", reasoning="2+2 is 4.")
    mine(channel("analysis", "Need it.") + next + to("get_weather", '{"city": "Paris"}'), "", ("get_weather", {"city": "Paris"}),
         reasoning="Need it.")
    mine(channel("analysis", "x") + next + to("f", '{"a": "<|call|> }"}', ""), "", ("f", {"a": "<|call|> }"}), reasoning="x")
    mine(channel("commentary", "I shall look. ") + next + to("now", "{}"), "I shall look. ", ("now", {}))
    mine(to("f", '{"a": 1}') + next + to("g", '{"b": [1, {"c": null}]}'), "", ("f", {"a": 1}), ("g", {"b": [1, {"c": None}]}))
    mine(' to=functions.f<|channel|>commentary<|constrain|>json<|message|>{"a": 1}<|call|>', "", ("f", {"a": 1}))
    mine("<|channel|>analysis to=browser.search code<|message|>{\"q\": 1}<|call|>", "", ("browser.search", {"q": 1}))
    mine("Hello without a header", "Hello without a header")
    mine("", "")
    mine(channel("analysis", "cut", ""), "", reasoning="cut")
    mine("4 < 5", "4 < 5", prompt="<|start|>assistant<|channel|>final<|message|>")
    mine("so 4<|end|>" + next + channel("final", "4"), "4", reasoning="so 4", prompt="<|start|>assistant<|channel|>analysis<|message|>")
    mine(channel("final", "a <| b <|en <|ending|> c <", ""), "a <| b <|en <|ending|> c <")
    mine(channel("analysis", "a") + channel("final", "b"), "b", reasoning="a")
    bad = to("f", "no json")
    mine(bad, bad[:-len("<|call|>")])
    bad = to("f", '{"a": 1', "")
    mine(bad, bad)
    mine("<|channel|>fin", "<|channel|>fin")
    case(f, channel("analysis", "x") + next + to("f", "{}"), hand("", ("f", {}), reasoning="x"), tools=None,
         prompt="<|start|>assistant")


# ---- What mlx-lm says --------------------------------------------------------------------------------------------------

def by_mlx(c):
    module = importlib.import_module(f"mlx_lm.tool_parsers.{c['format']}")
    opens, closes = c["think"]
    normal, reasoning = [(opens, "reasoning")], [(closes, "normal")]
    transitions = {"normal": normal, "reasoning": reasoning}
    if c["tools"] is not None:
        normal.append((module.tool_call_start, "tool"))
        reasoning.append((module.tool_call_start, "tool"))
        transitions["tool"] = [(module.tool_call_end, "normal")] if module.tool_call_end else []
    machine = TextStateMachine(transitions)
    inside = c["prompt"] and c["prompt"].rfind(opens) > c["prompt"].rfind(closes)
    state, segments = machine.split(machine.make_state("reasoning" if inside else "normal"), c["text"])
    state, rest, name = machine.flush(state)
    segments.append((name, rest))
    merged = []
    for name, text in segments[:-1]:
        merged.append([name, text])
    if merged and merged[-1][0] == segments[-1][0]:
        merged[-1][1] += segments[-1][1]
    found = {"content": "", "reasoning": "", "calls": []}
    for i, (name, text) in enumerate(merged):
        if name == "tool":
            calls = module.parse_tool_call(text, c["tools"])
            found["calls"] += calls if isinstance(calls, list) else [calls]
        else:
            layout = i > 0 or (inside and name == "reasoning")
            found["content" if name == "normal" else name] += text.lstrip() if layout else text
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent.parent / "tests/data/toolcall/cases.json")
    out = parser.parse_args().out
    json_tools()
    qwen3_coder()
    minimax_m2()
    keyed("glm47", "<tool_call>", "</tool_call>", "arg_key", "arg_value")
    keyed("longcat", "<longcat_tool_call>", "</longcat_tool_call>", "longcat_arg_key", "longcat_arg_value",
          think=("<longcat_think>", "</longcat_think>"))
    kimi_k2()
    mistral()
    gemma("gemma4", "<|tool_call>", "<tool_call|>", '<|"|>', GEMMA_THINK)
    gemma("function_gemma", "<start_function_call>", "<end_function_call>", "<escape>", THINK)
    pythonic()
    harmony()
    lines, counts = [], {}
    for c in CASES:
        want, said = c.pop("by_hand"), "by hand"
        if want is None:
            want, said = by_mlx(c), "mlx-lm"
        c["think"] = c["think"][0]
        c["tools"] = c["tools"] is not None
        lines.append(json.dumps({**c, "want": want, "said": said}, ensure_ascii=True, allow_nan=False))
        counts.setdefault(c["format"], [0, 0])[said == "by hand"] += 1
    tools = json.dumps(TOOLS, ensure_ascii=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text('{"tools": ' + tools + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    for format, (mlx, by_hand) in counts.items():
        print(f"{format:15} {mlx:3} by mlx-lm, {by_hand:3} by hand")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
