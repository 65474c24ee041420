# SPDX-License-Identifier: Apache-2.0
#
# The proof that verification works: a command whose kernels have one fault (tests/support/faults) is run for each
# fault of the list. `nibble verify` finds it at the level that the list names, and says of the right kernel the right
# thing; the model still answers through the kernels that are left, and stderr tells which one was set aside. The bug
# report's fault does make garbage where nothing is checked. Arguments: names of faults, instead of all of them.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
tests=$(dirname "$NB_BIN")/tests
question="What is 2+2? Reply with just the number."
nibble verify --help >/dev/null 2>&1 || exit 77

faulty() {
    timeout -k 5 100 "$tests/nibble-faulty" "$@"
}

model_path() {
    case $1 in
    demo) echo "$NB_TEST_MODEL" ;;
    -) ;;
    *) echo "$NB_SOURCE_DIR/models/tiny/$1" ;;
    esac
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

# Whether some kernel of LIST is named in FILE.
names_one() {
    local kernel
    for kernel in ${1//,/ }; do grep -qF -- "$kernel" "$2" && return; done
    return 1
}

# In the home that $NIBBLE_HOME names, which may know of the fault already.
answers() {
    local name=$1 model=$2 rows=$3 got
    got=$(faulty run "$(model_path "$model")" "$question" --temp 0 2>"$work/err")
    [ "$got" = "$(answer_of "$model")" ] || complain "$name: $model answers \"$got\": $(head -c 400 "$work/err")"
    names_one "$rows" "$work/err" || complain "$name: run does not say which kernel it set aside: $(cat "$work/err")"
}

check_fault() {
    local name=$1 level=$2 kinds=$3 model=$4 rows=$5 code
    export NB_FAULT=$name NIBBLE_HOME=$work/$name
    # shellcheck disable=SC2046
    faulty verify $(model_path "$model") --level "$level" --quick --seed 1 --json "$work/$name.json" \
        >"$work/out" 2>"$work/err"
    code=$?
    [ $code = 1 ] || complain "$name: verify ends with $code, expected 1: $(tail -c 400 "$work/out" "$work/err")"
    judge "$name" "$level" "$kinds" "$rows"
    [ "$model" = - ] || answers "$name" "$model" "$rows"
}

# The bug report's case: without verification garbage, and a word that nothing was checked; with it, in a home that
# knows nothing yet, the answer.
check_report() {
    export NB_FAULT=duplicated-stores NIBBLE_HOME=$work/report
    local got rows=$1
    got=$(faulty run "$NB_TEST_MODEL" "$question" --verify=off --max-tokens 8 2>"$work/err")
    [ "$got" != "2 + 2 = 4" ] || complain "the bug report's fault does no harm"
    grep -qi "nothing was checked\|not checked" "$work/err" || complain "--verify=off is silent: $(cat "$work/err")"
    answers duplicated-stores demo "$rows"
}

n=0
while IFS=$'\t' read -r name level kinds model rows _; do
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    [ -n "$rows" ] || complain "$name: no kernel of this machine has it"
    start=$SECONDS
    check_fault "$name" "$level" "$kinds" "$model" "$rows"
    [ "$name" != duplicated-stores ] || check_report "$rows"
    echo "$name: $level, $((SECONDS - start)) s"
    n=$((n + 1))
done < <("$tests/fault-list")
[ $n -gt 0 ] || complain "no fault was tried"
exit $status
