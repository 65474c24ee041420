# SPDX-License-Identifier: Apache-2.0
#
# The demo's question, asked of the real model by this build: natively at every level of instructions, under qemu for
# the Arm build. The answer is the same everywhere.
ask() {
    # shellcheck disable=SC2086
    $NB_EMULATOR "$NB_BIN" run "$NB_TEST_MODEL" "What is 2+2? Reply with just the number." --temp 0 --max-tokens 32
}
levels="default"
[ -z "$NB_EMULATOR$NB_SANITIZED" ] && levels="default avx512 avx2 scalar"
for level in $levels; do
    if [ "$level" = default ]; then
        answer=$(ask)
    else
        answer=$(NIBBLE_CPU=$level ask)
    fi || exit 1
    echo "$level: $answer"
    [[ $answer == *"2 + 2 = 4"* ]] || exit 1
done
