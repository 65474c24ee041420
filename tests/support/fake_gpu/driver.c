/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver's library that fails as it is told: libcuda.so.1, or with FAKE_HIP libamdhip64.so.6. Memory is the host's,
 * kernels do nothing. NB_FAKE_GPU lists what happens, separated by commas: "cuInit:100" (that call fails with that
 * error, in the process that makes it), "version:11040", "capability:75", "arch:gfx906", "devices:2", "hang", "crash".
 * With FAKE_HALF the calls for graphs are missing. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#ifdef FAKE_HIP
#    define FN(cuda, hip)   EXPORT int hip
#    define NAME(cuda, hip) #    hip
#else
#    define FN(cuda, hip)   EXPORT int cuda
#    define NAME(cuda, hip) #    cuda
#endif

/* What stands behind "KEY:"; NULL: it is not said. */
static const char *said(const char *key) {
    const char *at = getenv("NB_FAKE_GPU");
    const size_t n = strlen(key);
    while (at && *at) {
        if (strncmp(at, key, n) == 0 && (at[n] == ':' || at[n] == ',' || !at[n])) return at + n + (at[n] == ':');
        at = strchr(at, ',');
        if (at) at++;
    }
    return NULL;
}
static int number(const char *key, int otherwise) {
    const char *text = said(key);
    return text ? atoi(text) : otherwise;
}
#define FAIL(cuda, hip)                                                                                                \
    do {                                                                                                               \
        const int error = number(NAME(cuda, hip), 0);                                                                  \
        if (error) return error;                                                                                       \
    } while (0)

enum { MEMORY = 1 << 30 };
#ifdef FAKE_HIP
enum { VERSION = 60443484, MAJOR = 23, MINOR = 61, WARP = 87, PROCESSORS = 63, SHARED = 74 };
#else
enum { VERSION = 13000, MAJOR = 75, MINOR = 76, WARP = 10, PROCESSORS = 16, SHARED = 97 };
#endif
static char token[1]; /* what every handle points at */

/* ---- What there is ----------------------------------------------------------------------------------------------- */

FN(cuInit, hipInit)(unsigned flags) {
    (void)flags;
    if (said("hang")) pause();
    if (said("crash")) raise(SIGKILL);
    FAIL(cuInit, hipInit);
    return 0;
}
FN(cuDriverGetVersion, hipDriverGetVersion)(int *out) {
    FAIL(cuDriverGetVersion, hipDriverGetVersion);
    *out = number("version", VERSION);
    return 0;
}
FN(cuDeviceGetCount, hipGetDeviceCount)(int *out) {
    FAIL(cuDeviceGetCount, hipGetDeviceCount);
    *out = number("devices", 1);
    return 0;
}
FN(cuDeviceGet, hipDeviceGet)(int *out, int index) {
    FAIL(cuDeviceGet, hipDeviceGet);
    *out = index;
    return 0;
}
FN(cuDeviceGetName, hipDeviceGetName)(char *to, int size, int dev) {
    FAIL(cuDeviceGetName, hipDeviceGetName);
    snprintf(to, (size_t)size, "Fake GPU %d", dev);
    return 0;
}
FN(cuDeviceTotalMem_v2, hipDeviceTotalMem)(size_t *out, int dev) {
    FAIL(cuDeviceTotalMem_v2, hipDeviceTotalMem);
    (void)dev;
    *out = MEMORY;
    return 0;
}
FN(cuDeviceGetAttribute, hipDeviceGetAttribute)(int *out, int attribute, int dev) {
    FAIL(cuDeviceGetAttribute, hipDeviceGetAttribute);
    const int capability = number("capability", 90);
    (void)dev;
    *out = attribute == MAJOR ? capability / 10 : attribute == MINOR ? capability % 10 : attribute == WARP ? 32 : 0;
    if (attribute == PROCESSORS) *out = 8;
    if (attribute == SHARED) *out = 64 << 10;
    return 0;
}

/* ---- Contexts and memory -------------------------------------------------------------------------------------------
 */

