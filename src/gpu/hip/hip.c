/* SPDX-License-Identifier: Apache-2.0
 *
 * HIP: libamdhip64 of ROCm 5, 6 and 7. Numbers are those of its public interface. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "gpu/api.h"

enum { INTEGRATED = 16, MULTIPROCESSORS = 63, SHARED_PER_BLOCK = 74, WARP_SIZE = 87, EXTRA_END = 3 };

static bool describe_driver(int version, gpu_info *out) {
    struct utsname system;
    const bool known = uname(&system) == 0;
    snprintf(out->driver, sizeof out->driver, "HIP %d.%d.%d%s%.48s", version / 10000000, version / 100000 % 100,
             version % 100000, known ? ", Linux " : "", known ? system.release : "");
    return true;
}

/* hipDeviceProp_t has the name of the architecture ("gfx90a:sramecc+:xnack-"), but at another place in every major
 * version: it is looked for. The device's own name comes first, in 256 bytes. */
static void find_arch(const char *properties, size_t size, char *to, size_t to_size) {
    for (size_t i = 256; i + 32 < size; i++) {
        if (memcmp(properties + i, "gfx", 3) != 0) continue;
        snprintf(to, to_size, "%.*s", (int)strcspn(properties + i, ":"), properties + i);
        return;
    }
}

static bool begins(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static void identify(const gpu_calls *calls, int index, int dev, gpu_info *out) {
    _Alignas(16) char properties[8192] = "";
    (void)dev;
    const bool known = calls->device_properties_6
                           ? calls->device_properties_6(properties, index) == 0
                           : calls->device_properties && calls->device_properties(properties, index) == 0;
    if (known) find_arch(properties, sizeof properties, out->arch, sizeof out->arch);
    if (!out->arch[0]) {
        snprintf(out->unusable, sizeof out->unusable, "its driver does not tell its architecture");
        return;
    }
    unsigned *caps = &out->traits.caps;
    *caps = GPU_AMD;
    if (begins(out->arch, "gfx11")) *caps |= GPU_WMMA11 | GPU_MATRIX;
    if (begins(out->arch, "gfx12")) *caps |= GPU_WMMA12 | GPU_MATRIX;
    if (begins(out->arch, "gfx90a") || begins(out->arch, "gfx94") || begins(out->arch, "gfx95"))
        *caps |= GPU_MFMA | GPU_MATRIX;
}

static const char *const libraries[] = {"libamdhip64.so.7",
                                        "libamdhip64.so.6",
                                        "libamdhip64.so.5",
                                        "/opt/rocm/lib/libamdhip64.so.7",
                                        "/opt/rocm/lib/libamdhip64.so.6",
                                        "/opt/rocm/lib/libamdhip64.so.5",
                                        NULL};

const gpu_vendor gpu_hip = {
    .name = "hip",
    .title = "HIP",
    .libraries = libraries,
    .symbols =
        {
            [CALL_init] = "hipInit",
            [CALL_driver_version] = "hipDriverGetVersion",
            [CALL_device_count] = "hipGetDeviceCount",
            [CALL_device_get] = "hipDeviceGet",
            [CALL_device_name] = "hipDeviceGetName",
            [CALL_device_attribute] = "hipDeviceGetAttribute",
            [CALL_device_memory] = "hipDeviceTotalMem",
            [CALL_device_properties] = "?hipGetDeviceProperties",
            [CALL_device_properties_6] = "?hipGetDevicePropertiesR0600",
            [CALL_device_use] = "hipSetDevice",
            [CALL_memory_info] = "hipMemGetInfo",
            [CALL_alloc] = "hipMalloc",
            [CALL_release] = "hipFree",
            [CALL_host_alloc] = "hipHostMalloc",
            [CALL_host_release] = "hipHostFree",
            [CALL_write] = "hipMemcpyHtoDAsync",
            [CALL_read] = "hipMemcpyDtoHAsync",
            [CALL_copy] = "hipMemcpyDtoDAsync",
            [CALL_fill] = "hipMemsetD8Async",
            [CALL_stream_new] = "hipStreamCreateWithFlags",
            [CALL_stream_free] = "hipStreamDestroy",
            [CALL_stream_wait] = "hipStreamSynchronize",
            [CALL_module_load] = "hipModuleLoadDataEx",
            [CALL_module_unload] = "hipModuleUnload",
            [CALL_function_get] = "hipModuleGetFunction",
            [CALL_launch] = "hipModuleLaunchKernel",
            [CALL_capture_begin] = "hipStreamBeginCapture",
            [CALL_capture_end] = "hipStreamEndCapture",
            [CALL_graph_make] = "hipGraphInstantiateWithFlags",
            [CALL_graph_launch] = "hipGraphLaunch",
            [CALL_graph_exec_free] = "hipGraphExecDestroy",
            [CALL_graph_free] = "hipGraphDestroy",
            [CALL_event_new] = "hipEventCreateWithFlags",
            [CALL_event_free] = "hipEventDestroy",
            [CALL_event_record] = "hipEventRecord",
            [CALL_event_wait] = "hipEventSynchronize",
            [CALL_event_elapsed] = "hipEventElapsedTime",
            [CALL_error_string] = "?hipDrvGetErrorString",
        },
    .attribute_warp = WARP_SIZE,
    .attribute_processors = MULTIPROCESSORS,
    .attribute_shared = SHARED_PER_BLOCK,
    .attribute_unified = INTEGRATED,
    .extra_end = EXTRA_END,
    .identify = identify,
    .describe_driver = describe_driver,
};
