# SPDX-License-Identifier: Apache-2.0
#
# Which device is chosen, and what is said when a GPU, its driver or its library fails: with libraries that fail as they
# are told (tests/support/fake_gpu).
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
unset NIBBLE_DEVICE
fake=$(dirname "$NB_BIN")/tests/fake_gpu

# with FOLDER WHAT COMMAND...: runs it with a driver that does WHAT.
with() {
    local folder=$1 what=$2
    shift 2
    NB_FAKE_GPU=$what LD_LIBRARY_PATH=$fake/$folder "$@"
}

logits() {
    nibble logits "$tiny" --tokens 1,2,3 --out "$work/logits" --verify off "$@"
}

# lists FOLDER WHAT PATTERN: so `nibble devices` speaks of a driver that does WHAT, and the CPU can be used as ever.
lists() {
    with "$1" "$2" nibble devices >"$work/out" 2>"$work/err" || complain "nibble devices fails with $2"
    [ ! -s "$work/err" ] || complain "nibble devices, $2: stderr says $(cat "$work/err")"
    grep -qE -- "$3" "$work/out" || complain "$2: \"$(cat "$work/out")\" does not say \"$3\""
    [ "$(with "$1" "$2" nibble devices --names)" = cpu:0 ] || complain "$2: something beside the CPU is used"
    with "$1" "$2" logits 2>"$work/err" || complain "$2: no answer on the CPU: $(cat "$work/err")"
}

# ---- Without drivers, or with the CPU alone ----------------------------------------------------------------------
nothing=$work/nothing
mkdir "$nothing"
grep -q '^cpu:0 ' <<<"$(nibble devices)" || complain "nibble devices does not list the CPU"
NIBBLE_DEVICE=cpu logits || complain "NIBBLE_DEVICE=cpu"
NIBBLE_DEVICE=hop fails 1 '"hop": not one of auto, cpu, cuda, hip.*; usable: .*cpu:0' logits "$tiny" --tokens 1 --out "$work/l"
NIBBLE_DEVICE=hop logits --device cpu:0 || complain "--device does not win over NIBBLE_DEVICE"
fails 1 '"cpu:": "" is not a number' logits "$tiny" --tokens 1 --out "$work/l" --device cpu:
fails 1 '"cpu:1x": "1x" is not a number' logits "$tiny" --tokens 1 --out "$work/l" --device cpu:1x
fails 1 'no device cpu:1; usable: ' logits "$tiny" --tokens 1 --out "$work/l" --device cpu:1
if nibble devices | grep -q 'cuda .*no kernels'; then
    echo "this build has no kernels for GPUs: the rest is skipped"
    exit $status
fi
# A build may have kernels of one vendor only: then it says so of the other one, whatever driver is there.
amd=yes
if nibble devices | grep -q '^hip .*no kernels'; then
    amd=no
    with hip "" nibble devices | grep -q '^hip  *not there: this build of nibble has no kernels for HIP' ||
        complain "a build without AMD's kernels: $(with hip "" nibble devices)"
    with hip "" fails 1 'no hip device: this build of nibble has no kernels for HIP; usable: .*cpu:0$' logits "$tiny" \
        --tokens 1 --out "$work/l" --device hip
fi
if ! nibble devices | grep -q '^cuda:'; then
    nibble devices | grep -q '^cuda  *not there: libcuda.so.1: cannot open' || complain "an absent CUDA: $(nibble devices)"
    fails 1 'no cuda device: libcuda.so.1: cannot open.*; usable: cpu:0$' logits "$tiny" --tokens 1 --out "$work/l" \
        --device cuda
    fails 1 'no device cuda:3: libcuda' logits "$tiny" --tokens 1 --out "$work/l" --device cuda:3
    fails 2 'no cuda device: libcuda' verify --device cuda
    NIBBLE_LOG=info logits 2>"$work/err"
    grep -q 'device auto: cpu:0' "$work/err" || complain "auto does not say what it took: $(cat "$work/err")"
fi

# ---- Drivers that cannot be used ---------------------------------------------------------------------------------
lists cuda cuInit:100 '^cuda  *not there: cuInit: no device \(error 100\)'
lists cuda cuInit:803 'reboot'
lists cuda devices:0 'knows no device'
lists cuda version:11040 'not used: its driver is for CUDA 11.4, .* need CUDA 12.0.*update it'
lists cuda capability:75 'not used: its compute capability is 7.5'
lists cuda cuDeviceTotalMem_v2:999 'not used: cuDeviceTotalMem_v2: made up \(error 999\)'
lists cuda crash 'the driver ended the process .*signal 9'
lists half '' 'libcuda.so.1 has no cuStreamBeginCapture_v2: it is too old, or only half installed'
[ $amd = no ] || lists hip hipInit:100 '^hip  *not there: hipInit: no device'
[ $amd = no ] || lists hip arch:gfx803 'not used: this build of nibble has no kernels for gfx803'
with cuda capability:75 fails 1 'no cuda device can be used: cuda:0 \(Fake GPU 0\): its compute' logits "$tiny" \
    --tokens 1 --out "$work/l" --device cuda
