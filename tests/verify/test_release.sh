# SPDX-License-Identifier: Apache-2.0
#
# What is released holds nothing of the faulty kernels: neither the switch nor the wrapper is in the command or the
# libraries, and nothing of it is installed. The faulty command has both, so the search is not blind.
build=$(dirname "$NB_BIN")
status=0
complain() {
    echo "FAIL: $*"
    status=1
}

# holds FILE: whether it knows NB_FAULT, the wrapper, or a fault.
holds() {
    grep -qaE 'NB_FAULT|duplicated-stores' "$1" || nm "$1" 2>/dev/null | grep -qE '__wrap_cpu_register|fault_named'
}

holds "$build/tests/nibble-faulty" || complain "nothing is found in the command that does have faulty kernels"
for file in nibble libnibble.so libnibble.a; do
    [ -e "$build/$file" ] || complain "there is no $build/$file"
    holds "$build/$file" && complain "$build/$file has faulty kernels"
done
grep -q faulty "$build/cmake_install.cmake" && complain "the faulty command is installed"
exit $status
