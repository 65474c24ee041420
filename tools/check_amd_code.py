#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the code objects for AMD GPUs to what their kernels may cost: tools/check_amd_code.py build/gpu docs/gpu-amd.md

Dis-assembles every kernel of every target (llvm-objdump-19, llvm-readobj-19) and fails on what should not be there:
memory of a thread's own (spilled registers), flat_* access, calls, a dynamic stack, the other size of waves, more
registers than the kernel's class may have, other bounds of a block than the host keeps to. Prints a table of all
kernels; the page holds it by families, with the compiler's version, and must agree. --renew writes it there."""

import argparse
import collections
import difflib
import os
import re
import subprocess
import sys

# Registers of a SIMD that one lane's share comes from, and the steps in which a wave gets them (LLVM's
# AMDGPUBaseInfo: getTotalNumVGPRs, getVGPRAllocGranule); the most waves that a SIMD holds; lanes of a wave. Of chips
# that gfx11-generic stands for, some have 1536 registers and some 1024.
Target = collections.namedtuple("Target", "lanes registers step waves")
RDNA = Target(32, 1536, 24, 16)
TARGETS = {
    "gfx11-generic": Target(32, 1024, 16, 16),
    "gfx1100": RDNA,
    "gfx1151": RDNA,
    "gfx12-generic": RDNA,
    "gfx90a": Target(64, 512, 8, 8),
    "gfx942": Target(64, 512, 8, 8),
}

# What the page's columns are. A build for other targets is checked, and not compared.
SHIPPED = {"gfx11-generic", "gfx12-generic", "gfx1151", "gfx90a", "gfx942"}

# Families of kernels by "module kernel", the first that fits, with the most vector registers on RDNA and on CDNA (there
# with those of its matrix units). Products and attention of many rows hold tiles of sums, and shared memory lets few of
# their blocks run anyway; what only waits for memory wants many waves: 96 registers leave RDNA ten of them with the
# smaller files, sixteen with the larger ones.
Family = collections.namedtuple("Family", "name pattern rdna cdna")
FAMILIES = [
    Family("qmm, tiles of 128 rows", r"qmm_\w+ .*_128$", 208, 208),
    Family("qmm, 64 rows", r"qmm_\w+ .*_64$", 144, 144),
    Family("qmm, 32 rows", r"qmm_\w+ .*_32$", 112, 112),
    Family("qmv_fma", r"qmv_fma ", 120, 152),
    Family("qmv_any", r"qmv_any ", 96, 96),
    Family("dequant", r"dequant ", 64, 64),
    Family("gemm_any, qmm_sort", r"(gemm|qmm_sort) ", 96, 96),
    Family("tiles of attention, heads to 128", r"attention_narrow_\w+ ", 224, 208),
    Family("tiles of attention, wider", r"attention_wide_\w+ ", 248, 208),
    Family("decode, 1 head", r"attention_decode_\w+ .*_1$", 88, 120),
    Family("decode, 2 heads", r"attention_decode_\w+ .*_(64|128|256)_2$", 120, 128),
    Family("decode, 4 heads", r"attention_decode_\w+ .*_(64|128|256)_4$", 128, 136),
    Family("decode, 512 columns", r"attention_decode_\w+ ", 240, 248),
    Family("attention, other", r"attention ", 64, 64),
    Family("delta", r"(delta|delta_chunks) ", 184, 184),
    Family("norm, rope, moe", r"(norm|rope|moe) ", 72, 72),
    Family("ops, embed, delta_conv", r"(ops|ops_embed|delta_conv) ", 64, 64),
    Family("sample", r"sample ", 64, 64),
]
WIDE_BLOCKS = ("moe", "norm", "sample")  # as kernels.mk has them
# "module kernel target" of what may use memory of its own, with the reason. None does.
MAY_SPILL = {}

FORBIDDEN = [
    (re.compile(r"scratch_|buffer_(load|store)"), "access to a thread's own memory"),
    (re.compile(r"flat_(load|store|atomic)"), "flat access; pointers should be GLOBAL or SHARED"),
    (re.compile(r"s_swappc|s_setpc|s_call"), "calls"),
]
BEGIN, END = "<!-- tools/check_amd_code.py --renew: from here -->\n", "<!-- to here -->\n"

