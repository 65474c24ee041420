# SPDX-License-Identifier: Apache-2.0
#
# Reasoning, tool calls and the maker's sampling values on their way to a person. The real model gets a template of
# examples that it can only repeat, and so calls a tool.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
model=$work/model
mkdir "$model"
for file in config.json model.safetensors tokenizer.json; do ln -s "$NB_TEST_MODEL/$file" "$model"; done
cat >"$model/chat_template.jinja" <<'END'
{#- tool_call.name -#}
{%- for i in range(2) %}Q: {{ messages[-1].content }}
A: <think>
I look at the clock.
</think>

One moment.
<tool_call>
{"name": "now", "arguments": {"zone": "UTC", "digits": 2}}
</tool_call>

{% endfor -%}
Q: {{ messages[-1].content }}
A:{{ '' if enable_thinking is defined and not enable_thinking else ' <think>' }}
END
echo '[{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]' >"$work/tools.json"
ask() { nibble run "$model" "What time is it?" --stop Q: -m 80 "$@" 2>"$work/err"; }
line='{"name": "now", "arguments": {"zone": "UTC", "digits": 2}, "id": "'

nibble inspect "$model" | grep -q "^text .*, reasoning, tool calls as json_tools$" || complain "inspect: no tool format"
[[ $(ask --tools "$work/tools.json") == $'One moment.\n'"$line"*'"}' ]] || complain "call: $(ask --tools "$work/tools.json")"
[[ $(ask --tools "$work/tools.json" --show-reasoning) == $'I look at the clock.\n\nOne moment.\n'"$line"* ]] ||
    complain "--show-reasoning: $(ask --tools "$work/tools.json" --show-reasoning)"
[[ $(ask) == $'One moment.\n<tool_call>\n{'* ]] || complain "without tools a call is text: $(ask)"
[[ $(ask --no-think --show-reasoning) == " I look at the clock."* ]] || complain "--no-think: $(ask --no-think)"
[[ $(ask --no-think --template-args '{"enable_thinking": true}') == "One moment."* ]] || complain "--template-args wins"
ask -m 3 >"$work/out"
grep -q "still thinking when the answer ended" "$work/err" || complain "only thoughts: $(cat "$work/out" "$work/err")"
fails 2 "exclude each other" run "$model" x --show-reasoning --hide-reasoning
fails 1 "exclude each other" run "$model" x --think --no-think
# On a terminal what is thought has another colour.
if command -v script >/dev/null; then
    TERM=xterm NO_COLOR='' script -qec "$NB_BIN run $model 'What time is it?' --stop Q: -m 80" /dev/null >"$work/out" </dev/null
    grep -q $'^\033\[2mI look' "$work/out" && grep -q $'\033\[0m' "$work/out" || complain "terminal: $(cat -v "$work/out")"
fi

# In a chat a call gets its result, and the messages are OpenAI's.
nibble chat "$model" --stop Q: -m 80 --tools "$work/tools.json" >"$work/out" 2>"$work/err" <<END || complain "chat fails"
/tool too early
What time is it?
/tool 12:00
/think off
/save $work/messages
END
[ "$(grep -c "^{\"name\": \"now\"" "$work/out")" = 2 ] || complain "chat: $(cat "$work/out")"
grep -q "no tool call waits" "$work/err" || complain "/tool: $(cat "$work/err")"
for text in '"reasoning_content":.*"I look at the clock' '"tool_calls":' '"role":.*"tool"' '"content":.*"12:00"' '"zone":.*"UTC"'; do
    grep -q "$text" "$work/messages" || complain "the saved conversation lacks $text: $(cat "$work/messages")"
done
id=$(grep -o '"id": *[^,]*' "$work/messages" | head -1 | grep -o '[0-9a-z]*"$')
grep -q "\"tool_call_id\":.*$id" "$work/messages" || complain "the result lacks its call's id"

# generation_config.json: shown, used, overridden, refused.
values() {
    echo "$1" >"$model/generation_config.json"
    nibble inspect "$model" | sed -n 's/^sampling *//p'
}
[ "$(values '{"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0}')" = "temperature 0.6, top_p 0.95, top_k 20" ] ||
    complain "inspect: $(nibble inspect "$model")"
nibble inspect "$model" --json | tr -d ' \n\t' | grep -q '"sampling":{"temperature":0.6,"top_p":0.95,"top_k":20}' || complain "inspect --json"
ask --stats >/dev/null
grep -q "^seed:" "$work/err" || complain "the model's temperature is not used: $(cat "$work/err")"
[ "$(ask --seed 1 -m 60)" != "$(ask --seed 2 -m 60 --temp 30 --top-p 0 --top-k 0)" ] || complain "flags do not win"
ask --temp 0 --stats >/dev/null
grep -q "^seed:" "$work/err" && complain "--temp 0 does not win"
[ "$(values '{"do_sample": false, "temperature": 0.6}')" = "temperature 0 (the most likely token)" ] || complain "do_sample false"
[ "$(values '{"do_sample": true, "repetition_penalty": 1.0}')" = "temperature 1" ] || complain "do_sample true"
[ "$(values '{"temperature": 0.25, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.05}')" = "temperature 0.25, repetition_penalty 1.05" ] ||
    complain "values without do_sample"
[ "$(values '{}')" = "temperature 0 (the most likely token)" ] || complain "no values"
echo '{"temperature": -1}' >"$model/generation_config.json"
fails 1 'generation_config.json: field "temperature" is -1, expected 0 to 100' run "$model" x
echo '{"top_k": 2.5}' >"$model/generation_config.json"
fails 1 'generation_config.json: field "top_k" is 2.5' inspect "$model"
exit $status
