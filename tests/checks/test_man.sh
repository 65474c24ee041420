# SPDX-License-Identifier: Apache-2.0
#
# The man page, --help and the shell completion tell of the same commands and options, and man accepts the page.
page=$NB_SOURCE_DIR/docs/nibble.1
status=0
complain() {
    echo "$*"
    status=1
}
text=$(sed 's/\\-/-/g' "$page") || exit 1
commands=$("$NB_BIN" --complete) && [ -n "$commands" ] || complain "nibble --complete gives no commands"
known=
for command in $commands; do
    "$NB_BIN" --help | grep -q "^  $command " || complain "nibble --help does not list $command"
    grep -qw -- "$command" <<<"$text" || complain "nibble.1 does not tell of nibble $command"
    help=$("$NB_BIN" "$command" --help) || complain "nibble $command --help fails"
    options=$("$NB_BIN" "$command" --complete | grep -o -- '--[a-z0-9-]*')
    [ -n "$options" ] || complain "nibble $command --complete gives no options"
    for option in $options; do
        known="$known $option "
        grep -q -- "$option\b" <<<"$help" || complain "nibble $command --help does not tell of $option"
        grep -q -- "$option\b" <<<"$text" || complain "nibble.1 does not tell of $option ($command)"
    done
done
for option in $(grep -v '^\.\\"' <<<"$text" | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u); do
    case $option in --help | --version | --complete) continue ;; esac
    [[ $known == *" $option "* ]] || complain "nibble.1 tells of $option, which no command has"
done
bash -n "$NB_SOURCE_DIR/docs/nibble.bash-completion" || complain "the completion is no bash script"
if command -v man >/dev/null; then
    warnings=$(MANWIDTH=100 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || complain "man about nibble.1: $warnings"
fi
exit $status
