/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of CUDA's driver API that nibble makes, over the simulated device: libcuda.so.1 for tests. Names, types and
 * numbers are the interface's. Stricter than a real driver where that finds mistakes: arguments are checked, handles
 * must be right, and the device's memory cannot be reached by the host. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cuda/ptx.h"
#include "gpu/cuda/queue.h"

static struct {
    bool started;
    int retained; /* the primary context */
    sim_stream *streams[16];
    int n_streams;
} driver;
static _Thread_local bool has_context;
static int the_context; /* its address is the handle */

/* ---- A kernel that reaches outside of its memory ----------------------------------------------------------------- */

static struct sigaction before;

static void faulted(int number, siginfo_t *info, void *context) {
    sim_place at;
    if (sim_here(&at)) sim_fail("thread %u: no memory at %p", at.tid, info->si_addr);
    if (sim_holds(info->si_addr, 1)) {
        static const char text[] = "simulated GPU: the host followed an address of the device\n";
        fputs(text, stderr);
    }
    sigaction(number, &before, NULL); /* and once more, for whoever wanted to know */
    (void)context;
}

/* ---- Devices, contexts ------------------------------------------------------------------------------------------- */

EXPORT int cuInit(unsigned flags);
int cuInit(unsigned flags) {
    if (flags) return CUDA_INVALID_VALUE;
    sim_lock();
    if (!driver.started) {
        const struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGSEGV, &action, &before);
        sim_open(false);
    }
    driver.started = true;
    sim_unlock();
    return CUDA_OK;
}

EXPORT int cuDriverGetVersion(int *out);
int cuDriverGetVersion(int *out) {
    *out = 13000;
    return CUDA_OK;
}

EXPORT int cuDeviceGetCount(int *out);
int cuDeviceGetCount(int *out) {
    *out = 1;
    return driver.started ? CUDA_OK : CUDA_NOT_INITIALIZED;
}

EXPORT int cuDeviceGet(int *out, int index);
int cuDeviceGet(int *out, int index) {
    *out = 0;
    return !driver.started ? CUDA_NOT_INITIALIZED : index == 0 ? CUDA_OK : CUDA_INVALID_DEVICE;
}

EXPORT int cuDeviceGetName(char *to, int size, int dev);
int cuDeviceGetName(char *to, int size, int dev) {
    snprintf(to, (size_t)size, "simulated GPU");
    return dev == 0 ? CUDA_OK : CUDA_INVALID_DEVICE;
}

EXPORT int cuDeviceGetAttribute(int *out, int attribute, int dev);
int cuDeviceGetAttribute(int *out, int attribute, int dev) {
    static const struct {
        int attribute, value;
    } table[] = {{10, SIM_WARP}, {16, 4}, {18, 0}, {75, 8}, {76, 0}, {97, SIM_SHARED_MAX}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].attribute == attribute) {
            *out = table[i].value;
            return dev == 0 ? CUDA_OK : CUDA_INVALID_DEVICE;
        }
    return CUDA_INVALID_VALUE;
}

EXPORT int cuDeviceTotalMem_v2(size_t *out, int dev);
int cuDeviceTotalMem_v2(size_t *out, int dev) {
    uint64_t free_bytes, total;
    sim_memory(&free_bytes, &total);
    *out = total;
    return dev == 0 ? CUDA_OK : CUDA_INVALID_DEVICE;
}

EXPORT int cuDevicePrimaryCtxRetain(void **out, int dev);
int cuDevicePrimaryCtxRetain(void **out, int dev) {
    if (!driver.started) return CUDA_NOT_INITIALIZED;
    sim_lock();
    driver.retained++;
    sim_unlock();
    *out = &the_context;
    return dev == 0 ? CUDA_OK : CUDA_INVALID_DEVICE;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int dev);
int cuDevicePrimaryCtxRelease_v2(int dev) {
    sim_lock();
    const bool ok = dev == 0 && driver.retained > 0;
    if (ok) driver.retained--;
    sim_unlock();
    return ok ? CUDA_OK : CUDA_INVALID_CONTEXT;
}

EXPORT int cuCtxSetCurrent(void *context);
int cuCtxSetCurrent(void *context) {
    if (context && context != &the_context) return CUDA_INVALID_CONTEXT;
    has_context = context != NULL;
    return CUDA_OK;
}

