/* SPDX-License-Identifier: Apache-2.0
 *
 * gpu_driver over the table of calls, for CUDA and HIP alike: contexts, memory, the queue, graphs, events. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/context.h"

/* Constants of the drivers' interfaces. */
enum { STREAM_NON_BLOCKING = 1, CAPTURE_RELAXED = 2 };

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

static void gpu_close(gpu_context *c) {
    if (!c) return;
    /* On a lost device all of this fails, and there is nothing to be done about it. */
    if (c->stream) gpu_enter(c, NULL);
    gpu_blas_free(c->blas);
    for (int i = 0; i < 2; i++)
        if (c->staging.written[i]) GPU_DROP(c, event_free, c->staging.written[i]);
    if (c->staging.memory) GPU_DROP(c, host_release, c->staging.memory);
    if (c->blas_memory) GPU_DROP(c, release, c->blas_memory);
    gpu_modules_free(c);
    if (c->stream) GPU_DROP(c, stream_free, c->stream);
    if (c->retained) GPU_DROP(c, context_release, c->dev);
    free(c);
}

static nb_status start(gpu_context *c, nb_error *err) {
    nb_status status = GPU_TRY(c, init, 0);
    if (!status) status = GPU_TRY(c, driver_version, &c->version);
    if (!status) c->overlaps = c->calls.launch_with && c->vendor->overlaps(c->info.arch, c->version);
    if (!status) status = GPU_TRY(c, device_get, &c->dev, c->index);
    if (!status && c->calls.context_retain) status = GPU_TRY(c, context_retain, &c->context, c->dev);
    c->retained = !status && c->calls.context_retain;
    if (!status) status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, stream_new, &c->stream, STREAM_NON_BLOCKING);
    return status;
}

nb_status gpu_open(const gpu_vendor *v, int index, gpu_context **out, nb_error *err) {
    *out = NULL;
    gpu_context *c = calloc(1, sizeof *c);
    gpu_device_list *list = calloc(1, sizeof *list);
    nb_status status = c && list ? NB_OK : err_no_memory(err, "a device", sizeof *c + sizeof *list);
    if (!status) gpu_list_devices(v, list);
    if (!status && index >= list->n)
        status = err_set(err, NB_ERR_NOT_FOUND, "there is no device %s:%d%s%s", v->name, index, list->n ? "" : ": ",
                         list->n ? "" : list->absent);
    if (!status && list->at[index].unusable[0])
        status = err_set(err, NB_ERR_UNSUPPORTED, "%s:%d: %s", v->name, index, list->at[index].unusable);
    if (!status) {
        c->vendor = v;
        c->index = index;
        c->info = list->at[index];
        snprintf(c->name, sizeof c->name, "%s:%d (%.90s)", v->name, index, c->info.name);
        char why[300];
        if (!gpu_api_open(v, &c->calls, why, sizeof why)) status = err_set(err, NB_ERR_NOT_FOUND, "%s", why);
    }
    if (!status) status = start(c, err);
    free(list);
    if (!status)
        *out = c;
    else if (c && c->calls.init)
        gpu_close(c);
    else
        free(c);
    return status;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static nb_status gpu_alloc(gpu_context *c, size_t bytes, void **out, nb_error *err) {
    *out = NULL;
    nb_status status = gpu_enter(c, err);
    if (status) return status;
    const int error = c->calls.alloc(out, bytes ? bytes : 1);
    return error ? gpu_failed(c, CALL_alloc, error, bytes, err) : NB_OK;
}

static void gpu_release(gpu_context *c, void *p) {
    if (p && gpu_enter(c, NULL) == NB_OK) GPU_DROP(c, release, p);
}

static nb_status gpu_alloc_host(gpu_context *c, size_t bytes, void **out, nb_error *err) {
    *out = NULL;
    nb_status status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, host_alloc, out, bytes ? bytes : 1, 0);
    return status ? err_prefix(err, status, "%.3f GB of pinned memory", (double)bytes * 1e-9) : NB_OK;
}

static void gpu_release_host(gpu_context *c, void *p) {
    if (p && gpu_enter(c, NULL) == NB_OK) GPU_DROP(c, host_release, p);
}

