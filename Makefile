# SPDX-License-Identifier: Apache-2.0
#
# The door: `make help` lists what there is. CMake and Ninja do the work behind it (docs/building.md).
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 300
BIN := build/release/nibble
# The Arm build is tested under qemu; on another machine than x86-64 the cross compiler is not packaged.
CROSS := $(filter x86_64,$(shell uname -m))
# Everything that the command is made of: it is rebuilt when one of these is newer.
SOURCES := $(shell find src include cmake CMakeLists.txt CMakePresets.json -newer $(BIN) 2>/dev/null || echo none)

.PHONY: all demo test test-gpu goldens bench fuzz format install clean help FORCE
all: $(BIN)

help:
	@echo "make              build the command and the libraries (build/release)"
	@echo "make demo         fetch a small model, ask it a question"
	@echo "make test         every test; a first run takes a while"
	@echo "make test-gpu     kernels, models and a whole verification on this machine's GPU (docs/gpu.md)"
	@echo "make goldens      make again what the tests compare with (maintainers; MAKERS=\"make_goldens ...\")"
	@echo "make bench        speed on this machine, side by side with llama.cpp (bench/README.md)"
	@echo "make fuzz         fuzz every reader of files (FUZZ_SECONDS=$(FUZZ_SECONDS) each)"
	@echo "make format       clang-format over the tree"
	@echo "make install      PREFIX=$(PREFIX) DESTDIR="
	@echo "make clean        removes build/"

# SOURCES is empty when nothing changed since the last build; then there is nothing to do, in no time.
$(BIN): $(if $(SOURCES),FORCE)
	@tools/deps.sh build
	@test -e build/release/build.ninja || cmake --preset release
	@cmake --build build/release -j $(JOBS) --target nibble_cli nibble_shared nibble_static
	@touch $@

build/demo-model/config.json: | $(BIN)
	@tools/deps.sh demo
	@tools/demo-model.sh $(BIN) build/demo-model

demo: $(BIN) build/demo-model/config.json
	$(BIN) run build/demo-model "What is 2+2? Reply with just the number." --temp 0 --stats

# Each build is made first, then one CTest run walks the tests of all of them.
test:
	@tools/deps.sh build demo test fuzz $(if $(CROSS),cross)
	@$(if $(CROSS),tools/sysroot-arm64.sh build/sysroot-arm64 && tools/zig.sh build/zig)
	cmake --preset asan
	cmake --build build/asan -j $(JOBS)
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	$(if $(CROSS),cmake --preset aarch64)
	$(if $(CROSS),cmake --build build/aarch64 -j $(JOBS))
	cmake --preset release -DNB_TESTS=ON \
		"-DNB_TEST_SUITES=$(CURDIR)/build/asan;$(CURDIR)/build/fuzz$(if $(CROSS),;$(CURDIR)/build/aarch64)"
	cmake --build build/release -j $(JOBS)
	ctest --test-dir build/release --output-on-failure -j $(JOBS)

# Also made to be carried to a machine that has a GPU and no compiler: tools/gpu-bundle.sh.
test-gpu: $(BIN) build/demo-model/config.json
	@tools/deps.sh build test
	cmake --preset release -DNB_TESTS=ON
	cmake --build build/release -j $(JOBS) --target nibble_cli test.gpu.models
	tools/gpu-bundle.sh build/release build/gpu-bundle
	build/gpu-bundle/run.sh $(CURDIR) $(CURDIR)/build/demo-model

goldens: build/demo-model/config.json
	@tools/goldens.sh build/demo-model $(MAKERS)

bench: $(BIN) build/demo-model/config.json
	@bench/setup_peer.sh build/peer
	python3 bench/compare.py --nibble $(BIN) --model build/demo-model --peer build/peer

fuzz:
	@tools/deps.sh build fuzz
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

format:
	@tools/format.sh --fix

install: $(BIN)
	@tools/deps.sh build
	cmake --preset release "-DCMAKE_INSTALL_PREFIX=$(PREFIX)" >/dev/null
	cmake --build build/release -j $(JOBS) --target nibble_cli nibble_shared nibble_static
	DESTDIR="$(DESTDIR)" cmake --install build/release

clean:
	rm -rf build
