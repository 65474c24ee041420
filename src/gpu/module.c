/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels' machine code on a device: a module is loaded when its first kernel is needed, a kernel is looked up
 * once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gpu/context.h"

/* Constants of the drivers' interfaces. */
enum { JIT_ERROR_LOG = 5, JIT_ERROR_LOG_SIZE = 6, FUNCTION_SHARED_MAX = 8, EXTRA_BUFFER = 1, EXTRA_SIZE = 2 };
enum { SHARED_ALWAYS = 48 << 10 /* what a block may have without being asked for */ };

/* The first error of a compiler's log, in one line. */
static void first_error(char *log) {
    char *start = strstr(log, "error");
    if (start) memmove(log, start, strlen(start) + 1);
    log[strcspn(log, "\n")] = 0;
}

/* PTX for devices whose launches may overlap: what ptx.awk has left in comments becomes valid. */
static void let_overlap(char *text) {
    static const char target[] = ".target sm_80", comment[] = "//sm_90 ";
    char *at = strstr(text, target);
    if (at) at[sizeof target - 3] = '9';
    for (at = text; (at = strstr(at, comment)); at += sizeof comment - 1) memset(at, ' ', sizeof comment - 1);
}

static nb_status load(gpu_context *c, const gpu_code *code, void **out, nb_error *err) {
    char log[4096] = "";
    int options[] = {JIT_ERROR_LOG, JIT_ERROR_LOG_SIZE};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    const double start = clock_now();
    char *text;
    nb_status status = gpu_code_unpack(code, &text, err);
    if (status) return status;
    if (c->overlaps) let_overlap(text);
    const int error = c->calls.module_load(out, text, c->vendor->compiles ? 2 : 0, options, values);
    free(text);
    if (error) {
        status = gpu_failed(c, CALL_module_load, error, 0, err);
        first_error(log);
        if (log[0] && err) {
            const size_t n = strlen(err->text);
            snprintf(err->text + n, sizeof err->text - n, ": %.300s", log);
        }
        return err_prefix(err, status, "kernels \"%s\" for %s", code->module, code->arch);
    }
    log_msg(NB_LOG_DEBUG, "%s: kernels \"%s\" for %s loaded in %.3f s", c->name, code->module, code->arch,
            clock_now() - start);
    return NB_OK;
}

static nb_status module_of(gpu_context *c, const char *name, void **out, nb_error *err) {
    const gpu_code *code = gpu_code_find(name, gpu_code_arch(c->info.arch));
    if (!code)
        return err_set(err, NB_ERR_INTERNAL, "%s: this build of nibble has no kernels \"%s\" for %s", c->name, name,
                       c->info.arch);
    for (int i = 0; i < c->n_modules; i++) {
        if (c->modules[i].code != code) continue;
        *out = c->modules[i].module;
        return NB_OK;
    }
    if (c->n_modules == GPU_MAX_MODULES) return err_set(err, NB_ERR_INTERNAL, "too many modules of kernels");
    nb_status status = load(c, code, out, err);
    if (!status) c->modules[c->n_modules++] = (gpu_module){code, *out};
    return status;
}

/* The kernel's place in the hash table: where it is, or could be; NULL: the table is full. */
static gpu_function *place_of(gpu_context *c, const gpu_kernel *k) {
    const size_t start = (size_t)((uintptr_t)k / sizeof *k * 0x9e3779b97f4a7c15u >> 32);
    for (size_t i = 0; i < GPU_MAX_FUNCTIONS; i++) {
        gpu_function *f = &c->functions[(start + i) % GPU_MAX_FUNCTIONS];
        if (f->kernel == k || !f->kernel) return f;
    }
    return NULL;
}

static nb_status allow_shared(gpu_context *c, gpu_function *f, uint32_t bytes, nb_error *err) {
    if (bytes <= f->shared) return NB_OK;
    if (bytes > c->info.traits.shared_max)
        return err_set(err, NB_ERR_INTERNAL, "%s: kernel %s wants %u bytes of shared memory, the device has %zu",
                       c->name, f->kernel->name, bytes, c->info.traits.shared_max);
    nb_status status = NB_OK;
    if (c->calls.function_set && bytes > SHARED_ALWAYS)
        status = GPU_TRY(c, function_set, f->function, FUNCTION_SHARED_MAX, (int)bytes);
    if (status) return err_prefix(err, status, "kernel %s", f->kernel->name);
    f->shared = bytes;
    return NB_OK;
}

nb_status gpu_function_of(gpu_context *c, const gpu_launch *l, void **out, nb_error *err) {
    gpu_function *f = place_of(c, l->kernel);
    if (!f) return err_set(err, NB_ERR_INTERNAL, "too many kernels");
    if (!f->kernel) {
        void *module = NULL, *function = NULL;
        nb_status status = module_of(c, l->kernel->module, &module, err);
        if (status) return status;
        status = GPU_TRY(c, function_get, &function, module, l->kernel->name);
        if (status) return err_prefix(err, status, "kernel %s of \"%s\"", l->kernel->name, l->kernel->module);
        *f = (gpu_function){l->kernel, function, 0};
    }
    *out = f->function;
    return allow_shared(c, f, l->shared, err);
}

/* CUDA's CUlaunchConfig and CUlaunchAttribute: "programmatic stream serialization", the launch need not wait for the
 * end of the one before. */
typedef struct launch_attribute {
    int id, unused;
    union {
        int value;
        char bytes[64];
    };
} launch_attribute;
typedef struct launch_config {
    unsigned grid[3], block[3], shared;
    void *stream;
    const launch_attribute *attributes;
    unsigned n_attributes;
} launch_config;
static const launch_attribute may_overlap = {.id = 6, .value = 1};

nb_status gpu_launch_kernel(gpu_context *c, const gpu_launch *l, nb_error *err) {
    void *function;
    nb_status status = gpu_function_of(c, l, &function, err);
    if (status) return status;
    /* Numbers that stand for pointers: what is asked for comes behind each. */
    size_t size = l->params_size;
    void *extra[] = {(void *)(uintptr_t)EXTRA_BUFFER, (void *)(uintptr_t)l->params, (void *)(uintptr_t)EXTRA_SIZE,
                     &size, (void *)(uintptr_t)c->vendor->extra_end};
    if (c->overlaps) {
        const launch_config config = {.grid = {l->grid[0], l->grid[1], l->grid[2]},
                                      .block = {l->block, 1, 1},
                                      .shared = l->shared,
                                      .stream = c->stream,
                                      .attributes = &may_overlap,
                                      .n_attributes = 1};
        status = GPU_TRY(c, launch_with, &config, function, NULL, extra);
    } else {
        status = GPU_TRY(c, launch, function, l->grid[0], l->grid[1], l->grid[2], l->block, 1, 1, l->shared, c->stream,
                         NULL, extra);
    }
    if (!status) return NB_OK;
    return err_prefix(err, status, "kernel %s, %u x %u x %u blocks of %u threads, %u bytes shared", l->kernel->name,
                      l->grid[0], l->grid[1], l->grid[2], l->block, l->shared);
}

void gpu_modules_free(gpu_context *c) {
    for (int i = 0; i < c->n_modules; i++) GPU_DROP(c, module_unload, c->modules[i].module);
    c->n_modules = 0;
}
