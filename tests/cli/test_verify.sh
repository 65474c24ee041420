# SPDX-License-Identifier: Apache-2.0
#
# nibble verify and --verify: exit codes, what the reports hold, what is remembered, and who is left alone. That faults
# are found is the concern of tests/verify.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
quick="verify $tiny --quick"
verdicts=$NIBBLE_HOME/verdicts

# succeeds ARGUMENTS: nibble ends with 0 and says nothing on stderr.
succeeds() {
    nibble "$@" >"$work/out" 2>"$work/err" || complain "nibble $*: failed: $(cat "$work/err")"
    [ -s "$work/err" ] && complain "nibble $*: $(cat "$work/err")"
}

# run_tiny OPTIONS: a model is loaded and runs.
run_tiny() {
    nibble logits "$tiny" --tokens 1,2,3 --out "$work/logits" "$@" >"$work/out" 2>"$work/err"
}

# what PYTHON: of the report $work/report.json as r.
what() {
    python3 -c "import json, sys; r = json.load(open(sys.argv[1])); print(*[$1])" "$work/report.json"
}

is() {
    [ "$2" = "$3" ] || complain "$1 is \"$2\", expected \"$3\""
}

# ---- What cannot run ---------------------------------------------------------------------------------------------
fails 2 'no model "no-such"' verify no-such
fails 2 'no backend "hop"' verify "$tiny" --backend hop
fails 2 'no device cpu:7' verify "$tiny" --backend cpu --device 7
fails 2 'no device cpu:7' verify "$tiny" --device cpu:7
fails 2 '"7": not one of auto, cpu, cuda' verify "$tiny" --device 7
fails 2 'device cpu is not of --backend cuda' verify --backend cuda --device cpu
fails 2 '--level: "kernel" is not one of' verify "$tiny" --level kernel
fails 2 '--level plan needs a MODEL' verify --level plan
fails 2 'exclude each other' verify --list --forget
fails 2 'without a MODEL' verify --list "$tiny"
fails 2 '--at-load needs a MODEL' verify --at-load
fails 2 '--at-load goes without' verify "$tiny" --at-load --level plan
fails 2 'are for --at-load' verify "$tiny" --batch 4
fails 2 'no model "no-such"' verify no-such --at-load
fails 2 'unexpected argument' verify "$tiny" "$tiny"
fails 2 "$work/none/report.json: cannot be written" verify "$tiny" --json "$work/none/report.json"
fails 2 'not a regular file' verify "$tiny" --html /dev/null
NIBBLE_KERNELS=-no.such.kernel fails 2 'no.such.kernel' verify "$tiny" --quick
fails 2 '--verify: "fast" is not one of quick\|full\|off\|watch' run "$tiny" x --verify fast
NIBBLE_VERIFY=fast fails 1 'NIBBLE_VERIFY: "fast" is not one of' logits "$tiny" --tokens 1 --out "$work/logits"
[ -e "$verdicts" ] && complain "what could not run has left verdicts"

# ---- Reports -----------------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
succeeds $quick --json "$work/report.json" --html "$work/report.html"
tail -n 1 "$work/out" | grep -qE '^All [0-9]+ kernels that this model uses agree with their definitions on ' ||
    complain "the last line of verify: $(tail -n 1 "$work/out")"
awk 'length > 100' "$work/out" | grep . && complain "the report is wider than 100 columns"
is verdict "$(what 'r["verdict"]')" "$(tail -n 1 "$work/out")"
is ok "$(what 'r["ok"], r["quick"], r["seed"], r["impossible"], r["findings"]')" "True True 0 None []"
is levels "$(what '[n for n, l in r["levels"].items() if l["ran"] and l["cases"] > 0]')" \
    "['kernels', 'paths', 'plan', 'answer']"
is device "$(what 'r["device"].pop("index"), r["device"]["backend"], len(r["device"]["code_hash"])')" "0 cpu 16"
is "what is missing of the device" "$(what '[k for k, v in r["device"].items() if v in (None, "")]')" "[]"
is model "$(what 'r["model"], r["model_type"]')" "$tiny llama"
is version "$(what 'r["nibble"]')" "$(nibble --version | cut -d' ' -f2)"
is "kernels that are used but were not checked" \
    "$(what '[k["name"] for k in r["kernels"] if k["used"] and not k["cases"]["kernels"]]')" "[]"
is "all kernels" "$(what 'set(k["verdict"] for k in r["kernels"] if k["used"])')" "{'ok'}"
is "too large errors" "$(what '[k["name"] for k in r["kernels"] if max(k["worst"].values()) > 1]')" "[]"
is answers "$(what 'len(r["answers"]), r["answers"][0]["ok"], r["answers"][0]["n_tokens"] > 0')" "1 True True"
grep -q '<html' "$work/report.html" && grep -q 'agree with their definitions' "$work/report.html" ||
    complain "the page: $(head -c 200 "$work/report.html")"
