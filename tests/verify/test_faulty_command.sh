# SPDX-License-Identifier: Apache-2.0
#
# The proof that verification works: a command whose kernels have one fault (tests/support/faults) is run for each
# fault of the list. `nibble verify` finds it at the level that the list names, and says of the right kernel the right
# thing; the model still answers through the kernels that are left, and stderr tells which one was set aside. The bug
# report's fault does make garbage where nothing is checked. Arguments are names of faults to try instead of all.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
tests=$(dirname "$NB_BIN")/tests
question="What is 2+2? Reply with just the number."

# Sanitizers make it slow: some of each kind.
[ $# -gt 0 ] || [ -z "$NB_SANITIZED" ] || set -- half-loads writes-past-end uint8-tokens crash

# A hang that is not found must not hang the test.
faulty() {
    timeout -k 5 300 "$tests/nibble-faulty" "$@"
}

model_path() {
    [ "$1" = demo ] && echo "$NB_TEST_MODEL" || echo "$NB_SOURCE_DIR/models/tiny/$1"
}

answer_of() {
    [ "$1" = demo ] && echo "2 + 2 = 4" || echo 4
}

# has LIST ITEM: whether ITEM is one of LIST, which commas separate.
has() {
    [[ ",$1," == *",$2,"* ]]
}

# The findings of a report: level, kind and kernel, a line each.
findings() {
    awk -F'"' '$2 == "kind" { kind = $4 } $2 == "level" { level = $4 }
               $2 == "kernel" && kind { print level "\t" kind "\t" $4; kind = "" }' "$1"
}

# Each kernel that is named has the fault; one of them is named for the right reason.
judge() {
    local name=$1 level=$2 kinds=$3 rows=$4 right=no found_level kind kernel
    while IFS=$'\t' read -r found_level kind kernel; do
        has "$rows" "$kernel" || complain "$name: verify names $kernel, which has no fault"
        [ "$found_level" = "$level" ] && has "$kinds" "$kind" && right=yes
    done < <(findings "$work/$name.json")
    [ $right = yes ] || complain "$name: not found at level $level as $kinds: $(findings "$work/$name.json" | sort -u)"
}

finds() {
    local name=$1 level=$2 depth=$3 kinds=$4 model=$5 rows=$6 code options=--quick
    [ "$depth" = full ] && options=
    NIBBLE_HOME=$work/$name faulty verify "$(model_path "$model")" --level "$level" $options --seed 1 \
        --json "$work/$name.json" >"$work/out" 2>"$work/err"
    code=$?
    [ $code = 1 ] || complain "$name: verify ends with $code, expected 1: $(tail -n 3 "$work/out" "$work/err")"
    judge "$name" "$level" "$kinds" "$rows"
}

# Whether some kernel of LIST is named in FILE.
names_one() {
    local kernel
    for kernel in ${1//,/ }; do grep -qE "kernel $kernel is set aside|not used: (.*, )?${kernel}[, ]" "$2" && return; done
    return 1
}

# The model answers, and it is told which kernel does not: in a home that knows nothing yet if the check at load finds
# it, else in the one where `nibble verify` has.
answers() {
    local name=$1 depth=$2 model=$3 rows=$4 got home=$work/$1
    [ "$depth" = load ] && home=$work/$name.run
    got=$(NIBBLE_HOME=$home faulty run "$(model_path "$model")" "$question" --temp 0 2>"$work/err")
    [ "$got" = "$(answer_of "$model")" ] || complain "$name: $model answers \"$got\": $(head -c 400 "$work/err")"
    names_one "$rows" "$work/err" || complain "$name: run does not say which kernel it set aside: $(cat "$work/err")"
}

# The bug report's case: without verification garbage, and a word that nothing was checked.
does_harm() {
    local got
    got=$(NIBBLE_HOME=$work/off faulty run "$NB_TEST_MODEL" "$question" --verify=off --max-tokens 8 2>"$work/err")
    [[ "$got" != *4* ]] || complain "the bug report's fault does no harm: $got"
    grep -qi "not checked\|nothing was checked" "$work/err" || complain "--verify=off is silent: $(cat "$work/err")"
}

# What takes long goes beside the others: a kernel that hangs until its time is over, a fault that takes all cases.
if [ $# = 0 ]; then
    bash "$0" hang one-in-a-million >"$work/long" 2>&1 &
    long=$!
fi
n=0
while IFS=$'\t' read -r name level depth kinds model rows _; do
    if [ $# = 0 ]; then
        [ "$name" != hang ] && [ "$depth" != full ] || continue
    else
        [[ " $* " == *" $name "* ]] || continue
    fi
    [ -n "$rows" ] || complain "$name: no kernel of this machine has it"
    export NB_FAULT=$name
    start=$SECONDS
    finds "$name" "$level" "$depth" "$kinds" "$model" "$rows"
    answers "$name" "$depth" "$model" "$rows"
    [ "$name" != duplicated-stores ] || does_harm
    echo "$name: $level, $((SECONDS - start)) s"
    n=$((n + 1))
done < <("$tests/fault-list")
[ $n -gt 0 ] || complain "no fault was tried"
if [ $# = 0 ]; then
    wait $long || complain "the faults that take long"
    cat "$work/long"
fi
exit $status