FN(cuMemGetInfo_v2, hipMemGetInfo)(size_t *free_bytes, size_t *total) {
    FAIL(cuMemGetInfo_v2, hipMemGetInfo);
    *free_bytes = MEMORY / 4;
    *total = MEMORY;
    return 0;
}
/* What lives: a program cannot free what a lost device holds, which is no leak of its. */
static void *live[1024];

static void *keep(void *p) {
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (!live[i]) return live[i] = p;
    return p;
}

static void drop(void *p) {
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (live[i] == p) live[i] = NULL;
    free(p);
}

FN(cuMemAlloc_v2, hipMalloc)(void **out, size_t bytes) {
    FAIL(cuMemAlloc_v2, hipMalloc);
    if (bytes > MEMORY) return 2;
    *out = keep(aligned_alloc(256, (bytes + 255) / 256 * 256));
    if (*out) memset(*out, 0, bytes);
    return 0;
}
FN(cuMemFree_v2, hipFree)(void *p) {
    FAIL(cuMemFree_v2, hipFree);
    drop(p);
    return 0;
}
FN(cuMemHostAlloc, hipHostMalloc)(void **out, size_t bytes, unsigned flags) {
    FAIL(cuMemHostAlloc, hipHostMalloc);
    (void)flags;
    *out = keep(calloc(1, bytes));
    return 0;
}
FN(cuMemFreeHost, hipHostFree)(void *p) {
    FAIL(cuMemFreeHost, hipHostFree);
    drop(p);
    return 0;
}
FN(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)(void *to, const void *from, size_t bytes, void *stream) {
    FAIL(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync);
    (void)stream;
    memmove(to, from, bytes);
    return 0;
}
FN(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)(void *to, const void *from, size_t bytes, void *stream) {
    FAIL(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync);
    (void)stream;
    memmove(to, from, bytes);
    return 0;
}
FN(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)(void *to, const void *from, size_t bytes, void *stream) {
    FAIL(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync);
    (void)stream;
    memmove(to, from, bytes);
    return 0;
}
FN(cuMemsetD8Async, hipMemsetD8Async)(void *to, unsigned char value, size_t bytes, void *stream) {
    FAIL(cuMemsetD8Async, hipMemsetD8Async);
    (void)stream;
    memset(to, value, bytes);
    return 0;
}

/* ---- The queue -----------------------------------------------------------------------------------------------------
 */

FN(cuStreamCreate, hipStreamCreateWithFlags)(void **out, unsigned flags) {
    FAIL(cuStreamCreate, hipStreamCreateWithFlags);
    (void)flags;
    *out = token;
    return 0;
}
FN(cuStreamDestroy_v2, hipStreamDestroy)(void *stream) {
    FAIL(cuStreamDestroy_v2, hipStreamDestroy);
    (void)stream;
    return 0;
}
FN(cuStreamSynchronize, hipStreamSynchronize)(void *stream) {
    FAIL(cuStreamSynchronize, hipStreamSynchronize);
    (void)stream;
    return 0;
}
FN(cuModuleLoadDataEx, hipModuleLoadDataEx)(void **out, const void *image, unsigned n, int *options, void **values) {
    FAIL(cuModuleLoadDataEx, hipModuleLoadDataEx);
    (void)image, (void)n, (void)options, (void)values;
    *out = token;
    return 0;
}
FN(cuModuleUnload, hipModuleUnload)(void *module) {
    FAIL(cuModuleUnload, hipModuleUnload);
    (void)module;
    return 0;
}
FN(cuModuleGetFunction, hipModuleGetFunction)(void **out, void *module, const char *name) {
    FAIL(cuModuleGetFunction, hipModuleGetFunction);
    (void)module, (void)name;
    *out = token;
    return 0;
}
FN(cuLaunchKernel, hipModuleLaunchKernel)
(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
 void *stream, void **params, void **extra) {
    FAIL(cuLaunchKernel, hipModuleLaunchKernel);
    (void)function, (void)shared, (void)stream, (void)params, (void)extra;
    if (!gx || !gy || !gz || !bx || !by || !bz) return 1;
    return 0;
}
FN(cuEventCreate, hipEventCreateWithFlags)(void **out, unsigned flags) {
    FAIL(cuEventCreate, hipEventCreateWithFlags);
    (void)flags;
    *out = token;
    return 0;
}
FN(cuEventDestroy_v2, hipEventDestroy)(void *event) {
    FAIL(cuEventDestroy_v2, hipEventDestroy);
    (void)event;
    return 0;
}
FN(cuEventRecord, hipEventRecord)(void *event, void *stream) {
    FAIL(cuEventRecord, hipEventRecord);
    (void)event, (void)stream;
    return 0;
}
FN(cuEventSynchronize, hipEventSynchronize)(void *event) {
    FAIL(cuEventSynchronize, hipEventSynchronize);
    (void)event;
    return 0;
}
FN(cuEventElapsedTime, hipEventElapsedTime)(float *milliseconds, void *from, void *to) {
    FAIL(cuEventElapsedTime, hipEventElapsedTime);
    (void)from, (void)to;
    *milliseconds = 1;
    return 0;
}

