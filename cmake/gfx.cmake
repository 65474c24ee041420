# SPDX-License-Identifier: Apache-2.0
#
# The executor of AMD GPU code (tests/gfx) and the kernels of its own test. Loops over lanes must become vector
# instructions, also in builds for debugging; without trapping math, selections between floats do.
file(GLOB nb_gfx_sources CONFIGURE_DEPENDS tests/gfx/*.c)
list(FILTER nb_gfx_sources EXCLUDE REGEX "/(test_[^/]*|device)\\.c$") # what needs no part of nibble
add_library(nibble_gfx OBJECT ${nb_gfx_sources})
set_target_properties(nibble_gfx PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(nibble_gfx PUBLIC tests)
target_compile_options(nibble_gfx PRIVATE -O3 -fno-trapping-math)
target_link_libraries(nibble_gfx PUBLIC Threads::Threads m)
if(EXISTS /proc/cpuinfo AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # Tests run where they are built.
  file(STRINGS /proc/cpuinfo nb_gfx_cpu REGEX "^flags.* avx2 " LIMIT_COUNT 1)
  if(nb_gfx_cpu MATCHES " fma " AND nb_gfx_cpu MATCHES " f16c ")
    target_compile_options(nibble_gfx PRIVATE -march=x86-64-v3)
  endif()
endif()

find_program(NB_GPU_CLANG clang-19 REQUIRED)
set(nb_gfx_dir ${CMAKE_BINARY_DIR}/tests/gfx)
file(MAKE_DIRECTORY ${nb_gfx_dir})
foreach(arch gfx1151 gfx11-generic)
  set(version -mcode-object-version=5)
  if(arch MATCHES "generic")
    set(version -Xclang -mcode-object-version=6)
  endif()
  add_custom_command(
    OUTPUT ${nb_gfx_dir}/kernels.${arch}
    COMMAND ${NB_GPU_CLANG} -O2 -ffreestanding -nogpulib --target=amdgcn-amd-amdhsa -mcpu=${arch} ${version} -Wall -Wextra -Werror
            -Wno-unused-function -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/tests/gfx/device/kernels.c -MD -MF
            ${nb_gfx_dir}/kernels.${arch}.d -MT ${nb_gfx_dir}/kernels.${arch} -o ${nb_gfx_dir}/kernels.${arch}
    DEPENDS tests/gfx/device/kernels.c
    DEPFILE ${nb_gfx_dir}/kernels.${arch}.d
    COMMENT "Compiling the executor's test kernels for ${arch}"
    VERBATIM)
  list(APPEND nb_gfx_kernels ${nb_gfx_dir}/kernels.${arch})
endforeach()
add_custom_command(
  OUTPUT ${nb_gfx_dir}/forms.o
  COMMAND ${NB_GPU_CLANG} --target=amdgcn-amd-amdhsa -mcpu=gfx1151 -c ${CMAKE_SOURCE_DIR}/tests/gfx/device/forms.s -o
          ${nb_gfx_dir}/forms.o
  DEPENDS tests/gfx/device/forms.s
  VERBATIM)
add_custom_target(nb_gfx_objects DEPENDS ${nb_gfx_kernels} ${nb_gfx_dir}/forms.o)

# What each test is linked with, and called with.
file(GLOB nb_gfx_valu_check CONFIGURE_DEPENDS tests/gfx/valu_check/*.c)
function(nb_gfx_link target name)
  target_link_libraries(${target} PRIVATE nibble_gfx)
  set(arguments "")
  if(name STREQUAL "gfx.valu")
    target_sources(${target} PRIVATE ${nb_gfx_valu_check})
  elseif(name STREQUAL "gfx.run")
    set(arguments ${nb_gfx_kernels})
  elseif(name STREQUAL "gfx.decode")
    target_link_libraries(${target} PRIVATE nibble_objects)
    set(arguments ${nb_gfx_dir}/forms.o)
  else()
    target_sources(${target} PRIVATE tests/gfx/device.c)
    nb_sim_link(${target})
  endif()
  add_dependencies(${target} nb_gfx_objects)
  set(nb_gfx_arguments ${arguments} PARENT_SCOPE)
endfunction()