/* What keeps a call from being made at all. */
static int ready(void) {
    if (!driver.started) return CUDA_NOT_INITIALIZED;
    if (!has_context || !driver.retained) return CUDA_INVALID_CONTEXT;
    return sim_lasting_error();
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Pinned memory of the host, which copies read and write when they run. */
static struct {
    char *p;
    size_t bytes;
} pinned[64];
enum { MOST_PINNED = sizeof pinned / sizeof *pinned };

static bool is_pinned(const void *p) {
    for (int i = 0; i < MOST_PINNED; i++)
        if ((const char *)p >= pinned[i].p && (const char *)p < pinned[i].p + pinned[i].bytes) return true;
    return false;
}

EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total);
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    uint64_t available, all;
    sim_memory(&available, &all);
    *free_bytes = available;
    *total = all;
    return ready();
}

EXPORT int cuMemAlloc_v2(void **out, size_t bytes);
int cuMemAlloc_v2(void **out, size_t bytes) {
    const int error = bytes ? ready() : CUDA_INVALID_VALUE;
    if (error) return error;
    sim_lock();
    *out = sim_alloc(bytes);
    sim_unlock();
    return *out ? CUDA_OK : CUDA_NO_MEMORY;
}

EXPORT int cuMemFree_v2(void *p);
int cuMemFree_v2(void *p) {
    int error = ready();
    sim_lock();
    for (int i = 0; i < driver.n_streams && !error; i++) error = stream_run(driver.streams[i]); /* as the real one */
    const bool ok = sim_release(p);
    sim_unlock();
    return error ? error : ok ? CUDA_OK : CUDA_INVALID_VALUE;
}

EXPORT int cuMemHostAlloc(void **out, size_t bytes, unsigned flags);
int cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
    const int error = flags || !bytes ? CUDA_INVALID_VALUE : ready();
    if (error) return error;
    sim_lock();
    *out = NULL;
    for (int i = 0; i < MOST_PINNED && !*out; i++) {
        if (pinned[i].p) continue;
        *out = pinned[i].p = malloc(bytes);
        pinned[i].bytes = bytes;
    }
    sim_unlock();
    return *out ? CUDA_OK : CUDA_NO_MEMORY;
}

EXPORT int cuMemFreeHost(void *p);
int cuMemFreeHost(void *p) {
    int error = CUDA_INVALID_VALUE;
    sim_lock();
    for (int i = 0; i < MOST_PINNED; i++) {
        if (!p || pinned[i].p != p) continue;
        free(p);
        pinned[i].p = NULL;
        pinned[i].bytes = 0;
        error = CUDA_OK;
    }
    sim_unlock();
    return error;
}

/* ---- The queue --------------------------------------------------------------------------------------------------- */

static bool is_stream(const void *stream) {
    for (int i = 0; i < driver.n_streams; i++)
        if (driver.streams[i] == stream) return true;
    return false;
}

static int submit(void *stream, const sim_item *item) {
    const int error = ready();
    if (error) return error;
    return is_stream(stream) ? sim_submit(stream, item) : CUDA_INVALID_HANDLE;
}

static int run(void *stream) {
    int error = ready();
    if (error) return error;
    if (!is_stream(stream)) return CUDA_INVALID_HANDLE;
    if (((sim_stream *)stream)->capture) return CUDA_CAPTURE_UNSUPPORTED;
    sim_lock();
    error = stream_run(stream);
    sim_unlock();
    return error;
}

EXPORT int cuStreamCreate(void **out, unsigned flags);
int cuStreamCreate(void **out, unsigned flags) {
    const int error = flags > 1 ? CUDA_INVALID_VALUE : ready();
    if (error) return error;
    sim_lock();
    sim_stream *s = driver.n_streams < 16 ? calloc(1, sizeof *s) : NULL;
    if (s) driver.streams[driver.n_streams++] = s;
    *out = s;
    sim_unlock();
    return s ? CUDA_OK : CUDA_NO_MEMORY;
}

EXPORT int cuStreamDestroy_v2(void *stream);
int cuStreamDestroy_v2(void *stream) {
    if (!is_stream(stream)) return CUDA_INVALID_HANDLE;
    sim_lock();
    sim_stream *s = stream;
    const int error = stream_run(s);
    for (int i = 0; i < driver.n_streams; i++)
        if (driver.streams[i] == s) driver.streams[i] = driver.streams[--driver.n_streams];
    list_free(&s->list);
    free(s);
    sim_unlock();
    return error;
}

EXPORT int cuStreamSynchronize(void *stream);
int cuStreamSynchronize(void *stream) {
    return run(stream);
}

EXPORT int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream);
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(to, bytes) || sim_holds(from, 1)) return CUDA_INVALID_VALUE;
    if (!is_pinned(from)) {
        item.staged = malloc(bytes + 1);
        if (!item.staged) return CUDA_NO_MEMORY;
        memcpy(item.staged, from, bytes);
    }
    const int error = submit(stream, &item);
    if (error) free(item.staged);
    return error;
}

