# SPDX-License-Identifier: Apache-2.0
#
# Dependencies point downwards only (docs/architecture.md): a file of src/FOLDER includes nothing but its own folder,
# the folders listed for it here, and the public header.
cd "$NB_SOURCE_DIR/src" || exit 1
declare -A below=(
    [base]=""
    [ref]="base kernels quant"
    [quant]="base kernels ref"
    [kernels]="base"
    [files]="base quant"
    [text]="base"
    [plan]="base files kernels quant"
    [models]="base files kernels quant plan"
    [cpu]="base files kernels quant ref plan"
    [gpu]="base files kernels quant ref plan"
    [verify]="base kernels quant ref plan files"
    [engine]="base files text kernels quant ref plan models cpu gpu verify"
    [server]="base engine"
)
status=0
while IFS=: read -r file line; do
    folder=${file%%/*}
    [ "$folder" = cli ] && continue
    included=$(sed -E 's/.*"([a-z]+)\/.*/\1/' <<<"$line")
    [ "$included" = "$folder" ] && continue
    if [ -z "${below[$folder]+known}" ]; then
        echo "src/$folder has no place in the layers: see tests/checks/test_layers.sh"
        status=1
    elif [[ " ${below[$folder]} " != *" $included "* ]]; then
        echo "src/$file reaches across: $line"
        status=1
    fi
done < <(grep -rHE '^ *# *include "[a-z]+/' --include="*.[ch]" . | sed 's/^\.\///')
exit $status
