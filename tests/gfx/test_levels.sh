# SPDX-License-Identifier: Apache-2.0
#
# Results do not depend on the optimizer: the walk over some rows of each kind, their kernels compiled for gfx1151 with less
# optimization, and for gfx1100 by an older compiler (clang 16, which does not know gfx1151; tools/deps.sh installs it).
# `test_levels.sh --all` takes every module and row, which takes some minutes.
cd "$NB_SOURCE_DIR" || exit 1
build=$(dirname "$NB_BIN")
modules="attention attention_decode_bf16 attention_decode_f16 attention_decode_f32 attention_narrow_f16 attention_wide_f16 moe norm ops qmm_affine4 \
    qmv_fma rope"
rows="matmul.affine4.fma.gpu,matmul_experts.affine8.fma.gpu,matmul.affine4.bf16.qmm32.gpu,attention.plain.gpu,\
attention.decode.gpu,attention.f16.tiles.gpu,rmsnorm*,rope.gpu,route.gpu,sum_experts.gpu,add*"
if [ "${1:-}" = --all ]; then
    modules=$(cd src/gpu/kernels && printf '%s\n' *.c | sed 's/\.c$//')
    rows="*"
fi

# walk NAME ARCH OPT CLANG
walk() {
    out=$build/tests/levels/$1
    targets=
    for module in $modules; do targets="$targets $out/$module.$2"; done
    # shellcheck disable=SC2086
    make -s -f src/gpu/kernels.mk OUT="$out" AMD="$2" OPT="$3" CLANG="$4" $targets || exit 1
    echo "== $1: $2, $3, $4"
    NB_GFX_ARCH=$2 NB_GFX_CODE=$out "$build/tests/test.gfx.walk" "$rows" || exit 1
}
walk O1 gfx1151 -O1 clang-19
walk O2 gfx1151 -O2 clang-19
if command -v clang-16 >/dev/null && command -v ld.lld-16 >/dev/null; then
    walk clang16 gfx1100 -O3 "clang-16 -B$(dirname "$(readlink -f "$(command -v ld.lld-16)")")"
else
    echo "no clang-16 and ld.lld-16 here, which compile for gfx1100"
    exit 1
fi
