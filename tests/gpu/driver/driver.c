/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that nibble makes of CUDA's driver API and of HIP, as far as both have them: memory, streams, launches,
 * graphs, events. Names, types and numbers are the interfaces'. Stricter than a real driver where that finds mistakes:
 * arguments are checked, handles must be right, and the device's memory cannot be reached by the host. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/driver/queue.h"

static struct {
    sim_stream *streams[16];
    int n_streams;
} driver;

static int ready(void) {
    const int error = driver_ready();
    return error ? error : sim_lasting_error();
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
        if (pinned[i].p && (const char *)p >= pinned[i].p && (const char *)p < pinned[i].p + pinned[i].bytes)
            return true;
    return false;
}

FN(cuMemGetInfo_v2, hipMemGetInfo)(size_t *free_bytes, size_t *total) {
    uint64_t available, all;
    sim_memory(&available, &all);
    *free_bytes = available;
    *total = all;
    return ready();
}

FN(cuMemAlloc_v2, hipMalloc)(void **out, size_t bytes) {
    const int error = bytes ? ready() : DRIVER_INVALID_VALUE;
    if (error) return error;
    sim_lock();
    *out = sim_alloc(bytes);
    if (*out) device_memory(*out, bytes, true);
    sim_unlock();
    return *out ? DRIVER_OK : DRIVER_NO_MEMORY;
}

FN(cuMemFree_v2, hipFree)(void *p) {
    int error = ready();
    sim_lock();
    for (int i = 0; i < driver.n_streams && !error; i++) error = stream_run(driver.streams[i]); /* as the real one */
    const bool ok = sim_release(p);
    if (ok) device_memory(p, 0, false);
    sim_unlock();
    return error ? error : ok ? DRIVER_OK : DRIVER_INVALID_VALUE;
}

FN(cuMemHostAlloc, hipHostMalloc)(void **out, size_t bytes, unsigned flags) {
    const int error = flags || !bytes ? DRIVER_INVALID_VALUE : ready();
    if (error) return error;
    sim_lock();
    *out = NULL;
    for (int i = 0; i < MOST_PINNED && !*out; i++) {
        if (pinned[i].p) continue;
        *out = pinned[i].p = malloc(bytes);
        pinned[i].bytes = bytes;
        if (*out) device_memory(*out, bytes, true);
    }
    sim_unlock();
    return *out ? DRIVER_OK : DRIVER_NO_MEMORY;
}

FN(cuMemFreeHost, hipHostFree)(void *p) {
    int error = DRIVER_INVALID_VALUE;
    sim_lock();
    for (int i = 0; i < MOST_PINNED; i++) {
        if (!p || pinned[i].p != p) continue;
        device_memory(p, 0, false);
        free(p);
        pinned[i].p = NULL;
        pinned[i].bytes = 0;
        error = DRIVER_OK;
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
    return is_stream(stream) ? sim_submit(stream, item) : DRIVER_INVALID_HANDLE;
}

static int run(void *stream) {
    int error = ready();
    if (error) return error;
    if (!is_stream(stream)) return DRIVER_INVALID_HANDLE;
    if (((sim_stream *)stream)->capture) return DRIVER_CAPTURE_UNSUPPORTED;
    sim_lock();
    error = stream_run(stream);
    sim_unlock();
    return error;
}

FN(cuStreamCreate, hipStreamCreateWithFlags)(void **out, unsigned flags) {
    const int error = flags > 1 ? DRIVER_INVALID_VALUE : ready();
    if (error) return error;
    sim_lock();
    sim_stream *s = driver.n_streams < 16 ? calloc(1, sizeof *s) : NULL;
    if (s) driver.streams[driver.n_streams++] = s;
    *out = s;
    sim_unlock();
    return s ? DRIVER_OK : DRIVER_NO_MEMORY;
}

FN(cuStreamDestroy_v2, hipStreamDestroy)(void *stream) {
    if (!is_stream(stream)) return DRIVER_INVALID_HANDLE;
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

FN(cuStreamSynchronize, hipStreamSynchronize)(void *stream) {
    return run(stream);
}

/* From pinned memory only: a driver's own copies out of a mapped file take HIP for ever. */
FN(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)(void *to, const void *from, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(to, bytes) || !is_pinned(from))
        return sim_wrong(DRIVER_INVALID_VALUE,
                         "a copy of %zu bytes from %p to %p: not from pinned memory to the device's", bytes, from, to);
    return submit(stream, &item);
}

FN(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)(void *to, const void *from, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(from, bytes) || sim_holds(to, 1)) return DRIVER_INVALID_VALUE;
    const int error = submit(stream, &item);
    return error || is_pinned(to) ? error : run(stream);
}

FN(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)(void *to, const void *from, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    if (!sim_holds(from, bytes) || !sim_holds(to, bytes)) return DRIVER_INVALID_VALUE;
    return submit(stream, &item);
}

FN(cuMemsetD8Async, hipMemsetD8Async)(void *to, unsigned char value, size_t bytes, void *stream) {
    const sim_item item = {.kind = WORK_FILL, .to = to, .value = value, .bytes = bytes};
    return sim_holds(to, bytes) ? submit(stream, &item) : DRIVER_INVALID_VALUE;
}

