# SPDX-License-Identifier: Apache-2.0
#
# Files that are not what they should be: one line that names them, no crash, nothing half-written.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
model=$NB_TEST_MODEL

# bad COMMAND: a copy of the tiny model, spoiled by the command, in $work/bad.
bad() {
    rm -rf "$work/bad"
    cp -r "$tiny" "$work/bad"
    rm "$work/bad/golden.safetensors"
    (cd "$work/bad" && eval "$*")
}

fails 1 'no model "/nope": no such directory' inspect /nope
fails 1 'no model "org/name".*Hugging Face cache' inspect org/name
bad 'rm model.safetensors*'
fails 1 'bad.*safetensors' inspect "$work/bad"
bad 'truncate -s 5000 model.safetensors'
fails 1 'model.safetensors: tensor .* ends at byte' inspect "$work/bad"
bad 'truncate -s 4 model.safetensors'
fails 1 'model.safetensors' inspect "$work/bad"
bad 'printf "\377\377\377\377\377\377\377\177{}" >model.safetensors'
fails 1 'model.safetensors' inspect "$work/bad"
bad 'sed -i "s/\"llama\"/\"mamba9\"/" config.json'
fails 1 'unknown model_type "mamba9" \(known: .*llama.*qwen3' run "$work/bad" hello
bad 'sed -i "s/\"intermediate_size\": [0-9]*/\"intermediate_size\": 96/" config.json'
fails 1 'mlp.* has shape .*, expected' inspect "$work/bad"
bad 'sed -i "s/\"num_hidden_layers\": [0-9]*/\"num_hidden_layers\": 3/" config.json'
fails 1 'model.layers.2' inspect "$work/bad"
bad 'sed -i "s/\"num_hidden_layers\": [0-9]*/\"num_hidden_layers\": 99999999999/" config.json'
fails 1 'num_hidden_layers' inspect "$work/bad"
bad 'echo "{" >config.json'
fails 1 'config.json: not valid JSON at line' inspect "$work/bad"
bad 'rm config.json'
fails 1 'config.json' inspect "$work/bad"
bad 'rm config.json; mkdir config.json'
fails 1 'config.json' inspect "$work/bad"
fails 1 'tokenizer.json' run "$tiny" hello
bad 'echo "{\"model\": {\"vocab\": {\"a\": 0, \"b\": 5000}, \"merges\": []}}" >tokenizer.json'
fails 1 'token "b" of the tokenizer has id 5000, but config.json.s vocab_size is [0-9]' inspect "$work/bad"
bad 'echo "no rank" >x.tiktoken'
fails 1 'x.tiktoken: line 1 is not a token in base64' inspect "$work/bad"
fails 1 'no chat template' chat "$tiny"

# Options that name files or tokens.
fails 1 '/nope: cannot open' tokenize "$model" --text-file /nope
fails 1 "$work: cannot read: Is a directory" tokenize "$model" --text-file "$work"
echo '{"role"' >"$work/json"
fails 1 'json: not valid JSON at line 1' template "$model" --messages "$work/json"
echo '{}' >"$work/json"
fails 1 'json: not a JSON array of messages' template "$model" --messages "$work/json"
echo '[1]' >"$work/json"
fails 1 'json: element 0 is no JSON object' run "$model" hello --tools "$work/json"
fails 1 'template-args: not a JSON object' run "$model" hello --template-args '[]'
fails 1 'token 99999 is outside of the vocabulary' run "$model" hello --logit-bias 99999=1
fails 1 '"5" is not of the form ID=V' run "$model" hello --logit-bias 5
fails 1 'the prompt: byte 1 is not UTF-8' run "$model" "$(printf 'a\377')"
fails 1 '(the prompt is empty|no prompt)' run "$model" "" --raw
fails 1 '99999 is outside of the vocabulary' logits "$model" --tokens 1,99999 --out "$work/x"
fails 1 'no token id' logits "$model" --tokens 1,,2 --out "$work/x"
fails 1 'nowhere' logits "$model" --tokens 1,2 --out "$work/nowhere/x"
fails 1 'not a regular file' logits "$model" --tokens 1,2 --out /dev/null
fails 1 '0 tokens, expected at least 2' perplexity "$model" /dev/null
[ -e "$work/x" ] && complain "a failed command wrote a file"

# Imports leave nothing behind.
echo "GGUF but not really" >"$work/file.gguf"
fails 1 'file.gguf' import "$work/file.gguf" "$work/imported"
fails 1 'cannot open' import "$work/none.gguf" "$work/imported"
fails 1 'is not empty' import "$work/file.gguf" "$work"
fails 1 '"a/b" is no short name' import "$work/file.gguf" --name a/b
ls -d "$work"/imported* "$NIBBLE_HOME"/models/* 2>/dev/null && complain "a failed import left something"

# No memory for the cache (sanitizers need more address space than this leaves).
if [ -z "$NB_SANITIZED" ]; then
    (
        ulimit -v 400000
        fails 1 'out of memory' run "$model" hello
        exit $status
    ) || status=1
fi
exit $status
