# SPDX-License-Identifier: Apache-2.0
#
# Every source, script and page names its licence in its first lines. Data and what has no comments (JSON) is exempt.
cd "$NB_SOURCE_DIR" || exit 1
status=0
while IFS= read -r -d '' file; do
    case $file in
    ./LICENSE | ./.gitignore | ./.clang-format | ./tests/data/* | ./tests/fuzz/seeds/* | *.json) continue ;;
    *.png | *.jpg | *.safetensors | *.gguf) continue ;;
    esac
    head -n 5 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || {
        echo "$file: no SPDX-License-Identifier: Apache-2.0 in the first five lines"
        status=1
    }
done < <(find . \( -path ./build -o -path ./.git -o -path ./venv -o -name __pycache__ \) -prune -o -type f -print0)
exit $status
