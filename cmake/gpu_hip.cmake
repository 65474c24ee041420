# SPDX-License-Identifier: Apache-2.0
#
# ROCm for tests: a driver whose device executes AMD's machine code (tests/gfx), and the two libraries of products.
nb_sim_library(sim_libamdhip64 hip libamdhip64.so.7 $<TARGET_OBJECTS:nibble_gfx> tests/gpu/sim/sim_memory.c
               ${nb_sim_calls} tests/gpu/hip/device.c tests/gpu/hip/fault.c)
target_link_libraries(sim_libamdhip64 PRIVATE Threads::Threads m)
nb_sim_library(sim_libhipblaslt hip libhipblaslt.so.1 tests/gpu/driver/lt.c)
nb_sim_library(sim_librocblas hip librocblas.so.5 tests/gpu/hip/rocblas.c)
target_link_libraries(sim_libhipblaslt PRIVATE sim_libamdhip64)
target_link_libraries(sim_librocblas PRIVATE sim_libamdhip64)
