# SPDX-License-Identifier: Apache-2.0
#
# What `make install` puts down is enough to build a program: examples/answer.c is compiled with what pkg-config says,
# against the shared and the static library, and answers with the real model. The header is good C99 and C++ too.
set -eu
build=$(dirname "$NB_BIN")
root=$build/install-test
rm -rf "$root"
DESTDIR=$root cmake --install "$build" >"$build/install-test.log"
prefix=$(find "$root" -path '*/include/nibble.h' -printf '%h\n')
prefix=${prefix%/include}
for file in bin/nibble include/nibble.h lib/libnibble.a lib/libnibble.so lib/libnibble.so.0 lib/pkgconfig/nibble.pc \
    share/man/man1/nibble.1 share/bash-completion/completions/nibble share/doc/nibble/LICENSE; do
    [ -e "$prefix/$file" ] || [ -e "${prefix}/${file/lib\//lib/$(gcc -print-multiarch)/}" ] || {
        echo "make install does not install $file"
        exit 1
    }
done
# The installed tree lies under $root, which pkg-config takes for a sysroot.
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$root" -name nibble.pc)")
flags() { PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" nibble; }
lib=$(dirname "$PKG_CONFIG_PATH")

cd "$root"
warn="-Wall -Wextra -Werror"
example=$NB_SOURCE_DIR/examples/answer.c
# shellcheck disable=SC2046
cc $warn "$example" $(flags --cflags --libs) -o answer
# shellcheck disable=SC2046
cc $warn "$example" $(flags --cflags --libs --static | sed 's/-lnibble/-l:libnibble.a/') -o answer-static
echo '#include <nibble.h>' >header.c
# shellcheck disable=SC2046
cc $warn -std=c99 -pedantic $(flags --cflags) -fsyntax-only header.c
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    c++ $warn $(flags --cflags) -fsyntax-only -x c++ header.c
fi

LD_LIBRARY_PATH=$lib ./answer "$NB_TEST_MODEL" | tee answer.txt
grep -q 'Paris' answer.txt || { echo "the example did not answer Paris"; exit 1; }
./answer-static "$NB_TEST_MODEL" >answer-static.txt
cmp answer.txt answer-static.txt
[ "$(LD_LIBRARY_PATH=$lib ./answer /nonexistent 2>&1 | wc -l)" = 1 ] || { echo "no one-line error"; exit 1; }
