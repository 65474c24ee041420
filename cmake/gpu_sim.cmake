# SPDX-License-Identifier: Apache-2.0
#
# The GPU's kernels compiled for this host, and the simulation that runs them (tests/gpu/sim). Kernels are compiled by
# the compiler that makes the device code, so that both see the same language.
find_program(NB_GPU_CLANG clang-19 REQUIRED)

set(nb_sim_dir ${CMAKE_BINARY_DIR}/tests/gpu/kernels)
file(MAKE_DIRECTORY ${nb_sim_dir})
set(nb_sim_flags -x c -ffreestanding -Wall -Wextra -Wno-unused-function -Wno-unknown-attributes -Wno-pass-failed -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/src
                 -g1 -fPIC -fvisibility=hidden)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND nb_sim_flags --target=aarch64-linux-gnu)
elseif(EXISTS /proc/cpuinfo)
  # Tests run where they are built: with instructions for fused products and 16-bit floats they run much faster.
  file(STRINGS /proc/cpuinfo nb_cpu REGEX "^flags.* avx2 " LIMIT_COUNT 1)
  if(nb_cpu MATCHES " f16c " AND nb_cpu MATCHES " fma ")
    list(APPEND nb_sim_flags -march=x86-64-v3)
  endif()
endif()
set(nb_sim_sanitize -O2)
if(NB_SANITIZE)
  set(nb_sim_sanitize -O1 -fsanitize=address,undefined -fno-sanitize=function -fno-sanitize-recover=all
                      -fsanitize-address-use-after-return=never -fno-omit-frame-pointer)
endif()

# Objects of all modules of src/gpu/kernels, compiled with these flags, into a list.
function(nb_sim_kernels variant out)
  file(GLOB modules CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/gpu/kernels/*.c)
  list(APPEND modules ${CMAKE_SOURCE_DIR}/tests/gpu/planted.c)
  foreach(module IN LISTS modules)
    nb_sim_kernel(${module} ${variant} object ${ARGN})
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

function(nb_sim_kernel module variant out)
  cmake_path(GET module STEM name)
  set(base ${nb_sim_dir}/${variant}.${name})
  add_custom_command(
    OUTPUT ${base}.o
    COMMAND ${CMAKE_SOURCE_DIR}/tests/gpu/sim/kernels.sh ${module} ${base}.c ${NB_GPU_CLANG} ${nb_sim_flags}
    COMMAND ${NB_GPU_CLANG} ${nb_sim_flags} ${ARGN} -MD -MF ${base}.d -MT ${base}.o -c ${base}.c -o ${base}.o
    DEPENDS ${module} ${CMAKE_SOURCE_DIR}/tests/gpu/sim/kernels.sh
    DEPFILE ${base}.d
    COMMENT "Compiling GPU kernels of ${name} for this host (${variant})"
    VERBATIM)
  set(${out} ${base}.o PARENT_SCOPE)
endfunction()

nb_sim_kernels(plain nb_sim_plain ${nb_sim_sanitize})
nb_sim_kernels(races nb_sim_races -O2 -fsanitize=thread -mllvm -tsan-instrument-func-entry-exit=0)
set_source_files_properties(${nb_sim_plain} ${nb_sim_races} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
file(GLOB nb_sim_sources CONFIGURE_DEPENDS tests/gpu/sim/*.c)
list(FILTER nb_sim_sources EXCLUDE REGEX "/race_hooks\\.c$")
add_library(nibble_gpu_sim OBJECT ${nb_sim_sources} tests/gpu/sim_device.c tests/gpu/walk.c
            tests/gpu/planted_run.c)
set_target_properties(nibble_gpu_sim PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(nibble_gpu_sim PUBLIC tests include src)
target_link_libraries(nibble_gpu_sim PUBLIC Threads::Threads PkgConfig::CMOCKA m)

# The parts of nibble that a test of kernels needs, and no others.
add_library(nibble_parts STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:nibble_objects>)
function(nb_sim_link target)
  if(target MATCHES "\\.races$")
    target_sources(${target} PRIVATE ${nb_sim_races} tests/gpu/sim/race_hooks.c)
  else()
    target_sources(${target} PRIVATE ${nb_sim_plain})
  endif()
  target_link_libraries(${target} PRIVATE nibble_gpu_sim nibble_parts ${nb_libraries})
endfunction()

# Drivers' libraries for nibble as it is: with LD_LIBRARY_PATH=tests/gpu/cuda of the build it finds a simulated cuda:0,
# with tests/gpu/hip a hip:0 (gpu_hip.cmake). What both vendors' interfaces share is compiled for each. Planted kernels are
# of no use there, and their module would be one more that PTX could belong to.
set(nb_sim_driver ${nb_sim_plain})
list(FILTER nb_sim_driver EXCLUDE REGEX "planted\\.o$")
set(nb_sim_calls tests/gpu/driver/driver.c tests/gpu/driver/queue.c tests/gpu/driver/gemm.c)
function(nb_sim_library target folder name)
  add_library(${target} SHARED ${ARGN})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} SUFFIX "" LIBRARY_OUTPUT_DIRECTORY
                                             ${CMAKE_BINARY_DIR}/tests/gpu/${folder} BUILD_RPATH "$ORIGIN")
  target_include_directories(${target} PRIVATE tests include src)
  if(folder MATCHES "^hip$")
    target_compile_definitions(${target} PRIVATE FAKE_HIP)
  endif()
endfunction()
nb_sim_library(sim_libcuda cuda libcuda.so.1 ${nb_sim_sources} ${nb_sim_driver} ${nb_sim_calls} tests/gpu/cuda/device.c
               tests/gpu/cuda/ptx.c)
target_link_libraries(sim_libcuda PRIVATE Threads::Threads m)
nb_sim_library(sim_libcublaslt cuda libcublasLt.so.13 tests/gpu/driver/lt.c)
target_link_libraries(sim_libcublaslt PRIVATE sim_libcuda)