/* ---- Modules and launches ---------------------------------------------------------------------------------------- */

FN(cuModuleLoadDataEx, hipModuleLoadDataEx)(void **out, const void *image, unsigned n, int *options, void **values) {
    enum { ERROR_LOG = 5, ERROR_LOG_SIZE = 6 };
    char *log = NULL, text[SIM_ERROR_TEXT];
    size_t size = 0;
    const int error = ready();
    if (error) return error;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == ERROR_LOG) log = values[i];
        if (options[i] == ERROR_LOG_SIZE) size = (size_t)(uintptr_t)values[i];
    }
    *out = device_load(image, text);
    if (*out) return DRIVER_OK;
    if (log && size) snprintf(log, size, "%s", text);
    return sim_wrong(DRIVER_INVALID_IMAGE, "%s", text);
}

FN(cuModuleUnload, hipModuleUnload)(void *handle) {
    device_unload(handle);
    return DRIVER_OK;
}

FN(cuModuleGetFunction, hipModuleGetFunction)(void **out, void *handle, const char *name) {
    const void *k = device_kernel(handle, name);
    *out = (void *)(uintptr_t)k;
    return k ? DRIVER_OK : DRIVER_NOT_FOUND;
}

/* The bytes of a launch's params: one kernel parameter, or a buffer that `extra` names. The list that names it is
 * checked as HIP does: buffer, size, end. */
static const char *read_params(const void *kernel, void **params, void **extra, sim_item *item) {
    enum { BUFFER = 1, SIZE = 2 };
#ifdef FAKE_HIP
    const uintptr_t end = 3;
#else
    const uintptr_t end = 0;
#endif
    if (!params == !extra) return "either params or a buffer of them is wanted";
    if (extra && ((uintptr_t)extra[0] != BUFFER || (uintptr_t)extra[2] != SIZE || (uintptr_t)extra[4] != end))
        return "the list that names the params' buffer is not: buffer, size, end";
    const void *from = params ? params[0] : extra[1];
    const size_t wanted = device_params_size(kernel), size = params ? wanted : *(const size_t *)extra[3];
    if (!from) return "there are no params";
    if (size != wanted || size > sizeof item->params) return "the params have another size than the kernel's";
    memcpy(item->params, from, size);
    item->params_size = size;
    return NULL;
}

static const char *wrong_launch(const sim_item *item, unsigned block_y, unsigned block_z) {
    const uint32_t *grid = item->grid;
    if (!grid[0] || !grid[1] || !grid[2]) return "a grid without blocks";
    if (grid[1] > 65535 || grid[2] > 65535) return "a grid with too many blocks";
    if (block_y != 1 || block_z != 1) return "blocks of more than one dimension";
    if (!item->block || item->block > SIM_MOST_THREADS) return "no threads, or too many";
    if (!device_allows_shared(item->kernel, item->shared)) return "more shared memory than was asked for";
    return NULL;
}

static int launch(void *stream, sim_item *item, unsigned block_y, unsigned block_z, void **params, void **extra) {
    const char *wrong = item->kernel ? read_params(item->kernel, params, extra, item) : "no function";
    if (!wrong) wrong = wrong_launch(item, block_y, block_z);
    if (wrong) return sim_wrong(DRIVER_INVALID_VALUE, "a launch: %s", wrong);
    return submit(stream, item);
}

FN(cuLaunchKernel, hipModuleLaunchKernel)
(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
 unsigned shared, void *stream, void **params, void **extra) {
    sim_item item = {
        .kind = WORK_LAUNCH, .kernel = handle, .grid = {grid_x, grid_y, grid_z}, .block = block_x, .shared = shared};
    return launch(stream, &item, block_y, block_z, params, extra);
}

#ifndef FAKE_HIP
/* CUlaunchConfig and CUlaunchAttribute. The one attribute that is known here lets a launch begin before the one in
 * front has ended: here it does not, but a kernel that would not wait then is refused. */
typedef struct launch_attribute {
    int id, unused, value;
    char rest[60];
} launch_attribute;
typedef struct launch_config {
    unsigned grid[3], block[3], shared;
    void *stream;
    const launch_attribute *attributes;
    unsigned n_attributes;
} launch_config;

EXPORT int cuLaunchKernelEx(const launch_config *c, void *handle, void **params, void **extra) {
    enum { MAY_OVERLAP = 6 };
    sim_item item = {.kind = WORK_LAUNCH,
                     .kernel = handle,
                     .grid = {c->grid[0], c->grid[1], c->grid[2]},
                     .block = c->block[0],
                     .shared = c->shared};
    for (unsigned i = 0; i < c->n_attributes; i++) {
        if (c->attributes[i].id != MAY_OVERLAP)
            return sim_wrong(DRIVER_INVALID_VALUE, "a launch: attribute %d is not known here", c->attributes[i].id);
        if (c->attributes[i].value && handle && !device_waits(handle))
            return sim_wrong(DRIVER_INVALID_VALUE, "a launch that may overlap, of a kernel that does not wait");
    }
    return launch(c->stream, &item, c->block[1], c->block[2], params, extra);
}
#endif

