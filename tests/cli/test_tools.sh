# SPDX-License-Identifier: Apache-2.0
#
# The subcommands that show what a model is and does to text: list, import, inspect, tokenize, template, logits and
# perplexity, with the real model.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
model=$NB_TEST_MODEL

# The store: a link makes a name.
nibble list 2>"$work/err" | grep . && complain "an empty store lists models"
grep -q "holds no models" "$work/err" || complain "nibble list does not say that the store is empty"
mkdir -p "$NIBBLE_HOME/models"
ln -s "$(realpath "$model")" "$NIBBLE_HOME/models/smol"
prints smol list --names
nibble list | grep -q "^smol *llama *0.1. GB$" || complain "nibble list: $(nibble list)"
nibble inspect smol | grep -q "^family *llama$" || complain "a model of the store does not open by its name"

# Inspect.
nibble inspect "$model" --plan --tensors --kernels >"$work/out" || complain "nibble inspect fails"
for text in "bits per weight" "^memory needed" "model.layers.29.mlp.down_proj.scales" "matmul .*q_proj" "^kernels on cpu"; do
    grep -q "$text" "$work/out" || complain "nibble inspect does not say \"$text\""
done
grep -q "(none)" "$work/out" && complain "a step has no kernel: $(grep '(none)' "$work/out")"
nibble inspect "$model" --json | tr -d '\t' | grep -q '^"n_layers":30,' || complain "nibble inspect --json"

# Tokenize: the file is taken as it is.
printf 'Hello world\n' >"$work/text"
prints "[19556, 905, 198]" tokenize "$model" --text-file "$work/text" --json
prints "19556 905 198" tokenize "$model" --text-file - --no-special <"$work/text"
: >"$work/empty"
prints "[]" tokenize "$model" --text-file "$work/empty" --json

# Template: not a byte more than the text.
cat >"$work/messages" <<'END'
[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Zürich?"}]
END
printf '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nZürich?<|im_end|>\n' >"$work/expected"
nibble template "$model" --messages "$work/messages" --no-generation-prompt >"$work/out" || complain "template fails"
cmp "$work/expected" "$work/out" || complain "template: $(cat "$work/out")"
printf '<|im_start|>assistant\n' >>"$work/expected"
nibble template "$model" --messages - <"$work/messages" >"$work/out" || complain "template fails on stdin"
cmp "$work/expected" "$work/out" || complain "template with generation prompt: $(cat "$work/out")"
mkdir "$work/raises"
ln -s "$model"/* "$work/raises"
rm "$work/raises/tokenizer_config.json"
cp "$model/tokenizer_config.json" "$work/raises"
sed -i 's/"chat_template": *"/&{{ raise_exception("not like this") }}/' "$work/raises/tokenizer_config.json"
if grep -q "not like this" "$work/raises/tokenizer_config.json"; then
    sed -i 's/raise_exception("not like this")/raise_exception('"'not like this'"')/' "$work/raises/tokenizer_config.json"
fi
rm -f "$work/raises/chat_template.jinja"
fails 1 "not like this" template "$work/raises" --messages "$work/messages"

# Logits: a safetensors file with one tensor of the right shape.
prints "" logits "$model" --tokens 1,5,9 --out "$work/l.safetensors"
head -c 200 "$work/l.safetensors" | grep -qa '"logits":{"dtype":"F32","shape":\[3,49152\]' || complain "logits: wrong header"
size=$(stat -c %s "$work/l.safetensors")
[ "$size" -gt $((3 * 49152 * 4)) ] && [ "$size" -lt $((3 * 49152 * 4 + 4096)) ] || complain "logits: $size bytes"
prints "" logits "$model" --tokens "[1, 5, 9]" --out "$work/m.safetensors" --threads 1
cmp "$work/l.safetensors" "$work/m.safetensors" || complain "logits depend on the number of threads"

# Perplexity: of English less than of the same letters in disorder.
head -c 3000 "$NB_SOURCE_DIR/README.md" >"$work/english"
tr 'a-z' 'n-za-m' <"$work/english" >"$work/rot13"
ppl() { nibble perplexity "$model" "$1" --sequence-length 256 --num-samples 1 --json | sed 's/.*"perplexity": \([0-9]*\).*/\1/'; }
english=$(ppl "$work/english")
rot13=$(ppl "$work/rot13")
[ "$english" -gt 2 ] && [ "$english" -lt 100 ] && [ "$rot13" -gt $((2 * english)) ] ||
    complain "perplexity: $english of English, $rot13 of rot13"
nibble perplexity "$model" "$work/english" --sequence-length 64 --num-samples 2 >"$work/out"
grep -qE '^Perplexity: [0-9.]+ ± [0-9.]+ \(126 tokens\)$' "$work/out" || complain "perplexity: $(cat "$work/out")"
exit $status
