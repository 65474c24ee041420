# SPDX-License-Identifier: Apache-2.0
#
# The bug report's machine, a gfx1151 under ROCm, with libraries for tests (tests/gpu/hip) that execute the shipped
# machine code: each row of the report's table answers, by either GEMM library, through QMV, with experts gathered; and
# where a compiler has made the dequantize kernel or the 8-bit QMV wrong, `nibble verify` names the kernel, a run sets
# it aside and answers all the same, and without verification there is the garbage that was reported. Verification is
# done at load and at the level of the model's steps: all made-up cases take minutes here (gfx.walk has some of them).
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
question="What is 2+2? Reply with just the number."
model=$NB_SOURCE_DIR/models/tiny/qwen3_moe # 4 bits; routers of 8 bits; 8 experts
rocm=$(dirname "$NB_BIN")/tests/gpu/hip
if nibble devices | grep -q 'hip .*no kernels'; then
    echo "this build has no kernels for GPUs: skipped"
    exit 77
fi

# hip ARGUMENTS: nibble where ROCm is.
hip() {
    LD_LIBRARY_PATH=$rocm NIBBLE_DEVICE=hip:0 nibble "$@"
}

# Only kernels of these names are left for products.
no_tiles='-matmul.*.qmm*'
only_qmv='-*.gemm.gpu,-*.qmm*,-matmul.any.tiled.gpu'

# uses MODEL KERNELS NAME...: with these set aside, each NAME computes some step.
uses() {
    local model=$1 kernels=$2 name
    shift 2
    NIBBLE_KERNELS=$kernels NIBBLE_VERIFY=off hip inspect "$model" --kernels >"$work/kernels" 2>"$work/err" ||
        complain "inspect --kernels: $(cat "$work/err")"
    for name in "$@"; do
        grep -qE " $name\$" "$work/kernels" || complain "$model without $kernels: $name is not used"
    done
}

# asks WHAT MODEL KERNELS: the answer into $answer, what is logged into $work/err.
asks() {
    local start=$SECONDS
    answer=$(NIBBLE_LOG=debug NIBBLE_KERNELS=$3 hip run "$2" "$question" --temp 0 --max-tokens 4 2>"$work/err")
    echo "$1: \"$answer\", $((SECONDS - start)) s"
    ! grep -q 'simulated GPU' "$work/err" || complain "$1: $(grep 'simulated GPU' "$work/err" | head -n 3)"
}

right() {
    asks "$@"
    [ "$answer" = 4 ] || complain "$1: answers \"$answer\": $(tail -n 3 "$work/err")"
}

says() {
    grep -qE -- "$2" "$work/err" || complain "$1: stderr does not say \"$2\""
}

says_not() {
    ! grep -qE -- "$2" "$work/err" || complain "$1: stderr says \"$2\""
}

# ---- The report's table: all of it answers -----------------------------------------------------------------------
hip devices | grep -qE '^hip:0 +AMD Radeon 8060S Graphics, gfx1151, .*HIP 7\.0' || complain "hip:0 is $(hip devices)"
export NIBBLE_VERIFY=off
nibble dequantize "$model" "$work/f16" --dtype float16 >/dev/null || complain "no FP16 model"
gemm='first GEMM, by hipBLASLt: M [0-9]+, N 192, K 192, x not transposed with leading dimension 192, w transposed with 192, y with 192'
uses "$work/f16" "" matmul.plain.f16.gemm.gpu matmul.plain.fma.gpu
right "FP16" "$work/f16" ""
says FP16 "$gemm, f16 to f32"
uses "$model" "$no_tiles" matmul.affine4.bf16.gemm.gpu matmul.affine4.fma.gpu matmul_experts.affine4.bf16.qmm128.gpu
right "4 bits, dequantize + hipBLASLt" "$model" "$no_tiles"
says hipBLASLt "$gemm, bf16 to f32"
mkdir "$work/roc"
ln -s "$rocm/libamdhip64.so.7" "$rocm/librocblas.so.5" "$work/roc"
rocm=$work/roc right "4 bits, dequantize + rocBLAS" "$model" "$no_tiles"
says rocBLAS 'first GEMM, by rocBLAS: M [0-9]+, N 192, K 192'
NB_FAKE_LT=none right "4 bits, hipBLASLt has no algorithm" "$model" "$no_tiles"
says "no algorithm" 'first GEMM, by rocBLAS'
uses "$model" "$only_qmv" matmul.affine4.fma.gpu matmul.affine8.fma.gpu matmul_experts.affine4.fma.gpu
right "4 bits, 8-bit routers and experts through QMV" "$model" "$only_qmv"
says_not QMV 'first GEMM'
right "4 bits on matrix units, experts sorted" "$model" ""
NIBBLE_DEVICE=cpu prints 4 run "$model" "$question" --temp 0
MLX_ROCM_QMM_DEQUANT_GEMM=0 right "MLX_ROCM_QMM_DEQUANT_GEMM=0" "$model" "$no_tiles"
says_not MLX_ROCM_QMM_DEQUANT_GEMM 'first GEMM'
unset NIBBLE_VERIFY

# ---- Checked at load, nothing is wrong ---------------------------------------------------------------------------
right "checked at load" "$model" ""
says_not "checked at load" "set aside"
hip verify "$model" --device hip:0 --level plan --quick >"$work/out" 2>"$work/err" ||
    complain "verify: $(tail -n 3 "$work/out" "$work/err")"

# ---- Miscompiled -------------------------------------------------------------------------------------------------
# miscompiled FAULT MODEL KERNELS NAME...: machine code made wrong, which is that of the kernels NAME.
miscompiled() {
    local fault=$1 model=$2 kernels=$3 start=$SECONDS
    shift 3
    export NB_HIP_FAULT=$fault NIBBLE_HOME=$work/$fault
    NIBBLE_VERIFY=off asks "$fault, unchecked" "$model" "$kernels"
    [[ "$answer" != *4* ]] || complain "$fault does no harm: \"$answer\""
    says "$fault, unchecked" "were not checked"
    right "$fault, checked at load" "$model" "$kernels"
    says "$fault" "kernel $1 is set aside"
    NIBBLE_HOME=$work/$fault.verify NIBBLE_KERNELS=$kernels hip verify "$model" --device hip:0 --level plan --quick \
        --json "$work/$fault.json" >"$work/out" 2>"$work/err"
    [ $? = 1 ] || complain "$fault: verify does not fail: $(tail -n 3 "$work/out" "$work/err")"
    python3 - "$work/$fault.json" "$@" <<'END' || complain "$fault: verify names others than $*"
import json, sys
found = {f["kernel"] for f in json.load(open(sys.argv[1]))["findings"]}
print("verify names", *found)
sys.exit(sys.argv[2] not in found or not found <= set(sys.argv[2:]))
END
    echo "$fault: $((SECONDS - start)) s"
    unset NB_HIP_FAULT
}
miscompiled duplicated-stores "$model" "$no_tiles" matmul.affine4.bf16.gemm.gpu
NB_HIP_FAULT=duplicated-stores MLX_ROCM_QMM_DEQUANT_GEMM=0 NIBBLE_VERIFY=off right "the report's workaround" "$model" \
    "$no_tiles"
# Routers alone that are wrong leave this model its answer; all of its weights in 8 bits do not.
nibble quantize "$work/f16" "$work/q8" --bits 8 >/dev/null || complain "no 8-bit model"
miscompiled half-loads "$work/q8" "$only_qmv" matmul.affine8.fma.gpu matmul_experts.affine8.fma.gpu
exit $status
