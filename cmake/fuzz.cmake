# SPDX-License-Identifier: Apache-2.0
#
# Fuzz targets: every tests/fuzz/fuzz_NAME.c becomes an executable linked with libFuzzer and a test that runs it for a
# few seconds over its seeds (tests/fuzz/seeds/NAME/) and over what earlier runs found (corpus/NAME/ in the build).
set(NB_FUZZ_SECONDS 5 CACHE STRING "seconds that CTest runs each fuzz target")

file(GLOB nb_fuzz CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source IN LISTS nb_fuzz)
  cmake_path(GET source STEM target)
  string(REGEX REPLACE "^fuzz_" "" name ${target})
  add_executable(${target} ${source})
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${target} PRIVATE nibble_objects)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${name})
  set(folders ${CMAKE_BINARY_DIR}/corpus/${name})
  if(EXISTS ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${name})
    list(APPEND folders ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${name})
  endif()
  add_test(NAME ${NB_TEST_PREFIX}${name}
           COMMAND ${target} -max_total_time=${NB_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
                   -artifact_prefix=${CMAKE_BINARY_DIR}/found-${name}- ${folders})
  set_tests_properties(${NB_TEST_PREFIX}${name} PROPERTIES TIMEOUT 300
                       ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1;NB_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data")
endforeach()
