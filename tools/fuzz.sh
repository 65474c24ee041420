#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target of a build for some time, one after the other: `tools/fuzz.sh BUILD SECONDS`. What a run finds
# new stays in BUILD/corpus/NAME; an input that breaks a target is kept as BUILD/found-NAME-*, and the run goes on with
# the next target, failing at the end.
set -u
cd "$(dirname "$0")/.."
[ $# = 2 ] || {
    echo "usage: tools/fuzz.sh BUILD SECONDS" >&2
    exit 1
}
status=0
for target in "$1"/fuzz_*; do
    [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    seeds=
    [ -d "tests/fuzz/seeds/$name" ] && seeds="tests/fuzz/seeds/$name"
    echo "nibble: fuzzing $name for $2 s"
    # shellcheck disable=SC2086
    NB_TEST_DATA=$PWD/tests/data ASAN_OPTIONS=allocator_may_return_null=1 "$target" -max_total_time="$2" -timeout=10 \
        -rss_limit_mb=2048 -artifact_prefix="$1/found-$name-" "$1/corpus/$name" $seeds ||
        { echo "nibble: $name failed" >&2; status=1; }
done
exit $status
