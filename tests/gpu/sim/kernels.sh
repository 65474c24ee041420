#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# kernels.sh MODULE.c OUT.c CLANG...: writes the host form of a module of src/gpu/kernels: the module itself and, for
# each KERNEL, how to call it with the bytes of its params. Kernels are found after preprocessing, so macros may make
# them.
set -eu
source=$1 out=$2
shift 2
module=$(basename "$source" .c)
# KERNEL ... void NAME(TYPE p) {  ->  NAME|TYPE
{ "$@" -E -P "$source" && echo; } | tr '\n' ' ' | sed 's/annotate("gpu_kernel")))/\n&/g;s/$/\n/' |
    sed -nE 's/^annotate\("gpu_kernel"\)\)\)([^{;]*)\{.*$/\1/p' |
    sed -nE 's/.*[^A-Za-z0-9_]([A-Za-z0-9_]+) *\(([^()]*[^A-Za-z0-9_])[A-Za-z0-9_]+ *\) *$/\1|\2/p' >"$out.list"
{
    echo "#include \"$source\""
    echo '#include "tests/gpu/sim/sim_kernel.h"'
    while IFS='|' read -r name type; do
        echo "static void sim_run_$name(const void *p) { $name(*(const $type *)p); }"
    done <"$out.list"
    if [ -s "$out.list" ]; then
        echo 'static const sim_kernel sim_kernels_here[] __attribute__((section("sim_kernels"), used)) = {'
        while IFS='|' read -r name type; do
            echo "    {\"$module\", \"$name\", sim_run_$name, sizeof($type)},"
        done <"$out.list"
        echo '};'
    fi
} >"$out"
rm -f "$out.list"