static nb_status gpu_memory(gpu_context *c, uint64_t *free_bytes, uint64_t *total, nb_error *err) {
    size_t available = 0, all = 0;
    nb_status status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, memory_info, &available, &all);
    *free_bytes = available;
    *total = all;
    return status;
}

/* ---- The queue --------------------------------------------------------------------------------------------------- */

static nb_status gpu_sync(gpu_context *c, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status ? status : GPU_TRY(c, stream_wait, c->stream);
}

static nb_status gpu_write_async(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status || !bytes ? status : GPU_TRY(c, write, to, from, bytes, c->stream);
}

static nb_status gpu_read_async(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status || !bytes ? status : GPU_TRY(c, read, to, from, bytes, c->stream);
}

static nb_status ready_staging(gpu_context *c, nb_error *err) {
    if (c->staging.written[1]) return NB_OK;
    void *memory = c->staging.memory;
    nb_status status = memory ? NB_OK : gpu_alloc_host(c, 2 * GPU_STAGING, &memory, err);
    c->staging.memory = memory;
    for (int i = 0; i < 2 && !status; i++)
        if (!c->staging.written[i]) status = GPU_TRY(c, event_new, &c->staging.written[i], 0);
    return status;
}

/* Through pinned memory, in two pieces that take turns: HIP's own copies out of a mapped file lock its pages, which on
 * APUs takes minutes or never ends (docs/gpu.md), and CUDA's are no faster than this. */
static nb_status gpu_write(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    if (!status) status = ready_staging(c, err);
    for (size_t done = 0, i = 0; done < bytes && !status; done += GPU_STAGING, i++) {
        const size_t n = bytes - done < GPU_STAGING ? bytes - done : GPU_STAGING;
        uint8_t *piece = (uint8_t *)c->staging.memory + i % 2 * GPU_STAGING;
        if (i > 1) status = GPU_TRY(c, event_wait, c->staging.written[i % 2]);
        if (status) break;
        memcpy(piece, (const uint8_t *)from + done, n);
        status = GPU_TRY(c, write, (uint8_t *)to + done, piece, n, c->stream);
        if (!status) status = GPU_TRY(c, event_record, c->staging.written[i % 2], c->stream);
    }
    return status ? status : gpu_sync(c, err);
}

static nb_status gpu_read(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    nb_status status = gpu_read_async(c, to, from, bytes, err);
    return status ? status : gpu_sync(c, err);
}

static nb_status gpu_copy(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status || !bytes ? status : GPU_TRY(c, copy, to, from, bytes, c->stream);
}

static nb_status gpu_clear(gpu_context *c, void *to, size_t bytes, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status || !bytes ? status : GPU_TRY(c, fill, to, 0, bytes, c->stream);
}

/* ---- Launches and graphs ----------------------------------------------------------------------------------------- */

static nb_status ready_blas(gpu_context *c, nb_error *err) {
    if (c->blas) return NB_OK;
    nb_status status = c->blas_memory ? NB_OK : gpu_alloc(c, GPU_BLAS_MEMORY, &c->blas_memory, err);
    return status ? status : gpu_blas_new(c->vendor, c->version, c->name, c->stream, c->blas_memory, &c->blas, err);
}

static nb_status gpu_prepare(gpu_context *c, const gpu_launch *l, nb_error *err) {
    void *function;
    nb_status status = gpu_enter(c, err);
    if (status) return status;
    if (l->kernel) return gpu_function_of(c, l, &function, err);
    status = ready_blas(c, err);
    return status ? status : gpu_blas_prepare(c->blas, &l->gemm, err);
}

static nb_status gpu_launch_now(gpu_context *c, const gpu_launch *l, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    if (status) return status;
    if (l->kernel) return gpu_launch_kernel(c, l, err);
    status = ready_blas(c, err);
    return status ? status : gpu_blas_run(c->blas, &l->gemm, err);
}

static nb_status gpu_capture_begin(gpu_context *c, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status ? status : GPU_TRY(c, capture_begin, c->stream, CAPTURE_RELAXED);
}

