# SPDX-License-Identifier: Apache-2.0
#
# The demo's question to its real model (135 million parameters) on a gfx1151, whose machine code is executed by
# tests/gfx. What the tiny models of cli.gfx1151 do not have: 30 layers, a vocabulary of 49,152, graphs replayed.
. "$NB_SOURCE_DIR/tests/cli/common.sh" || exit 1
rocm=$(dirname "$NB_BIN")/tests/gpu/hip
if nibble devices | grep -q 'hip .*no kernels'; then
    echo "this build has no kernels for GPUs: skipped"
    exit 77
fi
export NIBBLE_VERIFY=off # its kernels are checked by gfx.walk and cli.gfx1151
answer=$(LD_LIBRARY_PATH=$rocm NIBBLE_LOG=debug nibble run "$NB_TEST_MODEL" "What is 2+2? Reply with just the number." \
    --device hip:0 --temp 0 --max-tokens 10 2>"$work/err")
[ "$answer" = "2 + 2 = 4" ] || complain "answers \"$answer\": $(tail -n 3 "$work/err")"
! grep 'simulated GPU' "$work/err" || complain "the simulation found something"
! grep 'launched one by one' "$work/err" || complain "a graph could not be captured"
exit $status