Kernel = collections.namedtuple("Kernel", "module name target code_bytes forbidden notes")


def run(*command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"{command[0]} is missing: tools/deps.sh test")
    except subprocess.CalledProcessError as e:
        sys.exit(f"{' '.join(command)}: {e.stderr.strip()}")


def read_notes(path):
    """The metadata of each kernel: fields by name, as the compiler wrote them."""
    text = run("llvm-readobj-19", "--notes", path)
    kernels = {}
    for part in re.split(r"\n  - ", text.partition("amdhsa.kernels:")[2].partition("amdhsa.target:")[0])[1:]:
        fields = dict(re.findall(r"^(?:    )?\.(\w+): +(\S+)$", part, re.M))
        kernels[fields["name"]] = fields
    return kernels


def read_sizes(path):
    """The bytes of each kernel's code."""
    text = run("llvm-readobj-19", "--dyn-syms", path)
    pattern = r"Name: (\w+) .*\n +Value: .*\n +Size: (\d+)\n.*\n +Type: Function"
    return {name: int(size) for name, size in re.findall(pattern, text)}


def read_forbidden(path):
    """How many instructions each kernel has of each kind that is not wanted."""
    found, counts = {}, None
    for line in run("llvm-objdump-19", "-d", "--no-show-raw-insn", path).splitlines():
        start = re.match(r"[0-9a-f]+ <([\w.]+)>:$", line)
        if start:
            counts = found[start[1]] = [0] * len(FORBIDDEN)
        elif line.startswith("\t"):
            for i, (pattern, _) in enumerate(FORBIDDEN):
                counts[i] += bool(pattern.match(line, 1))
    return found


def read_table(folder):
    """What code_table.sh put into the library: the compiler's name, and module and target of each piece for AMD."""
    with open(os.path.join(folder, "code_table.c"), encoding="utf-8") as f:
        text = f.read()
    compiler = re.search(r'gpu_code_compiler\[\] = "(?:Debian )?(.*?)(?: \(.*)?"', text)[1]
    pieces = re.findall(r'^    \{"(\w+)", "(gfx[\w-]+)"', text, re.M)
    for _, target in pieces:
        if target not in TARGETS:
            sys.exit(f"tools/check_amd_code.py does not know {target}: its registers and waves belong into TARGETS")
    return compiler, sorted(pieces)


def read_kernels(folder, pieces):
    kernels = []
    for module, target in pieces:
        file = f"{module}.{target}"
        path = os.path.join(folder, file)
        notes, sizes, forbidden = read_notes(path), read_sizes(path), read_forbidden(path)
        if notes.keys() != sizes.keys():
            sys.exit(f"{file}: code and metadata name different kernels: {sorted(notes.keys() ^ sizes.keys())}")
        kernels += [Kernel(module, name, target, sizes[name], forbidden[name], notes[name]) for name in notes]
    return kernels


def family_of(kernel):
    for family in FAMILIES:
        if re.match(family.pattern, f"{kernel.module} {kernel.name}"):
            return family
    return None


def number(kernel, field):
    return int(kernel.notes.get("." + field, kernel.notes.get(field, 0)))