/* ---- Graphs ------------------------------------------------------------------------------------------------------ */

FN(cuStreamBeginCapture_v2, hipStreamBeginCapture)(void *stream, int mode) {
    sim_stream *s = stream;
    const int error = ready();
    if (error) return error;
    if (!is_stream(stream) || mode < 0 || mode > 2 || s->capture) return DRIVER_INVALID_VALUE;
    s->capture = calloc(1, sizeof *s->capture);
    return s->capture ? DRIVER_OK : DRIVER_NO_MEMORY;
}

FN(cuStreamEndCapture, hipStreamEndCapture)(void *stream, void **graph) {
    sim_stream *s = stream;
    *graph = NULL;
    if (!is_stream(stream) || !s->capture) return DRIVER_INVALID_VALUE;
    *graph = s->capture;
    s->capture = NULL;
    return ready();
}

static int free_graph(void *graph) {
    if (!graph) return DRIVER_INVALID_HANDLE;
    list_free(graph);
    free(graph);
    return DRIVER_OK;
}

FN(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags)(void **out, void *graph, unsigned long long flags) {
    const sim_list *from = graph;
    sim_list *copy = flags ? NULL : calloc(1, sizeof *copy);
    if (!copy) return flags ? DRIVER_INVALID_VALUE : DRIVER_NO_MEMORY;
    for (size_t i = 0; i < from->n; i++)
        if (list_add(copy, &from->items[i])) {
            free_graph(copy);
            return DRIVER_NO_MEMORY;
        }
    *out = copy;
    return DRIVER_OK;
}

FN(cuGraphLaunch, hipGraphLaunch)(void *executable, void *stream) {
    const sim_list *l = executable;
    int error = l ? DRIVER_OK : DRIVER_INVALID_HANDLE;
    for (size_t i = 0; i < (l ? l->n : 0) && !error; i++) error = submit(stream, &l->items[i]);
    return error;
}

FN(cuGraphExecDestroy, hipGraphExecDestroy)(void *executable) {
    return free_graph(executable);
}

FN(cuGraphDestroy, hipGraphDestroy)(void *graph) {
    return free_graph(graph);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

FN(cuEventCreate, hipEventCreateWithFlags)(void **out, unsigned flags) {
    *out = flags ? NULL : calloc(1, sizeof(sim_event));
    return *out ? ready() : DRIVER_INVALID_VALUE;
}

/* Runs what stands before the event's last record. */
static int wait_for(const sim_event *e) {
    int error = ready();
    for (int i = 0; i < driver.n_streams && !error && e->n_queued > 0; i++) error = run(driver.streams[i]);
    return error;
}

/* A real driver keeps what is still queued. */
FN(cuEventDestroy_v2, hipEventDestroy)(void *event) {
    const sim_event *e = event;
    if (!e) return DRIVER_INVALID_HANDLE;
    const int error = wait_for(e);
    if (!e->n_queued) free(event);
    return error;
}

FN(cuEventRecord, hipEventRecord)(void *event, void *stream) {
    sim_event *e = event;
    const sim_item item = {.kind = WORK_EVENT, .event = event};
    if (!e || !is_stream(stream)) return DRIVER_INVALID_HANDLE;
    if (((sim_stream *)stream)->capture) return DRIVER_CAPTURE_UNSUPPORTED;
    const int error = submit(stream, &item);
    if (!error) e->n_queued++;
    return error;
}

FN(cuEventSynchronize, hipEventSynchronize)(void *event) {
    return event ? wait_for(event) : DRIVER_INVALID_HANDLE;
}

FN(cuEventElapsedTime, hipEventElapsedTime)(float *milliseconds, void *from, void *to) {
    const sim_event *a = from, *b = to;
    if (!a->recorded || !b->recorded || a->n_queued || b->n_queued) return DRIVER_NOT_READY;
    *milliseconds = (float)((b->seconds - a->seconds) * 1e3);
    return ready();
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

FN(cuGetErrorString, hipDrvGetErrorString)(int error, const char **out) {
    static const struct {
        int error;
        const char *text;
    } table[] = {{DRIVER_OK, "no error"},
                 {DRIVER_INVALID_VALUE, "invalid argument"},
                 {DRIVER_NO_MEMORY, "out of memory"},
                 {DRIVER_NOT_INITIALIZED, "initialization error"},
                 {DRIVER_INVALID_DEVICE, "invalid device ordinal"},
                 {DRIVER_INVALID_IMAGE, "device kernel image is invalid"},
                 {DRIVER_INVALID_CONTEXT, "invalid device context"},
                 {DRIVER_INVALID_HANDLE, "invalid resource handle"},
                 {DRIVER_NOT_FOUND, "named symbol not found"},
                 {DRIVER_NOT_READY, "device not ready"},
                 {DRIVER_LAUNCH_FAILED, "unspecified launch failure"},
                 {DRIVER_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error) {
            *out = table[i].text;
            return DRIVER_OK;
        }
    *out = NULL;
    return DRIVER_INVALID_VALUE;
}