grep -qE '(src|href)="?http|url\([^#]' "$work/report.html" && complain "the page links to something"

# On stdout, and nothing else there.
# shellcheck disable=SC2086
succeeds $quick --level plan --seed 5 --json -
cp "$work/out" "$work/report.json"
is "one level" "$(what '[n for n, l in r["levels"].items() if l["ran"]], r["seed"]')" "['plan'] 5"

# Another seed makes other numbers; the same one the same.
worst() {
    # shellcheck disable=SC2086
    nibble $quick --level kernels --seed "$1" --json "$work/report.json" >/dev/null
    what '[k["worst"]["kernels"] for k in r["kernels"]]'
}
one=$(worst 1)
is "the same seed" "$(worst 1)" "$one"
[ "$(worst 2)" != "$one" ] || complain "--seed does nothing"

# What the user has set aside is shown as that, and is not used.
export NIBBLE_KERNELS='-rmsnorm.*,+rmsnorm.scalar'
# shellcheck disable=SC2086
succeeds $quick --level kernels --json "$work/report.json"
is "norms in use" "$(what '[k["name"] for k in r["kernels"] if k["used"] and k["operation"] == "rmsnorm"]')" \
    "['rmsnorm.scalar']"
is "norms in use that are set aside" \
    "$(what '[k["name"] for k in r["kernels"] if k["operation"] == "rmsnorm" and k["aside"] and k["used"]]')" "[]"
is "norms that are not set aside" \
    "$(what '[k["name"] for k in r["kernels"] if k["operation"] == "rmsnorm" and not k["aside"]]')" "['rmsnorm.scalar']"
unset NIBBLE_KERNELS

# The whole registry, without a MODEL.
NIBBLE_CPU=scalar succeeds verify --quick --seed 3 --json "$work/report.json"
tail -n 1 "$work/out" | grep -qE '^All [0-9]+ kernels of .* agree with their definitions.$' ||
    complain "the whole registry: $(tail -n 1 "$work/out")"
is "kernels of the registry" "$(what 'set(k["verdict"] for k in r["kernels"]), r["model"]')" "{'ok'} None"

# ---- What is remembered ------------------------------------------------------------------------------------------
# The verdicts of NIBBLE_CPU=scalar are of another device.
prints $'No kernel is set aside.\n1 verdict is about other devices, drivers or builds of nibble, not shown.' verify --list
n=$(find "$verdicts" -name '*.json' | wc -l)
[ "$n" -ge 2 ] || complain "there are $n verdicts"
prints "$n verdicts forgotten." verify --forget
prints "0 verdicts forgotten." verify --forget

