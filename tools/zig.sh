#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks the Zig compiler, for its C compiler with macOS headers, from the PyPI package ziglang (101 MB):
# `tools/zig.sh DIR`. x86-64 Linux only, as the package's file is.
set -u
[ $# = 1 ] || {
    echo "usage: tools/zig.sh DIR" >&2
    exit 1
}
[ -x "$1/ziglang/zig" ] && exit 0
wheel=$("$(dirname "$0")/pypi.sh" ziglang 0.17.1 \
    ziglang-0.17.1-py3-none-manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64.whl \
    ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54) || exit 1
rm -rf "$1"
python3 -m zipfile -e "$wheel" "$1" && chmod +x "$1/ziglang/zig" || {
    echo "nibble: cannot unpack $wheel into $1" >&2
    exit 1
}
