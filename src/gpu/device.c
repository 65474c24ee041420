/* SPDX-License-Identifier: Apache-2.0
 *
 * A GPU as a device: its rows, its memory, and running a single call, for verification, tests and benchmarks. */
#include "gpu/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gpu/executor.h"

typedef struct gpu_device {
    device base;
    const gpu_driver *driver;
    gpu_traits traits;
    gpu_context *context; /* NULL: the driver has not been needed yet */
} gpu_device;

nb_status gpu_device_context(device *d, gpu_context **out, nb_error *err) {
    gpu_device *g = (gpu_device *)d;
    nb_status status = g->context ? NB_OK : g->driver->open(d->info.index, &g->context, err);
    *out = g->context;
    return status;
}

const gpu_driver *gpu_device_driver(const device *d) {
    return ((const gpu_device *)d)->driver;
}

const gpu_traits *gpu_device_traits(const device *d) {
    return &((const gpu_device *)d)->traits;
}

static nb_status start(device *d, nb_error *err) {
    gpu_context *c;
    return gpu_device_context(d, &c, err);
}

static bool driver_runs(const device *d) {
    const gpu_driver *driver = gpu_device_driver(d);
    return driver->runs && driver->runs();
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void *memory_alloc(device *d, size_t bytes) {
    gpu_context *c;
    void *p = NULL;
    nb_error err;
    nb_status status = gpu_device_context(d, &c, &err);
    if (!status) status = gpu_device_driver(d)->alloc(c, bytes, &p, &err);
    /* The caller only learns that there is none; a full device is nothing to tell of, what else went wrong is. */
    if (status) log_msg(status == NB_ERR_NO_MEMORY ? NB_LOG_DEBUG : NB_LOG_WARN, "%s", err.text);
    return p;
}

static void memory_release(device *d, void *p) {
    gpu_device *g = (gpu_device *)d;
    if (g->context) g->driver->release(g->context, p);
}

static nb_status memory_write(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    gpu_context *c;
    nb_status status = gpu_device_context(d, &c, err);
    return status ? status : gpu_device_driver(d)->write(c, to, from, bytes, err);
}

static nb_status memory_read(device *d, void *to, const void *from, size_t bytes, nb_error *err) {
    gpu_context *c;
    nb_status status = gpu_device_context(d, &c, err);
    return status ? status : gpu_device_driver(d)->read(c, to, from, bytes, err);
}

static const device_memory memory = {memory_alloc, memory_release, memory_write, memory_read};

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* A call's launches, all of them ready. */
static nb_status make_ready(device *d, const krow *row, const kcall *call, void *scratch, gpu_context **c,
                            gpu_launches *l, nb_error *err) {
    nb_status status = gpu_device_context(d, c, err);
    if (!status) status = gpu_launches_of(gpu_device_traits(d), row, call, scratch, l, err);
    if (status) return status;
    for (int i = 0; i < l->n && !status; i++) status = gpu_device_driver(d)->prepare(*c, &l->at[i], err);
    return status ? err_prefix(err, status, "%s", row->name) : NB_OK;
}

static nb_status prepare(device *d, const krow *row, const kcall *call, void *scratch, nb_error *err) {
    gpu_launches l;
    gpu_context *c;
    return make_ready(d, row, call, scratch, &c, &l, err);
}

static nb_status run(device *d, const krow *row, const kcall *call, int64_t begin, int64_t end, void *scratch,
                     nb_error *err) {
    const gpu_driver *driver = gpu_device_driver(d);
    gpu_launches l;
    gpu_context *c;
    (void)begin, (void)end; /* a call is one task */
    nb_status status = make_ready(d, row, call, scratch, &c, &l, err);
    if (status) return status;
    for (int i = 0; i < l.n && !status; i++) status = driver->launch(c, &l.at[i], err);
    if (!status) status = driver->sync(c, err);
    return status ? err_prefix(err, status, "%s", row->name) : NB_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void free_device(device *d) {
    gpu_device *g = (gpu_device *)d;
    if (!d) return;
    if (g->context) g->driver->close(g->context);
    kreg_free(d->registry);
    free(g);
}

static void describe(device_info *info, const gpu_driver *driver, int index, const gpu_info *from) {
    info->backend = driver->name;
    info->index = index;
    info->is_gpu = true;
    snprintf(info->name, sizeof info->name, "%s", from->name);
    snprintf(info->features, sizeof info->features, "%s%s", from->arch,
             from->traits.caps & GPU_GEMM16 ? ", vendor's GEMM" : "");
    snprintf(info->driver, sizeof info->driver, "%s", from->driver);
    snprintf(info->compiler, sizeof info->compiler, "%s", gpu_code_compiler);
    info->code_hash = gpu_code_hash(gpu_code_arch(from->arch));
}

static nb_status find(const gpu_driver *driver, int index, const gpu_info **out, nb_error *err) {
    const gpu_device_list *list = gpu_devices(driver);
    if (list->n == 0)
        return err_set(err, NB_ERR_NOT_FOUND, "there is no device %s:%d: %s", driver->name, index, list->absent);
    if (index < 0 || index >= list->n)
        return err_set(err, NB_ERR_NOT_FOUND, "there is no device %s:%d, the last one is %s:%d", driver->name, index,
                       driver->name, list->n - 1);
    *out = &list->at[index];
    if (!(*out)->unusable[0]) return NB_OK;
    return err_set(err, NB_ERR_UNSUPPORTED, "%s:%d (%s) cannot be used: %s", driver->name, index, (*out)->name,
                   (*out)->unusable);
}

nb_status gpu_device_new(const gpu_driver *driver, int index, const gpu_info *info, device **out, nb_error *err) {
    *out = NULL;
    gpu_device *g = calloc(1, sizeof *g);
    if (!g) return err_no_memory(err, "a device", sizeof *g);
    g->driver = driver;
    g->traits = info->traits;
    g->base.memory = &memory;
    g->base.start = start;
    g->base.driver_runs = driver_runs;
    g->base.prepare = prepare;
    g->base.run = run;
    g->base.time = gpu_device_time;
    g->base.copy_rate = gpu_device_copy_rate;
    g->base.free = free_device;
    describe(&g->base.info, driver, index, info);
    nb_status status = kreg_new(&g->base.registry, err);
    if (!status) status = gpu_register(g->base.registry, info->traits.caps, err);
    if (status)
        free_device(&g->base);
    else
        *out = &g->base;
    return status;
}

static nb_status open_device(const gpu_driver *driver, int index, device **out, nb_error *err) {
    const gpu_info *info = NULL;
    *out = NULL;
    nb_status status = find(driver, index, &info, err);
    return status ? status : gpu_device_new(driver, index, info, out, err);
}

/* ---- The backends ------------------------------------------------------------------------------------------------ */

static void look(const gpu_driver *driver, int index, device_summary *out) {
    const gpu_info *info = &gpu_devices(driver)->at[index];
    *out = (device_summary){.memory = info->traits.memory};
    snprintf(out->name, sizeof out->name, "%s", info->name);
    snprintf(out->arch, sizeof out->arch, "%s", info->arch);
    snprintf(out->driver, sizeof out->driver, "%s", info->driver);
    snprintf(out->unusable, sizeof out->unusable, "%s", info->unusable);
    snprintf(out->gemm, sizeof out->gemm, "%s%s",
             info->traits.caps & GPU_GEMM16 || !info->gemm[0] ? "" : "nibble's own: ", info->gemm);
}

static int cuda_count(void) {
    return gpu_devices(&gpu_cuda_driver)->n;
}
static const char *cuda_absent(void) {
    return gpu_devices(&gpu_cuda_driver)->absent;
}
static void cuda_look(int index, device_summary *out) {
    look(&gpu_cuda_driver, index, out);
}
static nb_status cuda_open(int index, const device_options *options, device **out, nb_error *err) {
    (void)options;
    return open_device(&gpu_cuda_driver, index, out, err);
}

static int hip_count(void) {
    return gpu_devices(&gpu_hip_driver)->n;
}
static const char *hip_absent(void) {
    return gpu_devices(&gpu_hip_driver)->absent;
}
static void hip_look(int index, device_summary *out) {
    look(&gpu_hip_driver, index, out);
}
static nb_status hip_open(int index, const device_options *options, device **out, nb_error *err) {
    (void)options;
    return open_device(&gpu_hip_driver, index, out, err);
}

const backend cuda_backend = {"cuda", cuda_count, cuda_absent, cuda_look, cuda_open, gpu_executor_new};
const backend hip_backend = {"hip", hip_count, hip_absent, hip_look, hip_open, gpu_executor_new};
