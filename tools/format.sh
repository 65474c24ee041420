#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# clang-format over all C files of the tree: `tools/format.sh` fails where a file is not as .clang-format wants it,
# `tools/format.sh --fix` makes it so. Version 14, since every version formats a little differently.
set -eu
cd "$(dirname "$0")/.."
command -v clang-format-14 >/dev/null || {
    echo "nibble: clang-format-14 is missing (tools/deps.sh test installs it)" >&2
    exit 1
}
mode="--dry-run -Werror"
[ "${1:-}" = --fix ] && mode=-i
# shellcheck disable=SC2086
find src include tests examples bench -name '*.[ch]' -print0 2>/dev/null |
    xargs -0 -r -n 16 clang-format-14 $mode
