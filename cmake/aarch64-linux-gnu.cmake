# SPDX-License-Identifier: Apache-2.0
#
# Cross build for 64-bit Arm Linux with Debian's compiler; libraries come from build/sysroot-arm64
# (tools/sysroot-arm64.sh), programs run under qemu with every extension that it knows.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
get_filename_component(nb_root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
set(nb_sysroot ${nb_root}/build/sysroot-arm64)
set(CMAKE_FIND_ROOT_PATH ${nb_sysroot} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# The sysroot's folders are no system folders of the cross compiler, so pkg-config must name them.
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${nb_sysroot})
set(ENV{PKG_CONFIG_LIBDIR} ${nb_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_CFLAGS} 1)
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_LIBS} 1)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${nb_sysroot}/usr/lib/aarch64-linux-gnu")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -cpu max -L /usr/aarch64-linux-gnu)