def waves_of(kernel):
    """How many waves a SIMD holds at once, as far as registers go."""
    t = TARGETS[kernel.target]
    steps = max(1, -(-number(kernel, "vgpr_count") // t.step))
    return min(t.waves, t.registers // (steps * t.step))


def complaints_about(kernel):
    t, family, notes = TARGETS[kernel.target], family_of(kernel), kernel.notes
    if not family:
        return ["no family in tools/check_amd_code.py says what it may cost"]
    bad = []
    if number(kernel, "wavefront_size") != t.lanes:
        bad.append(f"waves of {notes['wavefront_size']}, expected {t.lanes}")
    if f"{kernel.module} {kernel.name} {kernel.target}" not in MAY_SPILL:
        for field in ("private_segment_fixed_size", "vgpr_spill_count"):
            if number(kernel, field):
                bad.append(f"{field} is {notes[field]}, expected 0: too many registers at once, or an array indexed "
                           "by what is not known when compiling")
    for count, (_, what) in zip(kernel.forbidden, FORBIDDEN):
        if count and not (number(kernel, "private_segment_fixed_size") and what.endswith("own memory")):
            bad.append(f"{count} instructions: {what}")
    if notes.get("uses_dynamic_stack") == "true":
        bad.append("a dynamic stack")
    if number(kernel, "group_segment_fixed_size"):
        bad.append(f"{notes['group_segment_fixed_size']} bytes of LDS of its own; all of it is the launch's")
    block = 1024 if kernel.module in WIDE_BLOCKS else 256
    if number(kernel, "max_flat_workgroup_size") != block:
        bad.append(f"compiled for blocks of {notes['max_flat_workgroup_size']} threads, expected {block}: see kernels.mk")
    budget = family.rdna if t.lanes == 32 else family.cdna
    if number(kernel, "vgpr_count") > budget:
        bad.append(f"{notes['vgpr_count']} vector registers, at most {budget} for \"{family.name}\"")
    return bad


def print_all(kernels):
    print(f"{'kernel':28} {'target':14} {'VGPRs':>5} {'SGPRs':>5} {'spilled':>7} {'scratch':>7} {'LDS':>4} "
          f"{'waves':>5} {'bytes':>7}")
    for k in kernels:
        spilled = f"{number(k, 'vgpr_spill_count')}+{number(k, 'sgpr_spill_count')}"
        print(f"{k.name:28} {k.target:14} {number(k, 'vgpr_count'):5} {number(k, 'sgpr_count'):5} {spilled:>7} "
              f"{number(k, 'private_segment_fixed_size'):7} {number(k, 'group_segment_fixed_size'):4} "
              f"{waves_of(k):5} {k.code_bytes:7}")


def families_table(kernels, compiler):
    """What the page holds: for each family and target the most registers and the fewest waves."""
    targets = [t for t in TARGETS if any(k.target == t for k in kernels)]
    lines = [f"Made by {compiler}. Vector + scalar registers (the most in the family), waves on a SIMD (the fewest), "
             "KiB of code (all kernels of the family).\n", "\n",
             "| family | kernels | " + " | ".join(targets) + " |\n", "|" + " --- |" * (len(targets) + 2) + "\n"]
    for family in FAMILIES:
        cells = []
        for target in targets:
            own = [k for k in kernels if k.target == target and family_of(k) == family]
            if not own:
                cells.append("")
                continue
            vgprs, sgprs = (max(number(k, f) for k in own) for f in ("vgpr_count", "sgpr_count"))
            size = round(sum(k.code_bytes for k in own) / 1024)
            cells.append(f"{vgprs} + {sgprs}, {min(map(waves_of, own))}, {size}")
        count = len({k.name for k in kernels if family_of(k) == family})
        lines.append(f"| {family.name} | {count} | " + " | ".join(cells) + " |\n")
    return lines


def compare(page, table, renew):
    with open(page, encoding="utf-8") as f:
        head, begin, rest = f.read().partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page}: no lines {BEGIN.strip()} and {END.strip()}")
    if old == "".join(table):
        return True
    if renew:
        with open(page, "w", encoding="utf-8") as f:
            f.write(head + BEGIN + "".join(table) + END + tail)
        return True
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), table, page, "what was compiled", n=0))
    print(f"{page} says something else. If what was compiled is what you want: tools/check_amd_code.py --renew")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--renew", action="store_true", help="write the table into the page")
    parser.add_argument("folder", nargs="?", default="build/gpu")
    parser.add_argument("page", nargs="?", default="docs/gpu-amd.md", help="none: only the kernels are looked at")
    options = parser.parse_args()
    compiler, pieces = read_table(options.folder)
    kernels = read_kernels(options.folder, pieces)
    print_all(kernels)
    bad = [(k, c) for k in kernels for c in complaints_about(k)]
    for kernel, complaint in bad:
        print(f"{kernel.module}.{kernel.target}: {kernel.name}: {complaint}")
    table = families_table(kernels, compiler)
    same = options.page == "none" or {t for _, t in pieces} != SHIPPED or compare(options.page, table, options.renew)
    sys.exit(1 if bad or not same else 0)


if __name__ == "__main__":
    main()