EXPORT int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream);
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(from, bytes) || sim_holds(to, 1)) return CUDA_INVALID_VALUE;
    const int error = submit(stream, &item);
    return error || is_pinned(to) ? error : run(stream);
}

EXPORT int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream);
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(from, bytes) || !sim_holds(to, bytes)) return CUDA_INVALID_VALUE;
    return submit(stream, &item);
}

EXPORT int cuMemsetD8Async(void *to, unsigned char value, size_t bytes, void *stream);
int cuMemsetD8Async(void *to, unsigned char value, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_FILL, .to = to, .value = value, .bytes = bytes};
    return sim_holds(to, bytes) ? submit(stream, &item) : CUDA_INVALID_VALUE;
}

/* ---- Modules and launches ---------------------------------------------------------------------------------------- */

typedef struct function {
    const sim_kernel *kernel;
    uint32_t shared_max;
} function;

typedef struct module {
    ptx_module ptx;
    function functions[PTX_MOST_KERNELS];
} module;

EXPORT int cuModuleLoadDataEx(void **out, const void *image, unsigned n, int *options, void **values);
int cuModuleLoadDataEx(void **out, const void *image, unsigned n, int *options, void **values) {
    enum { ERROR_LOG = 5, ERROR_LOG_SIZE = 6 };
    char *log = NULL, text[SIM_ERROR_TEXT];
    size_t size = 0;
    const int error = ready();
    if (error) return error;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == ERROR_LOG) log = values[i];
        if (options[i] == ERROR_LOG_SIZE) size = (size_t)(uintptr_t)values[i];
    }
    module *m = calloc(1, sizeof *m);
    if (!m) return CUDA_NO_MEMORY;
    *out = m;
    if (ptx_read(image, &m->ptx, text)) return CUDA_OK;
    if (log && size) snprintf(log, size, "%s", text);
    fprintf(stderr, "simulated GPU: %s\n", text);
    free(m);
    return CUDA_INVALID_IMAGE;
}

EXPORT int cuModuleUnload(void *handle);
int cuModuleUnload(void *handle) {
    free(handle);
    return CUDA_OK;
}

EXPORT int cuModuleGetFunction(void **out, void *handle, const char *name);
int cuModuleGetFunction(void **out, void *handle, const char *name) {
    module *m = handle;
    for (int i = 0; i < m->ptx.n; i++) {
        if (strcmp(m->ptx.kernels[i]->name, name) != 0) continue;
        m->functions[i].kernel = m->ptx.kernels[i];
        *out = &m->functions[i];
        return CUDA_OK;
    }
    return CUDA_NOT_FOUND;
}

EXPORT int cuFuncSetAttribute(void *handle, int attribute, int value);
int cuFuncSetAttribute(void *handle, int attribute, int value) {
    enum { MAX_DYNAMIC_SHARED = 8 };
    if (attribute != MAX_DYNAMIC_SHARED || value < 0 || value > SIM_SHARED_MAX) return CUDA_INVALID_VALUE;
    ((function *)handle)->shared_max = (uint32_t)value;
    return CUDA_OK;
}

/* The bytes of a launch's params: one kernel parameter, or a buffer that `extra` names. */
static bool read_params(const function *f, void **params, void **extra, sim_item *item) {
    enum { BUFFER = 1, SIZE = 2 };
    const void *from = params ? params[0] : NULL;
    size_t size = params ? f->kernel->params_size : 0;
    if (!params == !extra) return false;
    for (int i = 0; extra && extra[i]; i += 2) {
        if ((uintptr_t)extra[i] == BUFFER) from = extra[i + 1];
        if ((uintptr_t)extra[i] == SIZE) size = *(const size_t *)extra[i + 1];
    }
    if (!from || size > sizeof item->params) return false;
    memcpy(item->params, from, size);
    item->params_size = size;
    return true;
}

EXPORT int cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **params,
                          void **extra);
int cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void *stream, void **params, void **extra) {
    const function *f = handle;
    sim_item item = {
        .kind = WORK_LAUNCH, .kernel = f->kernel, .grid = {grid_x, grid_y, grid_z}, .block = block_x, .shared = shared};
    if (block_y != 1 || block_z != 1 || !read_params(f, params, extra, &item)) return CUDA_INVALID_VALUE;
    if (!grid_x || !grid_y || !grid_z || grid_y > 65535 || grid_z > 65535) return CUDA_INVALID_VALUE;
    if (block_x > SIM_MOST_THREADS || (shared > SIM_SHARED_PLAIN && shared > f->shared_max)) return CUDA_INVALID_VALUE;
    return submit(stream, &item);
}

