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
grep -q "but was not checked" "$work/err" && complain "unchecked: $(cat "$work/err")"
# A row that takes none of the cases that can be made for a model is named: here a row of codes is 72 bytes.
nibble logits "$NB_SOURCE_DIR/tests/data/models/gemma3-wrapped-q4" --tokens 1 --out "$work/logits" --device cuda:0 2>"$work/err" &&
    grep -q "warning: kernel matmul.affine6.fma.gpu is used on cuda:0 (simulated GPU) but was not checked" "$work/err" ||
    complain "an unchecked kernel is not named: $(cat "$work/err")"

# ---- Kernels that draw tokens ------------------------------------------------------------------------------------
# One that is wrong is found at load, by name; the host's sampler draws the same tokens. They are what the device itself
# draws where its kernels are right. Unchecked, the same fault makes another answer.
draw() {
    nibble run "$NB_SOURCE_DIR/models/tiny/qwen3_moe" "What is 2+2? Reply with just the number." --device cuda:0 \
        --temp 0.9 --seed 3 --repetition-penalty 1.1 --max-tokens 8 "$@" 2>"$work/err"
}
nibble verify --forget >"$work/out"
right=$(draw)
[ "$right" = 4 ] || complain "drawn on the device: \"$right\": $(cat "$work/err")"
for fault in sample_penalties:penalize.gpu sample_largest:draw.greedy.gpu sample_windows:draw.random.gpu; do
    nibble verify --forget >"$work/out"
    export NB_SIM_FAULT=${fault%:*}
    [ "$(draw)" = "$right" ] || complain "$fault: drawn by the host: $(cat "$work/err")"
    grep -q "kernel ${fault#*:} is set aside on cuda:0 .*nibble uses the host's sampler instead" "$work/err" ||
        complain "$fault is not found: $(cat "$work/err")"
done
[ "$(draw --verify off)" != "$right" ] || complain "the fault does no harm"
[ "$(NIBBLE_KERNELS='-draw.*' draw --verify off)" = "$right" ] || complain "without -draw.*: $(cat "$work/err")"
unset NB_SIM_FAULT
nibble verify --forget >"$work/out"

# ---- No memory, a device that breaks -----------------------------------------------------------------------------
# What is needed and what there is, and how many layers fit: with so many the model answers as on the CPU. Where there is not
# even the memory to check kernels in, the same is said.
small=$NB_SOURCE_DIR/models/tiny/gemma4
ask() {
    nibble run "$small" "What is 2+2? Reply with just the number." --temp 0 --ctx-size 256 "$@" 2>"$work/err"
}
NB_SIM_MEMORY=8000000 fails 1 'cuda:0 .*6 layers need [0-9.]* MB \(weights .*, KV cache .*, activations .*\), 8.0 MB are free; not even one layer fits: --device cpu' \
    run "$small" "hi" --device cuda:0
NB_SIM_MEMORY=8000000 ask --device cuda:0 >"$work/out" && complain "8 MB are enough"
needs=$(grep -o 'need [0-9.]*' "$work/err" | grep -o '[0-9]*' | head -n 1) # whole MB
export NB_SIM_MEMORY=$((needs * 1000000 + 1400000))
ask --device cuda:0 >"$work/out" && complain "$NB_SIM_MEMORY bytes are enough"
layers=$(grep -o -- '--gpu-layers [1-5] would fit' "$work/err" | grep -o '[0-9]') ||
    complain "$NB_SIM_MEMORY bytes: no layers are offered: $(cat "$work/err")"
[ "$(ask --device cuda:0 --gpu-layers "$layers" --stats)" = "$(ask --device cpu)" ] ||
    complain "$layers layers on the GPU: $(cat "$work/err")"
ask --device cuda:0 --gpu-layers "$layers" --stats >"$work/out"
grep -q "$((6 - layers)) layers* on cpu .*, $layers on cuda:0" "$work/err" || complain "where layers are: $(cat "$work/err")"
NB_SIM_MEMORY=$((NB_SIM_MEMORY + 2000000)) ask --device cuda:0 >"$work/out" || complain "a little more: $(cat "$work/err")"
unset NB_SIM_MEMORY
# In the middle of an answer: what was said, one line of why.
NB_SIM_LOST=300 ask --device cuda:0 --verify off >"$work/out" && complain "a device that breaks answers $(cat "$work/out")"
[ "$(grep -c '^nibble: cuda:0 (simulated GPU): .*a kernel faulted, or the device was reset' "$work/err")" = 1 ] ||
    complain "a device that breaks: $(cat "$work/err")"
exit $status
