# SPDX-License-Identifier: Apache-2.0
#
# `nibble quantize` and `nibble dequantize`: names, bytes on disk and what a person sees; a run that is killed and taken up
# again; the report. That the bytes are MLX's is tests/unit/files/test_convert.c's business.
. "$(dirname "$0")/common.sh"
quantized=$NB_TEST_DATA/models/llama-q4-g32-f16-sliding
model=$NB_TEST_MODEL

# There and back: floats, then other bits; the family still runs it.
prints "$work/floats" dequantize "$quantized" "$work/floats"
grep -q quantization "$work/floats/config.json" && complain "dequantize leaves the quantization in config.json"
nibble inspect "$work/floats" | grep -q '^quantization *none' || complain "dequantize: $(nibble inspect "$work/floats")"
prints "$work/three" quantize "$work/floats" "$work/three" --bits 3 --group-size 32 --override '*.layers.0.*=8:32' \
    --override '*.embed_tokens=none'
nibble inspect "$work/three" | grep -q 'affine 3-bit, groups of 32, other layers differ, some layers unquantized' ||
    complain "quantize: $(nibble inspect "$work/three" | grep quantization)"
for mode in mxfp4 mxfp8 nvfp4; do
    prints "$work/$mode" quantize "$work/floats" "$work/$mode" --mode $mode
    nibble inspect "$work/$mode" | grep -q "^quantization *$mode" || complain "quantize --mode $mode"
    prints "" logits "$work/$mode" --tokens 1,2,3 --out "$work/$mode.logits"
done
cmp -s "$work/mxfp4.logits" "$work/nvfp4.logits" && complain "mxfp4 and nvfp4 give the same logits"
[ -f "$work/three/model.safetensors.index.json" ] || complain "quantize writes no index"
[ -e "$work/three/nibble-journal.json" ] && complain "quantize leaves its journal"

# Nothing that is there is touched.
fails 1 "exists and is not empty" quantize "$work/floats" "$work/three"
mkdir "$work/mine.partial" && echo precious >"$work/mine.partial/file"
fails 1 "is in the way" quantize "$work/floats" "$work/mine"
[ "$(cat "$work/mine.partial/file")" = precious ] || complain "quantize touched a directory of the user's"
fails 1 "is not quantized" dequantize "$work/floats" "$work/none"
fails 1 "7 bits" quantize "$work/floats" "$work/none" --bits 7
fails 1 "mxfp4 has 4 bits" quantize "$work/floats" "$work/none" --mode mxfp4 --bits 8
fails 1 "affine only" quantize "$work/floats" "$work/none" --mode nvfp4 --recipe mixed_2_6
fails 1 'override "x"' quantize "$work/floats" "$work/none" --override x
fails 1 'override "x"' quantize "$work/three" "$work/none" --override x # with nothing left to quantize, too
fails 2 "mode" quantize "$work/floats" "$work/none" --mode q4_k
fails 2 "report" quantize "$work/floats" "$work/none" --text /dev/null
cp -r "$work/floats" "$work/unknown" && sed -i 's/"llama"/"marvin"/' "$work/unknown/config.json"
fails 1 'unknown model_type "marvin"' quantize "$work/unknown" "$work/none"
[ -e "$work/none" ] && complain "a refused command leaves a directory"

# The rest is about a model of 135 million weights, which takes long under a sanitizer or an emulator.
[ -n "${NB_SANITIZED-}$NB_EMULATOR" ] && exit $status

# Killed, and taken up again: the same files as in one go. The real model has its tokenizer copied.
prints "$work/real" dequantize "$model" "$work/real"
cmp -s "$model/tokenizer.json" "$work/real/tokenizer.json" || complain "dequantize does not copy the tokenizer"
prints "$work/whole" quantize "$work/real" "$work/whole" --bits 6
# shellcheck disable=SC2086
$NB_EMULATOR "$NB_BIN" quantize "$work/real" "$work/pieces" --bits 6 --threads 1 >/dev/null 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && ! [ -s "$work/pieces.partial/model.safetensors.part" ]; do sleep 0.01; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e "$work/pieces/config.json" ] || [ -d "$work/pieces.partial" ] || complain "a killed run left nothing"
[ -e "$work/pieces/config.json" ] || prints "$work/pieces" quantize "$work/real" "$work/pieces" --bits 6
for file in config.json model.safetensors model.safetensors.index.json tokenizer.json; do
    cmp "$work/whole/$file" "$work/pieces/$file" || complain "after an interruption $file differs"
done

# The report: every tensor, all of them, and a text's perplexity, which eight bits hardly change.
head -c 2500 "$NB_SOURCE_DIR/README.md" >"$work/text"
nibble quantize "$work/real" "$work/eight" --bits 8 --report --text "$work/text" >"$work/out" 2>"$work/err" ||
    complain "quantize --report: $(cat "$work/err")"
[ "$(grep -c 'affine 8-bit g64 .*rms 0\.0[0-9]* ' "$work/out")" -gt 200 ] || complain "report: $(head -5 "$work/out")"
grep -q '^all .*rms 0\.0' "$work/out" || complain "report has no sum"
before=$(sed -n 's/^before: Perplexity: \([0-9]*\).*/\1/p' "$work/out")
after=$(sed -n 's/^after: Perplexity: \([0-9]*\).*/\1/p' "$work/out")
[ -n "$before" ] && [ -n "$after" ] && [ $((after - before)) -le 1 ] && [ $((before - after)) -le 1 ] ||
    complain "report: perplexity $before, then $after"
exit $status
