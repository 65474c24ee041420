# SPDX-License-Identifier: Apache-2.0
#
# Device code: every kernels/*.c as PTX for NVIDIA (sm_80 and later; NAME_sm90a.c for that chip only) and as code objects
# for AMD, and code_table.c, which puts all of it into the library. Made once for all builds, by CMake:
# make -f src/gpu/kernels.mk OUT=build/gpu CLANG=clang-19
# AMD's generic targets cover a generation each, but need ROCm 6.3 or later; older ones find the exact targets.
CLANG ?= clang-19
OUT ?= build/gpu
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
KERNELS := $(HERE)kernels
MODULES := $(basename $(notdir $(wildcard $(KERNELS)/*.c)))
AMD_MODULES := $(filter-out %_sm90a,$(MODULES))
AMD ?= gfx11-generic gfx12-generic gfx1151 gfx90a gfx942
CODE := $(MODULES:%=$(OUT)/%.ptx) $(foreach arch,$(AMD),$(AMD_MODULES:%=$(OUT)/%.$(arch)))

COMMON := -O3 -ffreestanding -nogpulib -Wall -Wextra -Wno-unused-function -Werror -Wno-error=pass-failed
NVIDIA := --target=nvptx64-nvidia-cuda -Xclang -target-feature -Xclang +ptx80 -S
# The driver of clang 19 warns of version 6, which generic targets need; its compiler does not.
comma := ,
AMD_VERSION = $(if $(findstring generic,$1),-Xclang )-mcode-object-version=$(if $(findstring generic,$1),6,5)

.SUFFIXES:
.DELETE_ON_ERROR:
all: $(OUT)/code_table.c

# The file appears when it is whole: builds side by side do not see half of it.
define compile
@$(CLANG) $(COMMON) $1 -MD -MP -MT $@ -MF $@.d -o $@.$$$$ $< && mv $@.$$$$ $@
endef

$(OUT)/%_sm90a.ptx: $(KERNELS)/%_sm90a.c $(HERE)kernels.mk | $(OUT)
	$(call compile,$(NVIDIA) -march=sm_90a)
# Kernels that get registers for two blocks of 256 threads, or one of 512: large tiles of products, and products of few
# tokens. C has no way to say so.
TWO_BLOCKS := (qmm_.*_128|qmv_(affine|mx).*)
ONE_BLOCK := qmv_one_.*
FINISH = @awk -v 'two_blocks=$(TWO_BLOCKS)' -v 'one_block=$(ONE_BLOCK)' -f $(HERE)ptx.awk $@ >$@.finished && mv $@.finished $@
$(OUT)/%.ptx: $(KERNELS)/%.c $(HERE)kernels.mk $(HERE)ptx.awk | $(OUT)
	$(call compile,$(NVIDIA) -march=sm_80)
	$(FINISH)

define amd_rule
$(OUT)/%.$1: $(KERNELS)/%.c $(HERE)kernels.mk | $(OUT)
	$$(call compile,--target=amdgcn-amd-amdhsa -mcpu=$1 $(call AMD_VERSION,$1) -Wl$$(comma)-s)
endef
$(foreach arch,$(AMD),$(eval $(call amd_rule,$(arch))))

# Made anew whenever code has changed, and when a module has gone.
$(OUT)/modules: FORCE | $(OUT)
	@echo '$(CODE)' | cmp -s - $@ || echo '$(CODE)' >$@
$(OUT)/code_table.c: $(CODE) $(OUT)/modules $(HERE)code_table.sh
	@sh $(HERE)code_table.sh "$$($(CLANG) --version | head -n 1)" $(CODE) >$@.$$$$ && mv $@.$$$$ $@

$(OUT):
	@mkdir -p $@
FORCE:
.PHONY: all FORCE
-include $(CODE:%=%.d)
