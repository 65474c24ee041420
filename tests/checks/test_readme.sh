# SPDX-License-Identifier: Apache-2.0
#
# The C program that README.md shows is examples/answer.c, which the install check compiles and runs; the files that
# README.md and docs/ link to exist.
cd "$NB_SOURCE_DIR" || exit 1
status=0
shown=$(sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d')
program=$(sed '1,/\*\/$/d' examples/answer.c)
[ "$shown" = "$program" ] || {
    echo "README.md's program differs from examples/answer.c:"
    diff <(echo "$shown") <(echo "$program")
    status=1
}
for page in README.md docs/*.md; do
    folder=$(dirname "$page")
    while IFS= read -r link; do
        case $link in http* | mailto* | "#"*) continue ;; esac
        [ -e "$folder/${link%%#*}" ] || {
            echo "$page links to $link, which does not exist"
            status=1
        }
    done < <(sed '/^```/,/^```/d' "$page" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//')
done
exit $status
