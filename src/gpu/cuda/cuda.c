/* SPDX-License-Identifier: Apache-2.0
 *
 * CUDA: the driver API of libcuda.so.1, which every NVIDIA driver brings. Numbers are those of its public interface. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "gpu/api.h"

enum { WARP_SIZE = 10, MULTIPROCESSORS = 16, INTEGRATED = 18, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };
enum { SHARED_OPT_IN = 97, EXTRA_END = 0 };
enum { OLDEST = 12000 /* of what the kernels' PTX (ISA 8.0) needs */ };

/* The kernel module's version: "580.95.05". */
static void module_version(char *to, size_t size) {
    buf text = {0};
    *to = 0;
    if (file_read("/proc/driver/nvidia/version", 1 << 16, &text, NULL) == NB_OK && text.data) {
        const char *p = strstr(text.data, "Kernel Module");
        if (p) p += strcspn(p, "0123456789\n");
        if (p && *p >= '0' && *p <= '9') snprintf(to, size, "%.*s", (int)strspn(p, "0123456789."), p);
    }
    buf_free(&text);
}

static bool describe_driver(int version, gpu_info *out) {
    char module[32];
    module_version(module, sizeof module);
    snprintf(out->driver, sizeof out->driver, "CUDA %d.%d%s%s", version / 1000, version % 1000 / 10,
             module[0] ? ", driver " : "", module);
    if (version >= OLDEST) return true;
    snprintf(out->unusable, sizeof out->unusable,
             "its driver is for CUDA %d.%d, the kernels need CUDA %d.%d (driver 525.60) or later: update it",
             version / 1000, version % 1000 / 10, OLDEST / 1000, OLDEST % 1000 / 10);
    return false;
}

static void identify(const gpu_calls *calls, int index, int dev, gpu_info *out) {
    int major = 0, minor = 0;
    (void)index;
    if (calls->device_attribute(&major, CAPABILITY_MAJOR, dev) != 0 ||
        calls->device_attribute(&minor, CAPABILITY_MINOR, dev) != 0) {
        snprintf(out->unusable, sizeof out->unusable, "its driver does not tell what it can compute");
        return;
    }
    snprintf(out->arch, sizeof out->arch, "sm_%d%d", major, minor);
    out->traits.caps = GPU_NVIDIA | GPU_MATRIX | (major == 9 ? GPU_SM90 : 0) |
                       (out->traits.shared_max >= 128 << 10 ? GPU_SHARED_128K : 0);
    if (major < 8)
        snprintf(out->unusable, sizeof out->unusable,
                 "its compute capability is %d.%d, the kernels need 8.0 (Ampere) or later", major, minor);
}

/* Graphs have such launches since CUDA 12.3. */
static bool overlaps(const char *arch, int version) {
    return version >= 12030 && atoi(arch + 3) >= 90;
}

static const char *const libraries[] = {"libcuda.so.1", NULL};

const gpu_vendor gpu_cuda = {
    .name = "cuda",
    .title = "CUDA",
    .libraries = libraries,
    .symbols =
        {
            [CALL_init] = "cuInit",
            [CALL_driver_version] = "cuDriverGetVersion",
            [CALL_device_count] = "cuDeviceGetCount",
            [CALL_device_get] = "cuDeviceGet",
            [CALL_device_name] = "cuDeviceGetName",
            [CALL_device_attribute] = "cuDeviceGetAttribute",
            [CALL_device_memory] = "cuDeviceTotalMem_v2",
            [CALL_context_retain] = "cuDevicePrimaryCtxRetain",
            [CALL_context_release] = "cuDevicePrimaryCtxRelease_v2",
            [CALL_context_use] = "cuCtxSetCurrent",
            [CALL_memory_info] = "cuMemGetInfo_v2",
            [CALL_alloc] = "cuMemAlloc_v2",
            [CALL_release] = "cuMemFree_v2",
            [CALL_host_alloc] = "cuMemHostAlloc",
            [CALL_host_release] = "cuMemFreeHost",
            [CALL_write] = "cuMemcpyHtoDAsync_v2",
            [CALL_read] = "cuMemcpyDtoHAsync_v2",
            [CALL_copy] = "cuMemcpyDtoDAsync_v2",
            [CALL_fill] = "cuMemsetD8Async",
            [CALL_stream_new] = "cuStreamCreate",
            [CALL_stream_free] = "cuStreamDestroy_v2",
            [CALL_stream_wait] = "cuStreamSynchronize",
            [CALL_module_load] = "cuModuleLoadDataEx",
            [CALL_module_unload] = "cuModuleUnload",
            [CALL_function_get] = "cuModuleGetFunction",
            [CALL_function_set] = "cuFuncSetAttribute",
            [CALL_launch] = "cuLaunchKernel",
            [CALL_launch_with] = "?cuLaunchKernelEx",
            [CALL_capture_begin] = "cuStreamBeginCapture_v2",
            [CALL_capture_end] = "cuStreamEndCapture",
            [CALL_graph_make] = "cuGraphInstantiateWithFlags",
            [CALL_graph_launch] = "cuGraphLaunch",
            [CALL_graph_exec_free] = "cuGraphExecDestroy",
            [CALL_graph_free] = "cuGraphDestroy",
            [CALL_event_new] = "cuEventCreate",
            [CALL_event_free] = "cuEventDestroy_v2",
            [CALL_event_record] = "cuEventRecord",
            [CALL_event_wait] = "cuEventSynchronize",
            [CALL_event_elapsed] = "cuEventElapsedTime",
            [CALL_error_string] = "cuGetErrorString",
        },
    .attribute_warp = WARP_SIZE,
    .attribute_processors = MULTIPROCESSORS,
    .attribute_shared = SHARED_OPT_IN,
    .attribute_unified = INTEGRATED,
    .extra_end = EXTRA_END,
    .compiles = true,
    .identify = identify,
    .describe_driver = describe_driver,
    .overlaps = overlaps,
};