# checks: whether loading the model takes a check.
checks() {
    NIBBLE_LOG=info run_tiny "$@" || complain "loading fails: $(cat "$work/err")"
    grep -q "info: verified [1-9][0-9]* kernels in" "$work/err"
}
# shellcheck disable=SC2086
succeeds $quick --level answer
checks || complain "an answer that is right stands for the check at load"
checks && complain "the check is not remembered"
checks --kv-type f16 || complain "another type of the cache is not checked"
NIBBLE_CPU=scalar checks || complain "other kernels are not checked"
NIBBLE_KERNELS='-rmsnorm.avx*' checks || complain "what takes a kernel's place is not checked"
for file in "$verdicts"/*.json; do echo '{"nibble_verdict": 1, "aside": [[[' >"$file"; done
checks || complain "a broken verdict is believed"
checks && complain "a broken verdict is not written anew"
for file in "$verdicts"/*.json; do head -c 100 "$file" >"$file.new" && mv "$file.new" "$file"; done
checks || complain "half a verdict is believed"
sed -i 's/"driver":\t"/&another /' "$verdicts"/*.json
checks || complain "the verdict of another driver is believed"
checks && complain "the verdict of another driver is not written anew"
succeeds verify --list

# The check of a load alone: the load needs none then, for the same batches.
nibble verify --forget >/dev/null
prints 'No kernel that is used is known to be wrong.' verify "$tiny" --at-load --quick
checks && complain "verify --at-load does not spare the check"
prints 'No kernel that is used is known to be wrong.' verify "$tiny" --at-load --quick --batch 8 --kv-type bf16
checks --kv-type bf16 || complain "other batches are not checked"

# A kernel that is remembered to be wrong is not used, and that is said; --list tells of it; --forget trusts it again.
nibble verify --forget >/dev/null
run_tiny
wrong=$(nibble inspect "$tiny" --kernels | grep -oE 'rmsnorm\.[a-z0-9]+' | head -n 1)
for file in "$verdicts"/*.json; do
    python3 - "$file" "$wrong" <<'END'
import json, sys
v = json.load(open(sys.argv[1]))
v["aside"] = [{"kernel": sys.argv[2], "kind": "wrong value", "what": "as a test has it", "where": "here",
               "instead": "rmsnorm.scalar", "slowdown": 2},
              {"kernel": "no.such.kernel", "kind": "no such kind", "what": "", "where": "", "instead": "", "slowdown": "x"}]
json.dump(v, open(sys.argv[1], "w"))
END
done
run_tiny || complain "with a kernel set aside: $(cat "$work/err")"
grep -q "not used: .*$wrong" "$work/err" || complain "a kernel that is set aside: $(cat "$work/err")"
nibble verify --list >"$work/out"
for text in "^$wrong" "as a test has it" "rmsnorm.scalar, 2.0 times slower"; do
    grep -q -- "$text" "$work/out" || complain "--list does not say \"$text\": $(cat "$work/out")"
done
nibble verify --forget >/dev/null
run_tiny
[ -s "$work/err" ] && complain "after --forget: $(cat "$work/err")"

# ---- How much ----------------------------------------------------------------------------------------------------
run_tiny --verify=off || complain "--verify=off: $(cat "$work/err")"
grep -qi "not checked" "$work/err" || complain "--verify=off is silent"
NIBBLE_VERIFY=off run_tiny
grep -qi "not checked" "$work/err" || complain "NIBBLE_VERIFY=off is silent: $(cat "$work/err")"
NIBBLE_VERIFY=off run_tiny --verify=quick
[ -s "$work/err" ] && complain "--verify does not win over NIBBLE_VERIFY: $(cat "$work/err")"
NIBBLE_VERIFY=quick run_tiny --verify off
grep -qi "not checked" "$work/err" || complain "--verify=off does not win over NIBBLE_VERIFY"
nibble verify --forget >/dev/null
NIBBLE_VERIFY='' checks || complain "an empty NIBBLE_VERIFY is not the default"
run_tiny --verify watch && [ ! -s "$work/err" ] || complain "--verify=watch: $(cat "$work/err")"
NIBBLE_VERIFY=watch run_tiny && [ ! -s "$work/err" ] || complain "NIBBLE_VERIFY=watch: $(cat "$work/err")"
if [ -z "$NB_SANITIZED$NB_EMULATOR" ]; then
    checks --verify full || complain "the quick check is enough for --verify=full"
    checks --verify full && complain "the full check is not remembered"
fi
export MLX_ROCM_QMM_DEQUANT_GEMM=0
NIBBLE_LOG=info run_tiny
grep -q "info: MLX_ROCM_QMM_DEQUANT_GEMM=0 is for GPUs" "$work/err" || complain "the GEMM's workaround: $(cat "$work/err")"
run_tiny && [ ! -s "$work/err" ] || complain "the GEMM's workaround is not quiet: $(cat "$work/err")"
unset MLX_ROCM_QMM_DEQUANT_GEMM

# ---- Others ------------------------------------------------------------------------------------------------------
# Two at once in a fresh home: both run, and one verdict is left.
nibble verify --forget >/dev/null
for i in 1 2 3 4; do
    "$NB_BIN" logits "$tiny" --tokens 1,2,3 --out "$work/logits$i" >"$work/out$i" 2>&1 &
done
for job in $(jobs -p); do wait "$job" || complain "several at once: $(cat "$work"/out?)"; done
cat "$work"/out? | grep . && complain "several at once are not silent"
is "what is left of several at once" "$(find "$NIBBLE_HOME/verdicts" -type f | wc -l)" 1
is "what is left of several at once" "$(find "$NIBBLE_HOME/verdicts" -name '*.json' | wc -l)" 1

# A home that cannot be written (a file is in its place) is a warning.
echo x >"$work/file"
NIBBLE_HOME=$work/file run_tiny || complain "no home: $(cat "$work/err")"
grep -q "warning: .* cannot be remembered: .*$work/file" "$work/err" || complain "no home: $(cat "$work/err")"

# Ctrl-C while it verifies: no child goes on, no report is written, the verdict is not either.
nibble verify --forget >/dev/null
(trap - INT; exec "$NB_BIN" verify "$tiny" --json "$work/cut.json" >"$work/out" 2>"$work/err") &
pid=$!
child=
for _ in $(seq 600); do
    child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
    [ -n "$child" ] && break || sleep 0.1
done
[ -n "$child" ] || complain "verify has no child process"
sleep 0.3
kill -INT $pid
wait $pid
is "the exit code after Ctrl-C" $? 130
for _ in $(seq 20); do
    # shellcheck disable=SC2086
    kill -0 $child 2>/dev/null || break
    sleep 0.1
done
# shellcheck disable=SC2086
kill -0 $child 2>/dev/null && complain "after Ctrl-C a child goes on"
[ -e "$work/cut.json" ] && complain "after Ctrl-C there is a report"
find "$verdicts" -type f | grep . && complain "after Ctrl-C there is a verdict"
exit $status
