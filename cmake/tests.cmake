# SPDX-License-Identifier: Apache-2.0
#
# Registers the tests with CTest. Every tests/PART/**/test_NAME.c is an executable of its own and a test named
# PART.FOLDER.NAME; shared helpers are the other .c files of tests/support/. A test whose source mentions
# NB_TEST_MODEL waits for the fixture that fetches and imports the real model.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

set(nb_test_env "NB_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data" "NB_TEST_MODEL=${NB_DEMO_MODEL}")
list(APPEND nb_test_env "NB_BIN=${CMAKE_BINARY_DIR}/nibble" "NB_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
# Verdicts about kernels stay within the build.
list(APPEND nb_test_env "NIBBLE_HOME=${CMAKE_BINARY_DIR}/tests/home")
# What tests say holds for the CPU, whatever else the machine has.
list(APPEND nb_test_env "NIBBLE_DEVICE=cpu")
if(CMAKE_CROSSCOMPILING_EMULATOR)
  list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " nb_emulator)
  list(APPEND nb_test_env "NB_EMULATOR=${nb_emulator}" "NB_WALK=quick")
endif()
if(NB_SANITIZE)
  list(APPEND nb_test_env "ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1"
       "UBSAN_OPTIONS=print_stacktrace=1" "NB_SANITIZED=1")
endif()

file(GLOB nb_support CONFIGURE_DEPENDS tests/support/*.c)
if(nb_support)
  add_library(nibble_test_support OBJECT ${nb_support})
  target_include_directories(nibble_test_support PUBLIC tests)
  target_link_libraries(nibble_test_support PUBLIC nibble_objects PkgConfig::CMOCKA)
endif()

# In tests named *_oom.c the linker sends calls of malloc and its kin to tests/support/oom, where they can fail.
set(nb_oom_wrap malloc calloc realloc strdup strndup aligned_alloc posix_memalign mmap)
list(TRANSFORM nb_oom_wrap PREPEND "-Wl,--wrap=")

# Kernels with planted faults (tests/support/faults): the linker sends cpu_register there.
set(nb_fault_sources faults.c fault_list.c fault_calls.c fault_offsets.c fault_races.c fault_weights.c)
list(TRANSFORM nb_fault_sources PREPEND tests/support/faults/)
function(nb_plant_faults target)
  target_sources(${target} PRIVATE ${nb_fault_sources})
  target_include_directories(${target} PRIVATE tests)
  target_link_options(${target} PRIVATE -Wl,--wrap=cpu_register)
endfunction()

# Gives a test its environment, and the model's fixture if it (a source file) asks for the model. What a user sees of
# the check at load is tested where there is a command; elsewhere it would only cost a second for each context, and a
# test of it turns it on.
function(nb_test_properties name source)
  set(env ${nb_test_env})
  if(CMAKE_CROSSCOMPILING_EMULATOR OR NOT name MATCHES "^(asan\\.|debug\\.)?(cli|demo|verify|checks)\\.")
    list(APPEND env "NIBBLE_VERIFY=off")
  endif()
  if(NB_SANITIZE AND name MATCHES "\\.(gpu|gfx)\\.")
    # What device code leaves on its stack is nobody's; each of its threads would have a second one for that.
    list(TRANSFORM env REPLACE "detect_stack_use_after_return=1" "detect_stack_use_after_return=0")
  endif()
  if(name MATCHES "(^|\\.)unit\\.gpu\\.")
    list(APPEND env "LD_LIBRARY_PATH=${CMAKE_BINARY_DIR}/tests/fake_gpu/cuda")
  endif()
  if(name MATCHES "(^|\\.)gpu\\.(models|contexts|used)$") # on the simulated device
    list(APPEND env "NIBBLE_DEVICE=cuda:0" "LD_LIBRARY_PATH=${CMAKE_BINARY_DIR}/tests/gpu/cuda")
  endif()
  if(name MATCHES "(^|\\.)gpu\\.models_hip$") # on one that executes AMD's machine code
    list(APPEND env "NIBBLE_DEVICE=hip:0" "LD_LIBRARY_PATH=${CMAKE_BINARY_DIR}/tests/gpu/hip")
  endif()
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${env}" TIMEOUT 1500 SKIP_RETURN_CODE 77)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(STRINGS ${source} wants_model REGEX "NB_TEST_MODEL" LIMIT_COUNT 1)
  if(name MATCHES "(^|\\.)gfx\\.walk$") # workgroups on all processors
    set_tests_properties(${name} PROPERTIES PROCESSORS 2)
  endif()
  if(wants_model)
    # Such a test computes on all processors: beside another one its threads would only wait for each other.
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED demo_model PROCESSORS 2)
  endif()
endfunction()

# tests/unit/text/test_bpe.c -> unit.text.bpe
function(nb_test_name source out)
  cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_SOURCE_DIR}/tests OUTPUT_VARIABLE path)
  string(REGEX REPLACE "\\.[a-z]+$" "" path ${path})
  string(REGEX REPLACE "(^|/)test_([^/]*)$" "\\1\\2" path ${path})
  string(REPLACE "/" "." path ${path})
  set(${out} ${path} PARENT_SCOPE)
endfunction()

# Whole verifications, and every model cut at every layer, take minutes under an emulator, and what they test (processes,
# levels, verdicts, which device has what, bounds of errors) knows no processor; their parts (cases, comparing, workers)
# are tested there.
set(nb_native_tests "^(unit\\.(verify\\.(session|watch)|engine\\.(split|draw|failures))|kernels\\.fused)$")

if("gpu" IN_LIST NB_TEST_PARTS)
  include(cmake/gpu_sim.cmake)
endif()
if("gfx" IN_LIST NB_TEST_PARTS)
  include(cmake/gfx.cmake)
endif()
if(TARGET nibble_gfx AND TARGET nibble_gpu_sim)
  include(cmake/gpu_hip.cmake)
endif()

# Tests of device code that this build does not have. Where it has it, its absence is a failure.
set(nb_without "^$")
if(NOT NB_GPU)
  set(nb_without "^(gpu\\.(models|contexts|used)|cli\\.cuda)$")
endif()
if(NOT NB_GPU OR NOT "gfx1151" IN_LIST NB_GPU_AMD)
  string(APPEND nb_without "|^(gfx\\.(decode|walk|levels)|gpu\\.models_hip|(cli|demo)\\.gfx1151)$")
endif()

foreach(part IN LISTS NB_TEST_PARTS)
  file(GLOB_RECURSE nb_tests CONFIGURE_DEPENDS tests/${part}/test_*.c)
  foreach(source IN LISTS nb_tests)
    nb_test_name(${source} name)
    if(CMAKE_CROSSCOMPILING AND name MATCHES "${nb_native_tests}")
      continue()
    endif()
    # Kernels have another instrumentation for races; models take long on a simulated device, and longer checked.
    if(NB_SANITIZE AND name MATCHES "^gpu\\.(races|models|contexts|used)$")
      continue()
    endif()
    if((name STREQUAL "gpu.rocm" AND NOT TARGET sim_libamdhip64) OR name MATCHES "${nb_without}")
      continue()
    endif()
    add_executable(test.${name} ${source})
    set_target_properties(test.${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(test.${name} PRIVATE tests)
    if(part STREQUAL "gpu")
      nb_sim_link(test.${name})
      add_dependencies(test.${name} sim_libcublaslt)
      if(name STREQUAL "gpu.contexts")
        add_dependencies(test.${name} nibble_cli)
      endif()
    elseif(part STREQUAL "gfx")
      nb_gfx_link(test.${name} ${name})
    else()
      target_link_libraries(test.${name} PRIVATE nibble_objects)
      if(nb_support)
        target_link_libraries(test.${name} PRIVATE nibble_test_support)
      endif()
    endif()
    target_link_libraries(test.${name} PRIVATE PkgConfig::CMOCKA)
    if(name MATCHES "_oom$")
      target_sources(test.${name} PRIVATE tests/support/oom/fail_alloc.c)
      target_link_options(test.${name} PRIVATE ${nb_oom_wrap})
    endif()
    if(name MATCHES "\\.faults$")
      nb_plant_faults(test.${name})
    endif()
    add_test(NAME ${NB_TEST_PREFIX}${name} COMMAND test.${name} ${nb_gfx_arguments})
    set(nb_gfx_arguments "")
    nb_test_properties(${NB_TEST_PREFIX}${name} ${source})
    if(name MATCHES "^unit\\.gpu\\.")
      add_dependencies(test.${name} fake_gpu.cuda)
    endif()
    if(part STREQUAL "cli")
      add_dependencies(test.${name} nibble_cli)
    endif()
  endforeach()
  file(GLOB_RECURSE nb_tests CONFIGURE_DEPENDS tests/${part}/test_*.sh)
  foreach(source IN LISTS nb_tests)
    nb_test_name(${source} name)
    # Machine code is executed by this machine's, and without sanitizers: else it would take too long.
    if(name MATCHES "\\.(gfx1151|levels)$" AND (NB_SANITIZE OR NOT TARGET sim_libamdhip64))
      continue()
    endif()
    if(name MATCHES "\\.cuda$" AND (NB_SANITIZE OR NOT TARGET sim_libcuda))
      continue()
    endif()
    if(name MATCHES "${nb_without}")
      continue()
    endif()
    add_test(NAME ${NB_TEST_PREFIX}${name} COMMAND bash ${source})
    nb_test_properties(${NB_TEST_PREFIX}${name} ${source})
  endforeach()
endforeach()

# The golden models once more, the whole ROCm way.
if(TARGET sim_libamdhip64 AND TARGET test.gpu.models AND NOT "gpu.models_hip" MATCHES "${nb_without}")
  add_test(NAME ${NB_TEST_PREFIX}gpu.models_hip COMMAND test.gpu.models)
  nb_test_properties(${NB_TEST_PREFIX}gpu.models_hip tests/gpu/test_models.c)
endif()

# The command with a faulty backend, and the list of what is wrong with it: for tests/verify, never installed.
if("verify" IN_LIST NB_TEST_PARTS AND TARGET nibble_cli)
  add_executable(nibble_faulty $<TARGET_OBJECTS:nibble_cli>)
  get_target_property(nb_cli_libraries nibble_cli LINK_LIBRARIES)
  target_link_libraries(nibble_faulty PRIVATE ${nb_cli_libraries})
  add_executable(fault_list tests/support/faults/fault_print.c)
  target_link_libraries(fault_list PRIVATE nibble_objects)
  foreach(target nibble_faulty fault_list)
    nb_plant_faults(${target})
    string(REPLACE "_" "-" output ${target})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output}
                                               RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  endforeach()
endif()

# Drivers of GPUs that fail as they are told, for tests/cli/test_devices.sh and tests/unit/gpu.
function(nb_fake_gpu folder library)
  add_library(fake_gpu.${folder} MODULE tests/support/fake_gpu/driver.c)
  set_target_properties(fake_gpu.${folder} PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME ${library}
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/fake_gpu/${folder})
  target_compile_definitions(fake_gpu.${folder} PRIVATE ${ARGN})
endfunction()
nb_fake_gpu(cuda libcuda.so.1)
nb_fake_gpu(half libcuda.so.1 FAKE_HALF)
nb_fake_gpu(hip libamdhip64.so.6 FAKE_HIP)

# The whole suite in one run: the tests of the other builds join this one's under their own names.
foreach(folder IN LISTS NB_TEST_SUITES)
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${folder}/CTestTestfile.cmake)
endforeach()

if(TARGET nibble_cli AND NOT CMAKE_CROSSCOMPILING AND NOT NB_TEST_PREFIX)
  add_test(NAME demo-model COMMAND ${CMAKE_SOURCE_DIR}/tools/demo-model.sh --again $<TARGET_FILE:nibble_cli>
                                   ${NB_DEMO_MODEL})
  set_tests_properties(demo-model PROPERTIES FIXTURES_SETUP demo_model TIMEOUT 600)
endif()
