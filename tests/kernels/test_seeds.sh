# SPDX-License-Identifier: Apache-2.0
#
# No false alarm: all rows of this machine over the cases of some hundred seeds (a few where a sanitizer or an emulator
# slows each down a hundred times).
seeds=300
[ -z "$NB_EMULATOR$NB_SANITIZED" ] || seeds=10
# shellcheck disable=SC2086
exec $NB_EMULATOR "$(dirname "$NB_BIN")/tests/test.kernels.registry" --seeds $seeds