static nb_status gpu_capture_end(gpu_context *c, gpu_graph **out, nb_error *err) {
    void *graph = NULL, *executable = NULL;
    *out = NULL;
    nb_status status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, capture_end, c->stream, &graph);
    if (!status) status = GPU_TRY(c, graph_make, &executable, graph, 0);
    if (graph) GPU_DROP(c, graph_free, graph);
    *out = status ? NULL : executable;
    return status;
}

static nb_status gpu_graph_launch(gpu_context *c, gpu_graph *g, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status ? status : GPU_TRY(c, graph_launch, g, c->stream);
}

static void gpu_graph_free(gpu_context *c, gpu_graph *g) {
    if (g && gpu_enter(c, NULL) == NB_OK) GPU_DROP(c, graph_exec_free, g);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static nb_status gpu_event_new(gpu_context *c, gpu_event **out, nb_error *err) {
    void *event = NULL;
    nb_status status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, event_new, &event, 0);
    *out = event;
    return status;
}

static void gpu_event_free(gpu_context *c, gpu_event *e) {
    if (e && gpu_enter(c, NULL) == NB_OK) GPU_DROP(c, event_free, e);
}

static nb_status gpu_event_record(gpu_context *c, gpu_event *e, nb_error *err) {
    nb_status status = gpu_enter(c, err);
    return status ? status : GPU_TRY(c, event_record, e, c->stream);
}

static nb_status gpu_event_seconds(gpu_context *c, gpu_event *from, gpu_event *to, double *out, nb_error *err) {
    float milliseconds = 0;
    nb_status status = gpu_enter(c, err);
    if (!status) status = GPU_TRY(c, event_wait, to);
    if (!status) status = GPU_TRY(c, event_elapsed, &milliseconds, from, to);
    *out = (double)milliseconds * 1e-3;
    return status;
}

/* ---- The two ----------------------------------------------------------------------------------------------------- */

static atomic_bool cuda_runs, hip_runs;

static nb_status open_cuda(int index, gpu_context **out, nb_error *err) {
    atomic_store(&cuda_runs, true);
    return gpu_open(&gpu_cuda, index, out, err);
}
static nb_status open_hip(int index, gpu_context **out, nb_error *err) {
    atomic_store(&hip_runs, true);
    return gpu_open(&gpu_hip, index, out, err);
}
static void list_cuda(gpu_device_list *out) {
    atomic_store(&cuda_runs, true);
    gpu_list_devices(&gpu_cuda, out);
    gpu_list_libraries(&gpu_cuda, out);
}
static void list_hip(gpu_device_list *out) {
    atomic_store(&hip_runs, true);
    gpu_list_devices(&gpu_hip, out);
    gpu_list_libraries(&gpu_hip, out);
}

static bool cuda_does_run(void) {
    return atomic_load(&cuda_runs);
}
static bool hip_does_run(void) {
    return atomic_load(&hip_runs);
}

/* clang-format off */
#define COMMON \
    .close = gpu_close, .alloc = gpu_alloc, .release = gpu_release, .alloc_host = gpu_alloc_host, \
    .release_host = gpu_release_host, .memory = gpu_memory, .write = gpu_write, .read = gpu_read, \
    .write_async = gpu_write_async, .read_async = gpu_read_async, .copy = gpu_copy, .clear = gpu_clear, \
    .launch = gpu_launch_now, .sync = gpu_sync, .prepare = gpu_prepare, .capture_begin = gpu_capture_begin, \
    .capture_end = gpu_capture_end, .graph_launch = gpu_graph_launch, .graph_free = gpu_graph_free, \
    .event_new = gpu_event_new, .event_free = gpu_event_free, .event_record = gpu_event_record, \
    .event_seconds = gpu_event_seconds
/* clang-format on */

const gpu_driver gpu_cuda_driver = {
    .name = "cuda", .list = list_cuda, .open = open_cuda, .runs = cuda_does_run, COMMON};
const gpu_driver gpu_hip_driver = {.name = "hip", .list = list_hip, .open = open_hip, .runs = hip_does_run, COMMON};
