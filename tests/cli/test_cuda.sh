# SPDX-License-Identifier: Apache-2.0
#
# nibble verify, and the check at load, where there is a GPU beside the CPU: a simulated one (tests/gpu/cuda). Kernels
# that are set aside by name, verdicts that hold from one command to the next.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
unset NIBBLE_DEVICE
export LD_LIBRARY_PATH=$(dirname "$NB_BIN")/tests/gpu/cuda
[ "$(nibble devices --names | tr '\n' ' ')" = "cuda:0 cpu:0 " ] || complain "devices: $(nibble devices)"
nibble devices | grep -q '^  *large products: libcublasLt.so.13$' || complain "its library: $(nibble devices)"

# logits OPTIONS: a model is loaded and runs.
logits() {
    nibble logits "$tiny" --tokens 1,2,3 --out "$work/logits" "$@" >"$work/out" 2>"$work/err"
}

# ---- Kernels set aside by name -----------------------------------------------------------------------------------
# A pattern may be of one device alone, where all are verified; where one is chosen, it has to be of that one.
for pattern in '-rmsnorm.scalar' '-rmsnorm*gpu' '-rmsnorm.scalar,-rmsnorm*gpu'; do
    NIBBLE_KERNELS=$pattern nibble verify "$tiny" --level plan --quick >"$work/out" 2>"$work/err"
    code=$?
    case $pattern in # without any norm the GPU cannot run the model
    *gpu) grep -q "no kernel for step .*norm" "$work/out" && [ $code = 1 ] ;;
    *) [ "$(grep -c "agree with their definitions" "$work/out")" = 2 ] && [ $code = 0 ] ;;
    esac || complain "verify without $pattern: $code: $(cat "$work/out" "$work/err")"
done
NIBBLE_KERNELS=-rmsnorm.scalar fails 2 '"-rmsnorm.scalar": no kernel of cuda:0 has such a name, only of cpu:0' \
    verify --device cuda:0
NIBBLE_KERNELS=+add.gpu,-rmsnorm*gpu fails 2 '"\+add.gpu": no kernel of cpu:0 has such a name, only of cuda:0' \
    verify "$tiny" --device cpu
NIBBLE_KERNELS=-rmsnorm.scalar fails 1 'no kernel of cuda:0 .*only of cpu:0' \
    logits "$tiny" --tokens 1 --out "$work/logits"
NIBBLE_KERNELS=-no.such fails 2 '"-no.such": no kernel of this machine has such a name \(cuda:0, cpu:0\)' verify
NIBBLE_KERNELS=-no.such fails 2 'no kernel of this machine .*cuda:0, cpu:0' verify --device cpu
fails 1 'no kernel of cpu:0 has such a name, only of cuda:0' bench kernels --device cpu --filter add.gpu
# A model on both devices has the kernels of both.
NIBBLE_KERNELS='-rmsnorm.avx*,-matmul.plain.fma.gpu' logits --gpu-layers 1 || complain "two devices: $(cat "$work/err")"

# ---- Verdicts ----------------------------------------------------------------------------------------------------
# What `nibble verify` has done for a device, a load need not do.
checks() {
    NIBBLE_LOG=info logits "$@" || complain "loading fails: $(cat "$work/err")"
    grep -q "info: verified [1-9][0-9]* kernels in" "$work/err"
}
for device in cuda:0 cpu; do
    nibble verify --forget >"$work/out"
    nibble verify "$tiny" --quick --level plan --device $device >"$work/out" || complain "$(tail -n 3 "$work/out")"
    checks --device $device || complain "$device: the level plan stands for the check at load"
    n=$(find "$NIBBLE_HOME/verdicts" -name '*.json' | wc -l)
    [ "$n" = 1 ] || complain "$device: verify and a load leave $n verdicts about the same"
done
nibble verify --forget >"$work/out"
nibble verify "$tiny" --at-load --quick >"$work/out" || complain "--at-load: $(cat "$work/out")"
checks --device cuda:0 && complain "verify --at-load does not stand for the check at load"
checks --device cuda:0 --kv-type f32 || complain "another type of the cache is not checked"
exit $status
