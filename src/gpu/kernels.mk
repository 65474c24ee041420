# SPDX-License-Identifier: Apache-2.0
#
# Device code: every kernels/*.c as PTX for NVIDIA (sm_80 and later) and as code objects for AMD,
# and code_table.c, which puts all of it, packed, into the library. Made once for all builds, by CMake:
# make -f src/gpu/kernels.mk OUT=build/gpu CLANG=clang-19
# AMD's generic targets cover a generation each, but need ROCm 6.3 or later; older ones find the exact targets.
# OPT: the level of optimization, for tests of whether results depend on it.
CLANG ?= clang-19
OUT ?= build/gpu
OPT ?= -O3
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
KERNELS := $(HERE)kernels
MODULES := $(basename $(notdir $(wildcard $(KERNELS)/*.c)))
AMD ?= gfx11-generic gfx12-generic gfx1151 gfx90a gfx942
# Products whose tiles are made for NVIDIA's matrix units and copies, and the form of activations that they read.
NVIDIA_ONLY := attention_mma16 few_% form qmv_mma_% qmv_one_%
SM90A_ONLY := few_wg_%
CODE := $(MODULES:%=$(OUT)/%.ptx) $(foreach arch,$(AMD),$(patsubst %,$(OUT)/%.$(arch),$(filter-out $(NVIDIA_ONLY),$(MODULES))))

COMMON := $(OPT) -ffreestanding -nogpulib -Wall -Wextra -Wno-unused-function -Werror -Wno-error=pass-failed
NVIDIA := --target=nvptx64-nvidia-cuda -Xclang -target-feature -Xclang +ptx80 -S
# The driver of clang 19 warns of version 6, which generic targets need; its compiler does not.
AMD_VERSION = $(if $(findstring generic,$1),-Xclang )-mcode-object-version=$(if $(findstring generic,$1),6,5)

.SUFFIXES:
.DELETE_ON_ERROR:
# Not intermediate: make would delete what it has just packed, and compile all of it again the next time.
.SECONDARY: $(CODE)
all: $(OUT)/code_table.c

# Files appear when they are whole: builds side by side do not see half of one.

# Kernels that get as many registers as so many blocks of so many threads leave, KERNELS:THREADS:BLOCKS: large tiles of
# products, products of few tokens, norms of long rows. C has no way to say so.
BOUNDS := (qmm_.*_128|qmv_(affine|mx).*|few_(ints_|wg_|affine|mx|nv).*):256:2 qmv_one_.*:512:1 rmsnorm4:768:1
$(OUT)/%.ptx: $(KERNELS)/%.c $(HERE)kernels.mk $(HERE)ptx.awk | $(OUT)
	@$(CLANG) $(COMMON) $(NVIDIA) -march=$(if $(filter $(SM90A_ONLY),$*),sm_90a,sm_80) -MD -MP -MT $@ -MF $@.d -o $@.$$$$ $< && \
	    awk -v 'bounds=$(BOUNDS)' -f $(HERE)ptx.awk $@.$$$$ >$@.$$$$.whole && \
	    rm $@.$$$$ && mv $@.$$$$.whole $@

# How many threads a block has at most says an attribute that C has no spelling for either: without it the compiler
# assumes 1024, which leaves half of the registers, and spills. So it is put into the intermediate code before anything
# is optimized. Two waves on each SIMD at least: else CDNA's sums move between two kinds of registers all the time.
# launch.c holds launches to these bounds, amd_check.py the code.
# Kernels that wait for memory want many waves: few registers, whatever the scheduler would do with more.
WIDE_BLOCKS := moe norm sample
MANY_WAVES := qmv_fma
AMD_BOUNDS = "amdgpu-flat-work-group-size"="1,$(if $(filter $*,$(WIDE_BLOCKS)),1024,256)" "amdgpu-waves-per-eu"="2" \
    $(if $(filter $*,$(MANY_WAVES)),"amdgpu-num-vgpr"="120")
define amd_rule
$(OUT)/%.$1: $(KERNELS)/%.c $(HERE)kernels.mk | $(OUT)
	$$(call compile_amd,--target=amdgcn-amd-amdhsa -mcpu=$1 $(call AMD_VERSION,$1))
endef
define compile_amd
@$(CLANG) $(COMMON) $1 -Xclang -disable-llvm-passes -emit-llvm -S -MD -MP -MT $@ -MF $@.d -o $@.$$$$.ll $< && \
    sed -i '/"target-cpu"/s/^attributes #[0-9]* = {/& $(AMD_BOUNDS)/' $@.$$$$.ll && \
    $(CLANG) $(COMMON) $1 -Wl,-s -x ir -o $@.$$$$ $@.$$$$.ll && rm $@.$$$$.ll && mv $@.$$$$ $@
endef
$(foreach arch,$(AMD),$(eval $(call amd_rule,$(arch))))

# Made anew whenever code has changed, and when a module has gone.
$(OUT)/modules: FORCE | $(OUT)
	@echo '$(CODE)' | cmp -s - $@ || echo '$(CODE)' >$@
$(OUT)/code_table.c: $(CODE:%=%.zst) $(OUT)/modules $(HERE)code_table.sh
	@sh $(HERE)code_table.sh "$$($(CLANG) --version | head -n 1)" $(CODE) >$@.$$$$ && mv $@.$$$$ $@
$(OUT)/%.zst: $(OUT)/%
	@zstd -q -12 -o $@.$$$$ $< && mv $@.$$$$ $@

$(OUT):
	@mkdir -p $@
FORCE:
.PHONY: all FORCE
-include $(CODE:%=%.d)
