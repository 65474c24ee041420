# SPDX-License-Identifier: Apache-2.0
#
# Both libraries offer exactly the functions that nibble.h declares: none missing, none more.
build=$(dirname "$NB_BIN")
declared=$(sed -n 's/^NB_API.*[ *]\(nb_[a-z0-9_]*\)(.*/\1/p' "$NB_SOURCE_DIR/include/nibble.h" | sort)
[ -n "$declared" ] || exit 1
status=0
compare() {
    exported=$(nm "${@:2}" --defined-only --format=posix "$1" 2>/dev/null | awk 'NF > 2 {print $1}' | sort)
    diff <(echo "$declared") <(echo "$exported") >"$build/symbols.diff" || {
        echo "$1 differs from nibble.h (< declared, > exported):"
        grep '^[<>]' "$build/symbols.diff"
        status=1
    }
}
compare "$build/libnibble.so" -D
compare "$build/libnibble.a" -g
exit $status