/* ---- Graphs ------------------------------------------------------------------------------------------------------ */

EXPORT int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamBeginCapture_v2(void *stream, int mode) {
    sim_stream *s = stream;
    const int error = ready();
    if (error) return error;
    if (!is_stream(stream) || mode < 0 || mode > 2 || s->capture) return CUDA_INVALID_VALUE;
    s->capture = calloc(1, sizeof *s->capture);
    return s->capture ? CUDA_OK : CUDA_NO_MEMORY;
}

EXPORT int cuStreamEndCapture(void *stream, void **graph);
int cuStreamEndCapture(void *stream, void **graph) {
    sim_stream *s = stream;
    *graph = NULL;
    if (!is_stream(stream) || !s->capture) return CUDA_INVALID_VALUE;
    *graph = s->capture;
    s->capture = NULL;
    return ready();
}

EXPORT int cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long flags);
int cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long flags) {
    const sim_list *from = graph;
    sim_list *copy = flags ? NULL : calloc(1, sizeof *copy);
    if (!copy) return flags ? CUDA_INVALID_VALUE : CUDA_NO_MEMORY;
    for (size_t i = 0; i < from->n; i++)
        if (from->items[i].staged || list_add(copy, &from->items[i])) {
            copy->n = 0;
            list_free(copy);
            free(copy);
            return CUDA_CAPTURE_UNSUPPORTED; /* memory that is not pinned */
        }
    *out = copy;
    return CUDA_OK;
}

EXPORT int cuGraphLaunch(void *executable, void *stream);
int cuGraphLaunch(void *executable, void *stream) {
    const sim_list *l = executable;
    int error = l ? CUDA_OK : CUDA_INVALID_HANDLE;
    for (size_t i = 0; i < (l ? l->n : 0) && !error; i++) error = submit(stream, &l->items[i]);
    return error;
}

static int free_graph(void *graph) {
    if (!graph) return CUDA_INVALID_HANDLE;
    list_free(graph);
    free(graph);
    return CUDA_OK;
}

EXPORT int cuGraphExecDestroy(void *executable);
int cuGraphExecDestroy(void *executable) {
    return free_graph(executable);
}

EXPORT int cuGraphDestroy(void *graph);
int cuGraphDestroy(void *graph) {
    return free_graph(graph);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

EXPORT int cuEventCreate(void **out, unsigned flags);
int cuEventCreate(void **out, unsigned flags) {
    *out = flags ? NULL : calloc(1, sizeof(sim_event));
    return *out ? ready() : CUDA_INVALID_VALUE;
}

EXPORT int cuEventDestroy_v2(void *event);
int cuEventDestroy_v2(void *event) {
    free(event);
    return CUDA_OK;
}

EXPORT int cuEventRecord(void *event, void *stream);
int cuEventRecord(void *event, void *stream) {
    const sim_item item = {.kind = WORK_EVENT, .event = event};
    return event ? submit(stream, &item) : CUDA_INVALID_HANDLE;
}

EXPORT int cuEventSynchronize(void *event);
int cuEventSynchronize(void *event) {
    sim_event *e = event;
    int error = ready();
    for (int i = 0; i < driver.n_streams && !error && !e->recorded; i++) error = run(driver.streams[i]);
    return error;
}

EXPORT int cuEventElapsedTime(float *milliseconds, void *from, void *to);
int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    const sim_event *a = from, *b = to;
    if (!a->recorded || !b->recorded) return CUDA_NOT_READY;
    *milliseconds = (float)((b->seconds - a->seconds) * 1e3);
    return ready();
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

EXPORT int cuGetErrorString(int error, const char **out);
int cuGetErrorString(int error, const char **out) {
    static const struct {
        int error;
        const char *text;
    } table[] = {{CUDA_OK, "no error"},
                 {CUDA_INVALID_VALUE, "invalid argument"},
                 {CUDA_NO_MEMORY, "out of memory"},
                 {CUDA_NOT_INITIALIZED, "initialization error"},
                 {CUDA_INVALID_DEVICE, "invalid device ordinal"},
                 {CUDA_INVALID_IMAGE, "device kernel image is invalid"},
                 {CUDA_INVALID_CONTEXT, "invalid device context"},
                 {CUDA_INVALID_HANDLE, "invalid resource handle"},
                 {CUDA_NOT_FOUND, "named symbol not found"},
                 {CUDA_NOT_READY, "device not ready"},
                 {CUDA_LAUNCH_FAILED, "unspecified launch failure"},
                 {CUDA_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error) {
            *out = table[i].text;
            return CUDA_OK;
        }
    *out = NULL;
    return CUDA_INVALID_VALUE;
}