/* ---- Graphs --------------------------------------------------------------------------------------------------------
 */

#ifndef FAKE_HALF
FN(cuStreamBeginCapture_v2, hipStreamBeginCapture)(void *stream, int mode) {
    FAIL(cuStreamBeginCapture_v2, hipStreamBeginCapture);
    (void)stream, (void)mode;
    return 0;
}
FN(cuStreamEndCapture, hipStreamEndCapture)(void *stream, void **graph) {
    FAIL(cuStreamEndCapture, hipStreamEndCapture);
    (void)stream;
    *graph = token;
    return 0;
}
FN(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags)(void **out, void *graph, unsigned long long flags) {
    FAIL(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags);
    (void)graph, (void)flags;
    *out = token;
    return 0;
}
FN(cuGraphLaunch, hipGraphLaunch)(void *executable, void *stream) {
    FAIL(cuGraphLaunch, hipGraphLaunch);
    (void)executable, (void)stream;
    return 0;
}
FN(cuGraphExecDestroy, hipGraphExecDestroy)(void *executable) {
    FAIL(cuGraphExecDestroy, hipGraphExecDestroy);
    (void)executable;
    return 0;
}
FN(cuGraphDestroy, hipGraphDestroy)(void *graph) {
    FAIL(cuGraphDestroy, hipGraphDestroy);
    (void)graph;
    return 0;
}
#endif

/* ---- What only one of them has -------------------------------------------------------------------------------------
 */

#ifdef FAKE_HIP
FN(, hipSetDevice)(int index) {
    (void)index;
    return number("hipSetDevice", 0);
}
FN(, hipGetDevicePropertiesR0600)(char *out, int index) {
    const char *arch = said("arch");
    (void)index;
    snprintf(out, 256, "gfx in a name");
    snprintf(out + 1160, 256, "%.*s:sramecc-", arch ? (int)strcspn(arch, ",") : 7, arch ? arch : "gfx1151");
    return 0;
}
FN(, hipDrvGetErrorString)(int error, const char **out) {
    *out = error == 2 ? "out of memory" : error == 100 ? "no device" : "made up";
    return 0;
}
#else
static int retained;
FN(cuDevicePrimaryCtxRetain, )(void **out, int dev) {
    (void)dev;
    const int error = number("cuDevicePrimaryCtxRetain", 0);
    if (error) return error;
    retained++;
    *out = token;
    return 0;
}
FN(cuDevicePrimaryCtxRelease_v2, )(int dev) {
    (void)dev;
    if (retained == 0) return 201;
    retained--;
    return number("cuDevicePrimaryCtxRelease_v2", 0);
}
FN(cuCtxSetCurrent, )(void *context) {
    return context == token ? number("cuCtxSetCurrent", 0) : 201;
}
FN(cuFuncSetAttribute, )(void *function, int attribute, int value) {
    (void)function, (void)attribute, (void)value;
    return number("cuFuncSetAttribute", 0);
}
FN(cuGetErrorString, )(int error, const char **out) {
    *out = error == 2 ? "out of memory" : error == 100 ? "no device" : "made up";
    return 0;
}
#endif
