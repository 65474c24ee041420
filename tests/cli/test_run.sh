# SPDX-License-Identifier: Apache-2.0
#
# nibble run with the real model: where the prompt comes from, what the options do, how it ends.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
model=$NB_TEST_MODEL
question="What is the capital of France?"
answer="The capital of France is Paris."

prints "$answer" run "$model" "$question"
[ -s "$work/err" ] && complain "where all kernels are right, run writes to stderr: $(cat "$work/err")"
ls "$NIBBLE_HOME/verdicts/"*.json >/dev/null || complain "run does not check the kernels"
prints "$answer" run "$model" <<<"$question"
prints "$answer" run "$model" - <<<"$question"
prints "$answer" run --threads 1 --temp=0 "$model" -- "$question"
prints "The capital of France" run "$model" "$question" --max-tokens 4
prints "The capital of " run "$model" "$question" --stop Paris --stop France
prints "$answer" run "$model" "$question" --kv-type f16
prints "$answer" run "$model" "$question" --template-args '{"unused": [1, 2]}'
prompt_of() { nibble run "$model" "$question" -m 1 --stats "$@" 2>&1 >/dev/null | sed -n 's/^prompt: *\([0-9]*\).*/\1/p'; }
# A system message of one token more is a prompt of one token more.
[ $(($(prompt_of --system "a a a a") + 1)) = "$(prompt_of --system "a a a a a")" ] || complain "--system does nothing"
[ "$(nibble run "$model" "$question" --logit-bias 504=-100 -m 12)" != "$answer" ] || complain "--logit-bias does nothing"
raw=$(nibble run "$model" "The capital of France is" --raw -m 3)
[[ $raw == *Paris* ]] || complain "--raw: $raw"

# The same seed gives the same text on any number of threads; statistics go to stderr.
sample() { nibble run "$model" "Tell me a story." --temp 1 -m 24 "$@"; }
[ "$(sample --seed 7 -t 1)" = "$(sample --seed 7 -t 2)" ] || complain "the same seed gives another text"
[ "$(sample --seed 7)" != "$(sample --seed 8)" ] || complain "the seed does nothing"
sample --stats --ignore-eos >"$work/out" 2>"$work/err"
for text in "^prompt: .* tokens/s" "^generation: .* 24 tokens, .*tokens/s" "^seed: *[0-9]" "^device: *cpu"; do
    grep -q "$text" "$work/err" || complain "--stats does not say \"$text\""
done

# A reader that leaves, and a full disk, are failures without noise or with one line.
nibble run "$model" "Count to one hundred." --ignore-eos 2>"$work/err" | head -c 1 >/dev/null
code=${PIPESTATUS[0]}
[ "$code" = 1 ] && [ ! -s "$work/err" ] || complain "closed stdout: exit code $code, $(cat "$work/err")"
nibble run "$model" "$question" >/dev/full 2>"$work/err"
[ $? = 1 ] && grep -q "^nibble: standard output: No space" "$work/err" || complain "full disk: $(cat "$work/err")"
nibble run "$model" "$question" -m 1 >&- 2>"$work/err"
[ $? = 1 ] || complain "no stdout at all: $(cat "$work/err")"

# Ctrl-C.
(trap - INT; exec "$NB_BIN" run "$model" "Count to one hundred." --ignore-eos >"$work/out" 2>"$work/err") &
pid=$!
for _ in $(seq 600); do [ -s "$work/out" ] && break || sleep 0.1; done
kill -INT $pid
wait $pid
code=$?
[ $code = 130 ] && [ -s "$work/out" ] && [ ! -s "$work/err" ] || complain "Ctrl-C: exit code $code, $(cat "$work/err")"

# The context.
long=$(printf 'word %.0s' $(seq 100))
fails 1 "the prompt has [0-9]+ tokens, more than the context of 64" run "$model" "$long" --ctx-size 64
nibble run "$model" "Count to one hundred." --ctx-size 48 >"$work/out" 2>"$work/err" || complain "a full context is no failure"
grep -q "the context of 48 tokens is full" "$work/err" || complain "full context: $(cat "$work/err")"
exit $status