with cuda version:11040 fails 2 'cuda:0 .*cannot be used: its driver' verify --device cuda:0

# ---- Devices that can --------------------------------------------------------------------------------------------
for device in cuda:0 cuda:1; do
    with cuda devices:2 nibble devices --names | grep -qx $device || complain "two devices: $device is not listed"
done
with cuda devices:2,capability:86 nibble devices >"$work/out"
grep -q '^cuda:1  *Fake GPU 1, sm_86, 1.1 GB, CUDA 13.0' "$work/out" || complain "cuda:1 is $(cat "$work/out")"
if [ $amd = yes ]; then
    with hip arch:gfx1151 nibble devices | grep -q '^hip:0  *Fake GPU 0, gfx1151, .*HIP 6.4.43484' || complain "hip:0"
    with hip arch:gfx1103 nibble devices --names | grep -q '^hip:0' || complain "gfx1103 does not run its family's code"
    with hip "" logits --device hip 2>"$work/err" || complain "a model on the fake HIP: $(cat "$work/err")"
fi
# A GPU without its vendor's products, or with half of their library, is used all the same.
mkdir "$work/half"
cp "$fake/cuda/libcuda.so.1" "$work/half/libcublasLt.so.13"
NIBBLE_CUBLAS=$work/half with cuda "" nibble devices >"$work/out"
grep -qE "^ +large products: (libcublasLt|nibble's own: .*/half/libcublasLt.so.13 has no cublasLtCreate: .*half installed)" \
    "$work/out" || complain "half of cuBLASLt: $(cat "$work/out")"
NIBBLE_CUBLAS=$work/half with cuda "" logits --device cuda || complain "half of cuBLASLt: no answer"
with cuda "" nibble devices >"$work/out"
grep -qE "^ +large products: (libcublasLt|nibble's own: libcublasLt.so.13: cannot open)" "$work/out" ||
    complain "no cuBLASLt: $(cat "$work/out")"
with cuda devices:2 fails 1 'no device cuda:2; usable: cuda:0, cuda:1' logits "$tiny" --tokens 1 --out "$work/l" \
    --device cuda:2
NIBBLE_LOG=info with cuda "" logits 2>"$work/err" || complain "a model on the fake GPU: $(cat "$work/err")"
grep -q 'device auto: cuda:0' "$work/err" || complain "auto does not take the GPU: $(cat "$work/err")"

# broken WHAT PATTERN: a run on a GPU that breaks so says it in one line, and the CPU can be used.
broken() {
    NIBBLE_LOG=error with cuda "$1" fails 1 "$2" logits "$tiny" --tokens 1 --out "$work/l" --verify off --device cuda
    with cuda "$1" logits --device cpu 2>"$work/err" || complain "$1: no answer on the CPU: $(cat "$work/err")"
}
broken cuMemAlloc_v2:2 'cuMemAlloc_v2: out of memory.* wanted, 0.268 of 1.074 GB are free'
broken cuMemHostAlloc:2 'pinned memory: cuda:0'
broken cuDevicePrimaryCtxRetain:46 'another program uses the device exclusively'
broken cuModuleLoadDataEx:222 'kernels .* for ptx: cuda:0 .*update it'
broken cuLaunchKernel:701 'kernel [a-z_]*, .* blocks of .*more registers or shared memory'
broken cuStreamSynchronize:719 'a kernel faulted, or the device was reset'

# A driver that does not start is no kernel's fault, a kernel that breaks it is its own: that one is set aside.
with cuda cuDevicePrimaryCtxRetain:46 fails 2 'another program uses the device exclusively' verify --device cuda --quick
with cuda cuDevicePrimaryCtxRetain:46 fails 1 'another program' logits "$tiny" --tokens 1 --out "$work/l" --device cuda
prints "No kernel is set aside." verify --list
NIBBLE_LOG=error with cuda cuLaunchKernel:719 fails 1 'no kernel is left that this model could trust' logits "$tiny" \
    --tokens 1 --out "$work/l" --device cuda
with cuda "" nibble verify --list >"$work/out"
grep -q 'found  *crashed: .*cuLaunchKernel: .*a kernel faulted' "$work/out" || complain "who broke it: $(cat "$work/out")"
NIBBLE_DEVICE=cpu logits --verify quick || complain "the CPU's kernels are not as trusted as ever"
exit $status
