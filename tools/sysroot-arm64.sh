#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks the arm64 libraries that the cross build links against into a folder: `tools/sysroot-arm64.sh DIR`. They come
# from the machine's own Debian sources through an apt-get with state of its own, so neither privileges nor
# `dpkg --add-architecture` are needed and the system stays as it is. Compiler and libc come from the cross packages.
set -u
packages="libcjson1 libcjson-dev libpcre2-8-0 libpcre2-dev libutf8proc2 libutf8proc-dev libzstd1 libzstd-dev libcmocka0 libcmocka-dev"

fail() {
    echo "nibble: $*" >&2
    exit 1
}
[ $# = 1 ] || fail "usage: tools/sysroot-arm64.sh DIR"
[ -e "$1/done" ] && exit 0
mkdir -p "$1" && dir=$(cd "$1" && pwd) || fail "cannot make the folder $1"
state=$dir/apt
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/deb" || fail "cannot write to $dir"

apt() {
    apt-get -q -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$state/cache" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= \
        -o Acquire::Languages=none -o Acquire::Retries=2 -o Debug::NoLocking=1 "$@" >"$state/log" 2>&1
}
reason() { grep '^E:' "$state/log" | head -n 1 | cut -c 1-200; }
echo "nibble: fetching arm64 libraries for the cross build to $dir: $packages"
apt -o APT::Update::Error-Mode=any update || update=$(reason)
# shellcheck disable=SC2086
(cd "$state/deb" && apt download $packages) ||
    fail "apt-get could not download the arm64 libraries: $(reason)${update:+ (apt-get update said: $update)}"
for deb in "$state"/deb/*.deb; do
    dpkg-deb -x "$deb" "$dir" || fail "cannot unpack $deb"
done
rm -rf "$state"
touch "$dir/done"
