#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Puts what `make test-gpu` runs on a GPU into one folder, libraries included, so that it runs on a machine that has a
# driver and nothing of ours: tools/gpu-bundle.sh BUILD FOLDER. There, FOLDER/run.sh DATA does it (tools/test-gpu.sh).
set -eu
build=$1 out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$out"
mkdir -p "$out/lib"
cp "$build/nibble" "$build/tests/test.gpu.models" "$out/"
cp "$root/tools/test-gpu.sh" "$out/run.sh"
strip "$out/nibble" "$out/test.gpu.models"
# All but the C library, which goes with the machine.
ldd "$out/nibble" "$out/test.gpu.models" | awk '/=> \// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | while read -r lib; do cp -L "$lib" "$out/lib/"; done
