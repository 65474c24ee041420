# SPDX-License-Identifier: Apache-2.0
#
# The library compiles for Macs with Apple silicon. Only compiles: the libraries that it needs are not at hand for
# macOS, but their headers are the same everywhere.
zig=$NB_SOURCE_DIR/build/zig/ziglang/zig
[ -x "$zig" ] || {
    echo "no $zig (make test fetches it on x86-64)"
    exit 77
}
build=$(dirname "$NB_BIN")/macos
mkdir -p "$build/include" && cd "$build" || exit 1
ln -sfn /usr/include/cjson include/cjson
ln -sf /usr/include/pcre2.h /usr/include/utf8proc.h include/
export ZIG_GLOBAL_CACHE_DIR=$build/cache ZIG_LOCAL_CACHE_DIR=$build/cache zig build NB_SOURCE_DIR
compile() {
    flags=
    # Zig names processors, not architectures: the first that has the instructions (dot products every Mac has).
    case $1 in
    *_i8mm.c | *_bf16.c) flags=-mcpu=apple_m2 ;;
    esac
    object=$build/$(tr / _ <<<"${1#"$NB_SOURCE_DIR"/}").o
    "$zig" cc -target aarch64-macos -O1 -std=gnu11 -Wall -Wextra -ffp-contract=off $flags \
        -I"$NB_SOURCE_DIR/include" -I"$NB_SOURCE_DIR/src" -Iinclude -c "$1" -o "$object" || {
        echo "$1 does not compile for macOS"
        return 255
    }
}
export -f compile
find "$NB_SOURCE_DIR/src" -name '*.c' ! -name '*_tmpl.c' ! -path '*/x86/*' ! -path '*/cli/*' -print0 |
    xargs -0 -n 1 -P 2 bash -c 'compile "$1"' _
