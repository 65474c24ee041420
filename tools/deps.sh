#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing to build, demonstrate, time or test nibble: `tools/deps.sh build demo bench test fuzz cross`.
# Looks for the commands, headers and libraries themselves, so nothing happens (and no privilege is needed) where they
# exist, whatever the distribution. What is missing comes from apt-get, after saying so; every failure is one line.
set -u
missing=

fail() {
    echo "nibble: $*" >&2
    exit 1
}

# need PACKAGE COMMAND...: the package is wanted unless the command succeeds.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have() { command -v "$1"; }
# Modules that pkg-config must know; one call for all when nothing is missing.
need_modules() {
    modules=
    for pair in "$@"; do modules="$modules ${pair%%:*}"; done
    # shellcheck disable=SC2086
    have pkg-config >/dev/null 2>&1 && pkg-config --exists $modules 2>/dev/null && return
    for pair in "$@"; do need "${pair##*:}" pkg-config --exists "${pair%%:*}"; done
}

for group in "$@"; do
    case $group in
    build)
        need gcc have cc
        need libc6-dev test -e /usr/include/stdlib.h
        need cmake have cmake
        need ninja-build have ninja
        need pkg-config have pkg-config
        # Device code for GPUs of both vendors is compiled from plain C; older clangs do not know all of the chips.
        need clang-19 have clang-19
        need lld-19 have ld.lld-19
        need_modules libcjson:libcjson-dev libpcre2-8:libpcre2-dev libutf8proc:libutf8proc-dev libedit:libedit-dev \
            libzstd:libzstd-dev
        need zstd have zstd
        ;;
    demo)
        need python3 have python3
        need python3-pip python3 -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('pip') is None)"
        need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
        ;;
    bench)
        need g++ sh -c 'echo "#include <string>" | c++ -fsyntax-only -x c++ -'
        ;;
    fuzz)
        need clang have clang
        need "libclang-rt-14-dev" sh -c 'clang -print-runtime-dir | grep -q . &&
            ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*.a'
        ;;
    cross)
        need gcc-aarch64-linux-gnu have aarch64-linux-gnu-gcc
        need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/lib/libc.so.6
        need qemu-user-static have qemu-aarch64-static
        ;;
    test)
        need_modules cmocka:libcmocka-dev
        need clang-format-14 have clang-format-14
        # Device code for AMD is dis-assembled.
        need llvm-19 have llvm-objdump-19
        # And compiled by a second compiler, whose results must not differ.
        need clang-16 have clang-16
        need lld-16 have ld.lld-16
        ;;
    *) fail "tools/deps.sh: unknown group $group (build, demo, bench, test, fuzz, cross)" ;;
    esac
done
[ -z "$missing" ] && exit 0

missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
missing=${missing% }
command -v apt-get >/dev/null || fail "please install what Debian calls: $missing"
if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null; then
    root="sudo"
else
    fail "missing packages, and no sudo to install them; as root: apt-get install $missing"
fi
echo "nibble: installing with apt-get: $missing"
if [ -n "$root" ]; then
    sudo -v || fail "sudo refused; as root: apt-get install $missing"
fi

log=$(mktemp) || fail "cannot write to ${TMPDIR:-/tmp}"
trap 'rm -f "$log"' EXIT
apt() {
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@" \
        >"$log" 2>&1
}
reason() { grep '^E:' "$log" | head -n 1 | cut -c 1-200; }
# Lists of packages may be old or absent: fetch them first. One broken third-party source is no reason to give up.
apt -o APT::Update::Error-Mode=any update || update=$(reason)
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing ||
    fail "apt-get could not install $missing: $(reason)${update:+ (apt-get update said: $update)}"
