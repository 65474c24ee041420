# SPDX-License-Identifier: Apache-2.0
#
# nibble chat with lines from a pipe: turns know what came before, and only what is new is computed. (The terminal's side
# is in test_chat_terminal.c.)
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
model=$NB_TEST_MODEL

nibble chat "$model" --stats >"$work/out" 2>"$work/err" <<'END'
What is the capital of France?

And of Italy? One word.
/reset
What is the capital of France?
END
[ $? = 0 ] || complain "chat: $(cat "$work/err")"
printf '%s\n' "The capital of France is Paris." "The capital of Italy is Rome." "The capital of France is Paris." >"$work/expected"
cmp "$work/expected" "$work/out" || complain "chat: $(cat "$work/out")"
mapfile -t kept < <(sed -n 's/^kept: *\([0-9]*\) tokens/\1/p' "$work/err")
mapfile -t prompt < <(sed -n 's/^prompt: *\([0-9]*\) tokens.*/\1/p' "$work/err")
[ "${kept[0]}" = 0 ] && [ "${kept[1]}" -gt "${prompt[0]}" ] || complain "the second turn keeps ${kept[1]} tokens"
[ "${prompt[1]}" -lt "${prompt[0]}" ] || complain "the second turn computes ${prompt[1]} tokens"

# Commands, several lines, a slash; the conversation is a file for `nibble template`.
nibble chat "$model" -m 1 >"$work/out" 2>"$work/err" <<END || complain "chat commands: $(cat "$work/err")"
/system Be "brief".
/stst
/help
"""Two
lines"""
//x
/save $work/messages
/exit
not read
END
for text in 'unknown command /stst; did you mean /stats' '^  /reset' 'is in .*/messages'; do
    grep -q "$text" "$work/err" || complain "chat does not say \"$text\": $(cat "$work/err")"
done
nibble template "$model" --messages "$work/messages" >"$work/text" || complain "the saved conversation is not readable"
for text in '<|im_start|>system' 'Be "brief"\.' '<|im_start|>user' '^Two$' '^lines<|im_end|>' '^/x<|im_end|>'; do
    grep -q "$text" "$work/text" ||
        complain "the saved conversation lacks \"$text\": $(cat "$work/text")"
done
[ "$(wc -l <"$work/out")" = 2 ] || complain "chat answered: $(cat "$work/out")"

# What a pipe cannot go on from ends it.
printf 'a\377\n' | nibble chat "$model" >"$work/out" 2>"$work/err"
[ "${PIPESTATUS[1]}" = 1 ] && grep -q "not UTF-8" "$work/err" || complain "bad UTF-8: $(cat "$work/err")"
yes word | head -100 | tr '\n' ' ' | nibble chat "$model" --ctx-size 64 >"$work/out" 2>"$work/err"
[ "${PIPESTATUS[3]}" = 1 ] && grep -q "more than the context of 64" "$work/err" || complain "long message: $(cat "$work/err")"
exit $status
