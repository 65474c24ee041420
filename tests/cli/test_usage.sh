# SPDX-License-Identifier: Apache-2.0
#
# Help, version, and what happens on a wrong command line.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1

prints "nibble $(sed -n 's/^project(nibble VERSION \([0-9.]*\).*/\1/p' "$NB_SOURCE_DIR/CMakeLists.txt")" --version
nibble >"$work/out" 2>"$work/err"
[ $? = 2 ] && [ ! -s "$work/out" ] && grep -q "Usage: nibble" "$work/err" || complain "nibble without arguments"
nibble --help | grep -q "Usage: nibble COMMAND" || complain "nibble --help"
[ "$(nibble --help)" = "$(nibble help)" ] || complain "nibble help"
[ "$(nibble run --help)" = "$(nibble help run)" ] || complain "nibble help run"
for command in $(nibble --complete); do
    nibble "$command" --help >"$work/out" 2>"$work/err" || complain "nibble $command --help fails"
    [ -s "$work/err" ] && complain "nibble $command --help writes to stderr"
    grep -q "^Usage: nibble $command" "$work/out" || complain "nibble $command --help has no usage"
    awk 'length > 80' "$work/out" | grep . && complain "nibble $command --help is wider than 80 columns"
    fails 2 "unknown option --no-such.*nibble $command --help" "$command" --no-such
done

fails 2 'unknown command "rnu"; did you mean "run"\? \(see .nibble --help.\)' rnu
fails 2 'unknown command "xyzzy" ' xyzzy
fails 2 'unknown option "--versoin"; did you mean' --versoin
fails 2 'unknown option --tmp; did you mean --temp\?' run model hello --tmp 1
fails 2 'unknown option -z' run model hello -z
fails 2 'missing arguments: expected MODEL' run
fails 2 'unexpected argument "c"' run a b c
fails 2 '--temp: "hot" is not a number' run a b --temp hot
fails 2 '--temp: "nan" is not a number' run a b --temp nan
fails 2 '--max-tokens: "0" is not a whole number from 1' run a b --max-tokens 0
fails 2 '--max-tokens: "99999999999999999999" is not' run a b --max-tokens=99999999999999999999
fails 2 '--seed: "-1" is not' run a b --seed -1
fails 2 '--kv-type: "f8" is not one of f32\|f16\|bf16' run a b --kv-type f8
fails 2 '--threads needs a value' run a b --threads
fails 2 '--raw takes no value' run a b --raw=1
fails 2 '--raw has no chat template' run a b --raw --system x
fails 2 'either DIR or --name' import file.gguf
fails 2 '--text-file is missing' tokenize "$tiny"
fails 2 '--messages is missing' template "$tiny"
fails 2 '--tokens is missing' logits "$tiny"
fails 2 'either MODEL, kernels, or --config' bench
exit $status
