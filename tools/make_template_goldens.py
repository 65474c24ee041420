#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/templates/cases.json and chats.json: what jinja2, set up as transformers does, renders from small
templates (each a point of the language) and from the whole chat templates that lie beside them. For maintainers;
needs jinja2 and transformers (PyPI)."""
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils

import check_templates

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "templates"

VARS = {
    "name": "World", "empty": "", "n": 7, "neg": -3, "f": 2.5, "whole": 1.0, "big": 1152921504606846977, "t": True,
    "no": False, "nil": None, "words": ["pear", "Apple", "fig", "apple"], "nums": [3, 1, 2], "uni": "h\u00e9llo w\u00f6rld \u6f22\u5b57 \U0001f600",
    "d": {"a": 1, "B": [1, 2, {"x": None}], "items": "shadow", "c d": 1.5},
    "users": [{"name": "ann", "age": 31, "admin": True}, {"name": "Bob", "age": 25, "admin": False}, {"name": "cy", "age": 31}],
    "text": "  line one\n\tline two  \r\nthree\u00a0", "html": "<a href=\"x\">'&'</a>", "nested": [[1, 2], [3, [4, 5]]],
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U1"}, {"role": "assistant", "content": "A1"},
                 {"role": "user", "content": "U2"}],
}

# Groups of templates; every line is one case.
CASES = r"""
plain text
{{ name }}
{{ name
{{ missing }}|{{ nil }}|{{ t }}|{{ no }}|{{ n }}|{{ f }}|{{ whole }}|{{ big }}
{{ d }}
{{ nested }} {{ words }} {{ (1, 'a') }} {{ (1,) }} {{ () }} {{ {} }} {{ [] }}
{{ uni }} {{ [uni] }} {{ ["it's", 'say "x"', "both ' and \""] }} {{ ["\n\t\r\\ \x00 \x7f \u00ad \u2028 \u200b"] }}
{{ 1e3 }} {{ 1.0 }} {{ 1e16 }} {{ 1.5e-5 }} {{ 0.1 }} {{ 1e-4 }} {{ 123456789.123 }} {{ 1e22 }} {{ 2.5e300 }} {{ 100.0 }}
{{ 0x1F }} {{ 0o17 }} {{ 0b101 }} {{ 1_000 }} {{ 1_0.5 }} {{ 12E2 }}
{{ 'a' 'b' "c" }} {{ "\u00e9\x41\101\q\"" }} {{ 'it''s' }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 10 - 3 - 2 }} {{ 2 * 3 % 4 }}
{{ 1 ~ 2 + 3 }} {{ 'a' ~ 1 ~ none ~ 1.5 }} {{ 1 + 2 ~ 3 }}
{{ 'ab' * 3 }} {{ [1] * 2 + [3] }} {{ 2 * 'x' }} {{ 'x' * -1 }}| {{ (1,) + (2,) }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 != 2 }} {{ true == 1 }} {{ none == false }}
{{ 1 in [1, 2] }} {{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 'a' in d }} {{ 5 in d }} {{ 1 in (1,) }} {{ missing in [1] }} {{ 1 in missing }}
{{ not true }} {{ not 0 }} {{ true and 5 }} {{ 0 or 'x' }} {{ none or '' or [] }}| {{ 1 and 2 and 0 and 3 }}
{{ not 1 == 2 }} {{ not (1 in [1]) }} {{ 1 if true else 2 }} {{ 1 if false }}| {{ 'a' if 0 else 'b' if 0 else 'c' }}
{{ (1 if no else 2) + 1 }} {{ [1 if t else 2, 3] }} {{ 'x' if n > 5 and f < 3 or no else 'y' }}
{{ name[0] }} {{ name[-1] }} {{ name[1:3] }} {{ name[::-1] }} {{ name[:-1] }} {{ name[10:] }}| {{ name[::2] }} {{ name[-3:] }}
{{ uni[1] }} {{ uni[-1] }} {{ uni[6:9] }} {{ uni[::-1] }} {{ uni|length }} {{ uni[12:14] }}
{{ nums[0] }} {{ nums[-1] }} {{ nums[1:] }} {{ nums[::-1] }} {{ nums[5] }}| {{ nums[:100] }} {{ nums[-2:-1] }} {{ nums[2:0:-1] }} {{ (1,2,3)[1:] }}
{{ d.a }} {{ d['a'] }} {{ d.B[2].x }} {{ d['c d'] }} {{ d.nope }}| {{ d['items'] }} {{ d.items() | list }}
{{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.keys() }} {{ d.values() | list }} {{ d.items() }}
{{ nums.0 }} {{ users.1.name }} {{ nested[1][1][0] }} {{ users[0]['name'] }}
{{ missing.attr }}
{{ missing['attr'] }}
{{ d.nope.more }}
{{ nums[10].x }}
{{ none.x.y }}
{{ missing() }}
{{ d.a() }}
{{ missing + 1 }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ [1] + 'a' }}
{{ 1 < 'a' }}
{{ missing < 1 }}
{{ none < 1 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ -'a' }}
{{ -missing }}
{{ 5 in 5 }}
{{ 1 in 'abc' }}
{{ {[1]: 2} }}
{{ nums.append(4) }}
{{ nums.append }}
{{ d.update({}) }}
{{ d.pop('a') }}
{{ name.nope }}|{{ name.__class__ }}
{{ raise_exception('my ' ~ n ~ ' message') }}
{% if messages|length > 2 %}{{ raise_exception("Roles must alternate") }}{% endif %}
{{ nope_filter | nofilter }}
{% if false %}{{ 1 | nofilter }}{% endif %}ok
{% if true %}{{ 1 | nofilter }}{% endif %}
{% if false %}{% for x in nums %}{{ x | nofilter }}{% endfor %}{% endif %}
{{ 1 | nofilter if false else 2 }}
{% if 1 is notest %}{% endif %}
{% for x in nums %}{{ x }},{% endfor %}
{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}
{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.cycle('odd', 'even') }} {{ loop.changed(x > 1) }};{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}
{% for x in missing %}x{% else %}none{% endfor %}
{% for x in nums if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}
{% for x in nums if x > 10 %}{{ x }}{% else %}none{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}-{{ b }} {% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }} {% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for c in 'h\u00e9\u6f22' %}[{{ c }}]{% endfor %}{% for c in uni %}{{ loop.index }}{{ c }}{% endfor %}
{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in nums %}{% for y in nums %}{{ loop.index }}{% if y == 1 %}{% break %}{% endif %}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in nested recursive %}[{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}@{{ loop.depth }}{% endif %}]{% endfor %}
{% set x = 1 %}{% for i in nums %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(x=1, found=false) %}{% for i in nums %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.found }} {{ ns.nope }}|
{% set ns = namespace({'a': 5}, b=6) %}{{ ns.a + ns.b }}{% set ns.c = [1] %}{{ ns.c }}
{% set d.a = 5 %}
{% set nope.a = 5 %}
{% set ns = namespace(_x=1) %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}{% set t3 = 1, %}{{ t3 }}
{% set x %}captured {{ name }}{% endset %}[{{ x }}]{% set y | upper | replace('A', '4') %}banana{% endset %}{{ y }}
{% if no %}a{% elif nil %}b{% elif n %}c{% else %}d{% endif %}
{% if missing %}a{% else %}b{% endif %}{% if missing is defined %}c{% endif %}{% if not missing %}d{% endif %}
{% if 1 %}{% set inner = 5 %}{% endif %}{{ inner }}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=9) }}{{ m(b=1, a=0) }}{{ m() }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}
{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x) m(5) %}{{ x }}{{ name }}{% endcall %}
{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
{% macro fact(k) %}{% if k > 1 %}{{ k * (fact(k - 1) | int) }}{% else %}1{% endif %}{% endmacro %}{{ fact(5) }}
{% macro m() %}{% set n = 99 %}{{ n }}{% endmacro %}{{ m() }}{{ n }} {{ m.name }} {{ m }}
{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}
{% filter upper %}abc {{ name }}{% endfilter %}{% filter replace('a', 'b') | title %}banana split{% endfilter %}
{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}text {{ name }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ not }} {% evaluated %}{% endraw %}!
{%- raw -%}  x  {%- endraw -%}  y
{# comment #}a{#- strip -#}  b {#+ c +#}
{{- '  a' -}}   b   {{- 'c' }}
{% unknown %}
{% if x %}
{% endif %}
{% for x in y %}{% endif %}
{{ }}
{{ 1 + }}
{{ (1 }}
{{ [1, 2 }}
{{ 1 2 }}
{{ a b }}
{{ 'abc }}
{{ 1 $ 2 }}
{# open
{% raw %} open
{% include 'x' %}
{% break %}
{% set 5 = x %}
{% set x %}
{{ x is defined is none }}
{{ foo(a=1, 2) }}
{{ words | sort }} {{ words | sort(reverse=true) }} {{ words | sort(case_sensitive=true) }} {{ nums | sort | join('-') }}
{{ users | sort(attribute='age') | map(attribute='name') | join(',') }} {{ users | sort(attribute='age,name', reverse=true) | map(attribute='name') | list }}
{{ words | map('upper') | list }} {{ words | map('replace', 'p', 'P') | join(' ') }} {{ users | map(attribute='admin', default='?') | list }}
{{ nums | select('odd') | list }} {{ nums | reject('odd') | list }} {{ nums | select('>', 1) | list }} {{ [0, 1, '', 'a', none] | select | list }}
{{ users | selectattr('admin') | map(attribute='name') | list }} {{ users | rejectattr('admin') | map(attribute='name') | list }} {{ users | selectattr('age', 'equalto', 31) | list | length }}
{{ users | selectattr('admin', 'defined') | list | length }} {{ users | selectattr('name', 'in', ['ann', 'cy']) | map(attribute='age') | sum }}
{{ none | selectattr('x') | list }}{{ missing | map('upper') | list }}
{{ nums | map('nope') | list }}
{{ words | unique | list }} {{ words | unique(case_sensitive=true) | list }} {{ [3, 1, 3.0, true] | unique | list }}
{{ nums | min }} {{ nums | max }} {{ words | max }} {{ users | min(attribute='age') }} {{ [] | max }}|
{{ nums | sum }} {{ users | sum(attribute='age') }} {{ nums | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }}
{% for g in users | groupby('age') %}{{ g.grouper }}{{ g[0] }}:{{ g.list | map(attribute='name') | join('+') }};{% endfor %}
{% for age, list in users | groupby('age') %}{{ age }}={{ list | length }} {% endfor %}{{ users | groupby('admin', default='x') | length }}
{{ nums | first }} {{ nums | last }} {{ [] | first }}| {{ name | first }} {{ name | last }} {{ d | first }} {{ nums | reverse | list }} {{ name | reverse }}
{{ name | length }} {{ d | length }} {{ missing | length }} {{ nums | count }}
{{ 5 | length }}
{{ nums | map('string') | length }}
{{ words | join }} {{ words | join(', ') }} {{ users | join('/', attribute='name') }} {{ [1, none, true, 2.5] | join('|') }} {{ name | join('.') }}
{{ missing | default('d') }} {{ nil | default('d') }} {{ nil | default('d', true) }} {{ '' | d('e', boolean=true) }} {{ missing | d }}|
{{ ' x ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ text | trim }}| {{ 5 | trim }} {{ '\n\t a \n' | trim | length }}
{{ 'hello world' | title }} {{ "they're bill's (x) [y] a-b" | title }} {{ 'hELLO wORLD' | capitalize }} {{ '\u00e9COLE' | capitalize }} {{ 'stra\u00dfe' | upper }} {{ '\u00c9' | lower }}
{{ 'a.b.a' | replace('a', 'x') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc' | replace('', '-') }} {{ 5 | replace(5, 6) }}
{{ 'one\ntwo\n\nthree' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent('>>') }}|{{ '' | indent(first=true) }}|
{{ 'The quick brown fox jumps' | truncate(12) }}|{{ 'The quick brown fox jumps' | truncate(12, true) }}|{{ 'short' | truncate(5) }}|{{ 'abcdefghij' | truncate(6, leeway=0, end='!') }}
{{ 'one two, three-four' | wordcount }} {{ uni | wordcount }}
{{ '3' | int }} {{ ' 42 ' | int }} {{ '3.9' | int }} {{ 'x' | int }} {{ 'x' | int(-1) }} {{ '0x1f' | int(base=16) }} {{ '1010' | int(base=2) }} {{ 3.99 | int }} {{ -3.99 | int }} {{ none | int }} {{ true | int }} {{ '1_000' | int }}
{{ '3.5' | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 3 | float }} {{ '1e3' | float }} {{ 'inf' | float }} {{ none | float }}
{{ -5 | abs }} {{ -2.5 | abs }} {{ (0 - 5) | abs }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.345 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ 2.19 | round(1, 'floor') }} {{ 42 | round }} {{ 1234 | round(-2) }}
{{ 5 | string }} {{ none | string }} {{ [1] | string }} {{ nums | list }} {{ 'abc' | list }} {{ d | list }}
{{ d | items | list }} {{ missing | items | list }}
{{ 5 | items | list }}
{{ d | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'A': 2} | dictsort(case_sensitive=true) }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}
{{ range(7) | batch(3) | list }} {{ range(7) | batch(3, 'x') | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, 'x') | list }}
{{ html | escape }} {{ html | e }} {{ html | safe }} {{ 5 | e }} {{ (html | safe) + '<b>' }} {{ '<i>' + (html | safe) }} {{ ('<' | safe) ~ '>' }} {{ [html | safe] }}
{{ 'a b&c/d\u00e9' | urlencode }} {{ {'k': 'a b', 'x': '/'} | urlencode }}
{{ '%s-%d' | format('a', 5) }} {{ '%(x)s' | format(x=3) }} {{ '%5.2f|%-5s|%05d|%x|%r|%%' | format(3.14159, 'ab', 42, 255, 'q') }}
{{ '%s' % name }} {{ '%s %s' % (1, 2) }} {{ '%d%%' % 5.7 }} {{ '%e %g' % (12345.678, 0.0001) }} {{ '%+d % d' % (3, 4) }} {{ '%.3s|' % 'abcdef' }} {{ '%s' % [1] }} {{ '%5s|%-5s|' % ('a', 'b') }} {{ '%c' % 'x' }} {{ '%o' % 8 }}
{{ '%s %s' % 1 }}
{{ '%s' % (1, 2) }}
{{ '%d' % 'a' }}
{{ '%q' % 1 }}
{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=5) }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:.2f} {:05d} {:,} {:x} {:+} {:%}'.format(3.14159, 42, 1234567, 255, 5, 0.5) }} {{ '{{}} {!r}'.format('q') }} {{ '{0[a]} {1.name}'.format(d, users[0]) }} {{ '{:{}}|'.format('a', 4) }}
{{ '{} {}'.format(1) }}
{{ '{x}'.format(1) }}
{{ name.upper() }} {{ name.lower() }} {{ 'a b'.title() }} {{ 'hELLO'.capitalize() }} {{ 'aB'.swapcase() }} {{ "they're x1y".title() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxabxx'.strip('x') }} {{ '<think>a</think>'.lstrip('<think>') }} {{ 'a\n\n'.rstrip('\n') }}|{{ text.strip() }}|
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c d'.split(' ', 1) }} {{ 'a b c d'.split(none, 2) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b  c '.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('') }}
{{ 'a</think>b</think>c'.split('</think>')[-1] }} {{ 'a</t>b'.split('</t>', 1)[0] }} {{ 'a--b--c'.split('--', maxsplit=1) }} {{ 'aXbXc'.split(sep='X') }}
{{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ 'a\u2028b\x0bc'.splitlines() }} {{ ''.splitlines() }}
{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.endswith(('x', 'y')) }} {{ 'abc'.startswith('b', 1) }} {{ ''.startswith('') }}
{{ 'abc'.startswith(5) }}
{{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('z') }} {{ 'abc'.index('b') }} {{ 'abcabc'.count('bc') }} {{ uni.find('\u6f22') }} {{ 'abcabc'.find('a', 1) }} {{ 'aaa'.count('') }} {{ uni.rfind('o') }}
{{ 'abc'.index('z') }}
{{ 'a-b-c'.replace('-', '+') }} {{ 'a-b-c'.replace('-', '', 1) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }} {{ 'abc'.removeprefix('x') }}
{{ ', '.join(['a', 'b']) }} {{ '-'.join('abc') }} {{ ''.join([]) }}| {{ ','.join(d) }}
{{ ', '.join([1]) }}
{{ '5'.zfill(3) }} {{ '-5'.zfill(4) }} {{ 'ab'.ljust(5, '.') }} {{ 'ab'.rjust(5) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6) }}|
{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }} {{ '\u00b2'.isdigit() }} {{ '\u00b2'.isdecimal() }} {{ 'Ab Cd'.istitle() }} {{ '\u00bd'.isnumeric() }} {{ 'a'.isascii() }}
{{ nums.index(1) }} {{ nums.count(3) }} {{ nums.copy() }} {{ d.copy() == d }} {{ (1, 2, 1).count(1) }}
{{ nums.index(9) }}
{{ n is defined }} {{ missing is undefined }} {{ nil is none }} {{ name is string }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ t is boolean }} {{ t is integer }} {{ t is number }} {{ d is mapping }} {{ nums is sequence }} {{ nums is iterable }} {{ name is iterable }} {{ 5 is iterable }} {{ d is sequence }}
{{ t is true }} {{ no is false }} {{ 1 is true }} {{ 'a' is lower }} {{ 'A' is upper }} {{ range is callable }} {{ name is callable }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ name is mapping }} {{ missing is iterable }} {{ missing is string }} {{ missing is none }} {{ missing is mapping }} {{ missing is sequence }}
{{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 3 is eq 3 }} {{ 3 is ne 3 }} {{ 3 is gt 2 }} {{ 3 is lt(2) }} {{ 3 is ge 3 }} {{ 3 is le 2 }} {{ 3 is equalto 3.0 }} {{ 3 is in [3] }} {{ 3 is not in [3] }} {{ n is sameas n }} {{ 1 is sameas true }} {{ n is not none }} {{ nil is not none and true }}
{{ n is number and name is string or no }} {{ not n is none }} {{ (n is defined) == true }} {{ 'a' ~ n is string }} {{ 5 is divisibleby 5 and 1 }}
{{ range(5) }} {{ range(5) | list }} {{ range(2, 8, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3)[1] }} {{ range(10)[2:8:2] | list }} {{ 3 in range(5) }} {{ range(0) | list }} {{ range(4) | length }} {{ range(1, 10)[-1] }}
{{ range(1000000) }}
{{ range(1, 2, 0) }}
{{ dict(a=1, b='x') }} {{ dict([('k', 'v')]) }} {{ dict({'a': 1}, b=2) }} {{ {'a': 1, 'a': 2} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {'x': {'y': (1, 2)}} }} {{ {none: 1, (1, 2): 3}[(1, 2)] }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}x{{ j() }}y{{ j() }}
{{ d | tojson }} {{ uni | tojson }} {{ uni | tojson(ensure_ascii=true) }} {{ html | tojson }} {{ [1, 1.0, none, true, 'a"\\\n\u0001\u007f/'] | tojson }} {{ {} | tojson }} {{ [] | tojson }} {{ (1, 2) | tojson }} {{ 1e300 | tojson }}
{{ d | tojson(indent=2) }} {{ [[], {}, [1]] | tojson(indent=1) }} {{ d | tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }} {{ nested | tojson(indent='\t') }} {{ [1] | tojson(indent=0) }} {{ d | tojson(indent=4, separators=(', ', ' = ')) }}
{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ big | tojson }} {{ whole | tojson }}
{{ missing | tojson }}
{{ nums | map('string') | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ messages[1:] | map(attribute='role') | join }} {{ messages[-1].content }} {{ messages[0]['role'] == 'system' }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}
{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role[0] }} {% endfor %}{% for m in messages | reverse %}{{ m.content }}{% endfor %}
{% set ns = namespace(i=-1) %}{% for m in messages[::-1] %}{% set idx = (messages|length - 1) - loop.index0 %}{% if ns.i < 0 and m.role == 'user' %}{% set ns.i = idx %}{% endif %}{% endfor %}{{ ns.i }}
{% set gen = nums | map('string') %}{{ gen | list }}{{ gen | list }} {% set g2 = nums | select %}{{ g2 | first }}{{ g2 | list }}{{ 1 in g2 }}
{{ users | map(attribute='name') | map('upper') | select('in', ['BOB']) | list }} {{ nested | map('first') | list }} {{ nested | map(attribute=1) | list }} {{ nested | map(attribute='1.0') | list }}
{{ words | map('length') | sum }} {{ d.B | length }} {{ d | string | length }} {{ name | attr('upper') is defined }}
{{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ (1,) == [1] }} {{ 'a' == missing }} {{ missing == nope }} {{ [1, [2]] != [1, [3]] }} {{ 1.0 == true }}
{{ 1.5 + 1 }} {{ 3 - 0.5 }} {{ 2 * 1.5 }} {{ 1 / 3 }} {{ 2 ** 0.5 }} {{ true + true }} {{ 10 // 2.5 }} {{ 5.0 % 3 }} {{ 0.1 + 0.2 }} {{ 1e308 * 10 }} {{ -1 * 0.0 }} {{ 9007199254740993 }}
{{ name|upper|lower|title|length + 1 }} {{ -1|abs }} {{ (-1)|abs }} {{ 'a' if 'x' is string else 'b'|upper }}
{{ loop is defined }} {{ true.x }}|{{ 5.5.x }}|
{%- set x = 5 -%}   {{ x }}   {%- if x %} a {% endif -%}  b
{% print 1, 'a' %}
{{ "a\
b" }} {{ 'x;y' }} {{ "{{ no }}" }} {{ '%}' }}
{{ {'a': {'b': 1}}['a']['b'] }} {{ {"x": "}}"} }} {{ [[1, 2], [3]][0][1] }} {{ {'k': [1, {'z': 2}]}.k[1].z }}
{{ *nums }}
{{ dict(**{'a': 1}) }} {{ '{}{}'.format(*[1, 2]) }} {{ range(*[1, 4]) | list }}
{{ nums[1:][0] }} {{ 'abc'[1] ~ 'abc'[2] }} {{ name[n - 5] }} {{ nums[nums[1]] }} {{ nums['x'] }}|{{ nums[1.5] }}|{{ nums[none:2] }}
{{ nums['x':] }}
{{ nums[::0] }}
{{ 10 | filesizeformat }} {{ 1500000 | filesizeformat }} {{ 2048 | filesizeformat(true) }}
{{ words | map('trim', 'p') | list }} {{ ['a', 'B'] | map('upper') | map('lower') | join(';') }}
"""

# Templates of several lines: white space control.
LINES = [
    "a\n  {% if t %}\n    b\n  {% endif %}\nc\n",
    "a\n  {%+ if t %}\n    b\n  {%+ endif +%}\nc\n\n",
    "a\n  {{ n }}\n  {# c #}\n  b {# d #}\nx",
    "{% for x in nums %}\n  {{ x }}\n{% endfor %}\nend",
    "{% for x in nums -%}\n  {{ x }}\n{%- endfor %}\nend",
    "x  {% if t %}y{% endif %}  z\n  {% set q = 1 %}  w",
    "  {% if t %}  a  {% endif %}  \n",
    "\n\n{% if t %}\n\na\n\n{% endif %}\n\n",
    "a \r\n {% if t %}\r\nb\r{% endif %}\r\nc\r\n",
    "{% raw %}\n  {{ x }}\n  {% endraw %}\n  y",
    "{{ n }}\n{{ n }}  \n  {{ n }}",
    "{#- a -#}\n  b\n  {#- c #}\nd",
    "{% set x %}\n  body\n{% endset %}\n[{{ x }}]",
    "{% macro m() %}\n  inside\n{% endmacro %}\n<{{ m() }}>\n",
    "a\u00a0\n \u2003{%- if t -%}\u00a0b{% endif %}",
    "{{ n\n  +\n  1 }}\n{{ missing.x }}",
    "line1\nline2 {{ 1 / 0 }}",
    "{%\nif t\n%}\nyes\n{%-\nendif\n-%}\n  tail",
    "{% if t %}a\n{% else %}b\n{% endif %}\n{% if no %}a\n{% else %}b\n{% endif %}",
    "{{ '\\n' }}{{ '\n' }}|",
    "\t{% if t %}\tx\t{% endif %}\t\n\t{# c #}\ty",
    "{{ x }}{# a #}\n{# b #}\n\nc",
]


def plain(value):
    """The variables as they come back from JSON."""
    return json.loads(json.dumps(value))


def one(template, values):
    case = {"template": template}
    try:
        case["expected"] = chat_template_utils._compile_jinja_template(template).render(**plain(values))
        case["expected"].encode()
    except jinja2.exceptions.UndefinedError as e:
        case["error"] = e.message
    except jinja2.exceptions.TemplateRuntimeError:
        case["error"] = ""
    except jinja2.exceptions.TemplateSyntaxError:
        case["error"] = ""
    except jinja2.exceptions.TemplateError as e:
        case["error"] = e.message
        case["raised"] = True
    except Exception:  # what Python itself raises: nibble words these as it likes
        case["error"] = ""
    return case


def write(name, value):
    (DATA / name).write_text(json.dumps(value, ensure_ascii=True, indent=0) + "\n", encoding="utf-8")


def main():
    lines = CASES.strip("\n").replace("\\\nb\"", "\\\\NEWLINE").split("\n")
    templates = [line.replace("\\\\NEWLINE", "\\\nb\"") for line in lines] + LINES
    cases = [one(t, VARS) for t in templates]
    write("cases.json", {"vars": VARS, "cases": cases})
    chats = []
    for file in sorted(DATA.glob("*.jinja")):
        for name, (messages, tools, extra) in check_templates.CONVERSATIONS.items():
            values = check_templates.variables(messages, tools, extra)
            case = {"file": file.name, "conversation": name, **one(file.read_text(encoding="utf-8"), values)}
            del case["template"]
            chats.append(case)
    conversations = {name: {"messages": m, "tools": t, "extra": {k: v for k, v in e.items() if k != "add_generation_prompt"},
                            "add_generation_prompt": e.get("add_generation_prompt", True)}
                     for name, (m, t, e) in check_templates.CONVERSATIONS.items()}
    write("chats.json", {"conversations": conversations, "chats": chats})
    print(f"{len(cases)} cases, {len(chats)} chats")


if __name__ == "__main__":
    main()
