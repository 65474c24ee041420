# SPDX-License-Identifier: Apache-2.0
#
# What gfx11's vector instructions compute (tests/gfx/valu*.c), for the executor of AMD code and for their own test. Loops over lanes must
# become vector instructions, also in builds for debugging; without trapping math, selections between floats do.
file(GLOB nb_gfx_valu_sources CONFIGURE_DEPENDS tests/gfx/valu*.c)
add_library(gfx_valu OBJECT ${nb_gfx_valu_sources})
target_include_directories(gfx_valu PUBLIC tests)
target_compile_options(gfx_valu PRIVATE -O3 -fno-trapping-math)
target_link_libraries(gfx_valu PUBLIC Threads::Threads m)
if(EXISTS /proc/cpuinfo AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # Tests run where they are built.
  file(STRINGS /proc/cpuinfo nb_gfx_cpu REGEX "^flags.* avx2 " LIMIT_COUNT 1)
  if(nb_gfx_cpu MATCHES " fma ")
    target_compile_options(gfx_valu PRIVATE -march=x86-64-v3)
  endif()
endif()

file(GLOB nb_gfx_valu_check CONFIGURE_DEPENDS tests/gfx/valu_check/*.c)
function(nb_gfx_valu_link target)
  target_sources(${target} PRIVATE ${nb_gfx_valu_check})
  target_link_libraries(${target} PRIVATE gfx_valu)
endfunction()
