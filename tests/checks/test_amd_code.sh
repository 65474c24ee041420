# SPDX-License-Identifier: Apache-2.0
#
# The code objects for AMD GPUs cost what they may and no more, and docs/gpu-amd.md says what they cost. Before that: the
# check notices planted faults, each in a kernel of its own.
cd "$NB_SOURCE_DIR" || exit 1
if ! [ -e build/gpu/code_table.c ]; then
    echo "no device code in build/gpu"
    exit 77
fi
planted=$(mktemp -d) || exit 1
trap 'rm -rf "$planted"' EXIT

# plant NAME MODULE SAYING [OPTION...] <SOURCE: with SOURCE as a kernel of that module, the check must say SAYING.
plant() {
    name=$1 module=$2 saying=$3
    shift 3
    mkdir "$planted/$name"
    if ! clang-19 -x c -O2 -ffreestanding -nogpulib --target=amdgcn-amd-amdhsa -mcpu=gfx1151 -mcode-object-version=5 \
        -Isrc/gpu/kernels "$@" -o "$planted/$name/$module.gfx1151" -; then
        echo "cannot compile the planted kernel \"$name\""
        exit 1
    fi
    sh src/gpu/code_table.sh "a compiler" "$planted/$name/$module.gfx1151" >"$planted/$name/code_table.c"
    python3 tools/check_amd_code.py "$planted/$name" none >"$planted/said" && echo "\"$name\" passed the check" && exit 1
    grep -q "$module.gfx1151: .*$saying" "$planted/said" && return
    echo "of \"$name\" the check says something else than \"$saying\":"
    cat "$planted/said"
    exit 1
}
plant block ops 'compiled for blocks of 1024 threads, expected 256' <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL float *y) { y[tid()] = 1; }
C
plant memory ops 'private_segment_fixed_size is' <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL float *y, GLOBAL u32 *at) {
    float own[64];
    for (u32 i = 0; i < 64; i++) own[at[i] % 64] = y[i];
    y[tid()] = own[at[tid()] % 64];
}
C
plant flat ops 'instructions: flat access' <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL u64 *pointers) { *(float *)pointers[tid()] = 1; }
C
plant call ops 'instructions: calls' <<'C'
#include "gpu.h"
static __attribute__((noinline)) float away(float v) { return v * v + __builtin_sqrtf(v); }
KERNEL void planted(GLOBAL float *y, float v) { y[tid()] = away(y[0]) + away(v); }
C
plant shared ops 'bytes of LDS of its own' <<'C'
#include "gpu.h"
static SHARED __attribute__((loader_uninitialized)) float own[256];
KERNEL void planted(GLOBAL float *y) {
    own[tid()] = y[tid()];
    barrier();
    y[tid()] = own[255 - tid()];
}
C
plant waves ops 'waves of 64, expected 32' -mwavefrontsize64 <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL float *y) { y[tid()] = 1; }
C
plant registers ops 'vector registers, at most' <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL float *y, GLOBAL float *x) {
    float v[96];
    UNROLL for (u32 i = 0; i < 96; i++) v[i] = x[i * 256 + tid()];
    barrier();
    UNROLL for (u32 i = 0; i < 96; i++) y[i * 256 + tid()] = v[95 - i] * v[i];
}
C
plant family moe2 'no family' <<'C'
#include "gpu.h"
KERNEL void planted(GLOBAL float *y) { y[tid()] = 1; }
C

tools/check_amd_code.py
