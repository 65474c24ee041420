# SPDX-License-Identifier: Apache-2.0
#
# nibble bench: what it prints, not how fast it is. Random models leave nothing behind, also when interrupted.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
export TMPDIR=$work/tmp
mkdir "$TMPDIR"

nibble bench "$tiny" -p 16 -g 4 -r 2 --json >"$work/out" || complain "bench fails"
for key in prompt_tokens_per_second generation_tokens_per_second weight_bytes_per_second read_bandwidth_bytes_per_second \
    bandwidth_share resident_bytes peak_resident_bytes load_seconds; do
    grep -qE "\"$key\":[[:space:]]*[0-9.e+-]+,?$" "$work/out" || complain "bench --json has no $key: $(cat "$work/out")"
done
nibble bench "$tiny" -p 16 -g 4 -r 1 >"$work/out" || complain "bench fails"
for text in "^pp16 .*tokens/s" "^tg4 .*tokens/s" "GB/s" "^memory .* MB resident" "^load "; do
    grep -q "$text" "$work/out" || complain "bench does not say \"$text\": $(cat "$work/out")"
done

# Every kind of weights can be made up.
for name in llama-q2-g32-bf16 qwen2-f16-yarn qwen2-q8-g128-f32 qwen3-mixed; do
    config=$NB_TEST_DATA/models/$name/config.json
    nibble bench --config "$config" -p 4 -g 2 -r 1 -t 1 >"$work/out" 2>"$work/err" ||
        complain "bench --config $config: $(cat "$work/err")"
done
ls "$TMPDIR" | grep . && complain "bench --config leaves files behind"
cat >"$work/large.json" <<'END'
{"model_type": "qwen3", "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
 "head_dim": 128, "intermediate_size": 6144, "vocab_size": 151936, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
 "tie_word_embeddings": true, "max_position_embeddings": 4096, "quantization": {"group_size": 64, "bits": 4}}
END
"$NB_BIN" bench --config "$work/large.json" >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 300); do [ -n "$(ls "$TMPDIR")" ] && break || sleep 0.02; done
kill -TERM $pid
wait $pid
[ $? = 130 ] || complain "interrupted bench: $(cat "$work/out" "$work/err")"
ls "$TMPDIR" | grep . && complain "an interrupted bench leaves files behind"
fails 1 'hidden_size' bench --config <(echo '{"model_type": "llama"}')

# Kernels.
nibble bench kernels --filter 'rmsnorm.*' >"$work/out" || complain "bench kernels fails"
grep -q "^rmsnorm.scalar " "$work/out" && ! grep -q "^matmul" "$work/out" || complain "bench kernels: $(cat "$work/out")"
nibble bench kernels --filter 'rmsnorm.scalar' --json | grep -q '"share_of_limit"' || complain "bench kernels --json"
fails 1 'no kernel of this machine' bench kernels --filter nothing
exit $status
