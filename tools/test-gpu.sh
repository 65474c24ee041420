#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What `make test-gpu` runs on a real device, from a folder of tools/gpu-bundle.sh: the walk over all GPU kernels, every
# model golden, the questions of the demo and of the tiny models, and a whole verification of each. The device is
# $NIBBLE_DEVICE, or cuda:0. Arguments: the folder of the repository, and of further models that must answer 4.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?the folder of the repository}
shift
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export NIBBLE_DEVICE=${NIBBLE_DEVICE:-cuda:0} NB_TEST_DATA=$root/tests/data NIBBLE_HOME=${NIBBLE_HOME:-$(mktemp -d)}
failed=0
question="What is 2+2? Reply with just the number."

step() {
    echo "== $*"
    local start=$SECONDS
    "$@"
    local code=$?
    echo "== $((SECONDS - start)) s, exit code $code"
    [ $code = 0 ] || failed=$((failed + 1))
}

answers() {
    local text
    text=$("$here/nibble" run "$1" "$question" --temp 0 --max-tokens 64) || return 1
    echo "$(basename "$1"): $text"
    case $text in *4*) ;; *) return 1 ;; esac
}

"$here/nibble" devices
step "$here/nibble" verify --level kernels --device "$NIBBLE_DEVICE"
NIBBLE_VERIFY=off step "$here/test.gpu.models"
for model in "$root"/models/tiny/*/ "$@"; do
    [ -e "$model/config.json" ] || continue
    step answers "${model%/}"
    step "$here/nibble" verify "${model%/}" --level all --quick --device "$NIBBLE_DEVICE"
done
echo "$failed steps failed"
[ $failed = 0 ]
