# SPDX-License-Identifier: Apache-2.0
#
# What the tests of the command share: a working folder, and checks of what a person sees. Sourced by test_*.sh, which
# end with `exit $status`.
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NIBBLE_HOME=$work/home NIBBLE_DEVICE=cpu
unset HF_HOME HF_HUB_CACHE NIBBLE_LOG NIBBLE_KERNELS NIBBLE_VERIFY NIBBLE_CUBLAS MLX_ROCM_QMM_DEQUANT_GEMM
tiny=$NB_TEST_DATA/models/llama-f32-minimal # a model of 0.2 MB without a tokenizer

nibble() {
    # shellcheck disable=SC2086
    $NB_EMULATOR "$NB_BIN" "$@"
}

complain() {
    echo "FAIL: $*"
    status=1
}

# fails CODE PATTERN ARGUMENTS: nibble ends with CODE, says one line "nibble: ..." that PATTERN (extended) is in, and
# nothing on stdout.
fails() {
    local code=$1 pattern=$2
    shift 2
    nibble "$@" >"$work/out" 2>"$work/err" </dev/null
    local got=$?
    [ $got = "$code" ] || complain "nibble $*: exit code $got, expected $code: $(cat "$work/err")"
    [ -s "$work/out" ] && complain "nibble $*: failed, but wrote to stdout: $(head -c 200 "$work/out")"
    [ "$(wc -l <"$work/err")" = 1 ] && grep -q '^nibble: ' "$work/err" ||
        complain "nibble $*: no one-line error: $(cat "$work/err")"
    grep -qE -- "$pattern" "$work/err" || complain "nibble $*: \"$(cat "$work/err")\" does not say \"$pattern\""
}

# prints TEXT ARGUMENTS: nibble succeeds, and exactly TEXT (with a newline) is on stdout.
prints() {
    local text=$1 got
    shift
    got=$(nibble "$@" 2>"$work/err") || complain "nibble $*: failed: $(cat "$work/err")"
    [ "$got" = "$text" ] || complain "nibble $*: printed \"$got\", expected \"$text\""
}
