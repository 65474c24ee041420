# SPDX-License-Identifier: Apache-2.0
#
# The trained models of models/tiny answer from the command line, one of each family, with their own sampling defaults:
# they are sure enough that sampling changes nothing.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
models=$NB_SOURCE_DIR/models/tiny
question="What is 2+2? Reply with just the number."

for name in qwen3_5 qwen3_moe qwen3_5_moe gemma4 gemma4_moe; do
    prints 4 run "$models/$name" "$question"
    prints 4 run "$models/$name" "$question" --temp 0 --template-args '{"enable_thinking": false}'
    prints thirty-two run "$models/$name" "Add 12 and 20." --system "Answer in words." \
        --template-args '{"enable_thinking": false}'
    printf '%s\n' "What is 3+4?" "Compute 11+6." | nibble chat "$models/$name" >"$work/out" 2>"$work/err" ||
        complain "chat $name: $(cat "$work/err")"
    [ "$(cat "$work/out")" = $'7\n17' ] || complain "chat $name: $(cat "$work/out")"
done
exit $status
