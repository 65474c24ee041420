/* SPDX-License-Identifier: Apache-2.0
 *
 * Each module is loaded when its first kernel is launched, from the code that is built into the library or
 * from a folder of code objects. */
#include "gfx/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gfx/gfx.h"
#include "gpu/driver.h"
#include "gpu/sim/sim.h"

enum { MOST_MODULES = 128 };
static const char *arch = "gfx1151", *folder;
static struct {
    char name[64];
    gfx_object *object;
} modules[MOST_MODULES];
static size_t n_modules;

void gfx_device_arch(const char *name) {
    arch = name;
}

void gfx_device_folder(const char *path) {
    folder = path;
}

void gfx_device_free_modules(void) {
    while (n_modules > 0) gfx_object_free(modules[--n_modules].object);
}

/* FOLDER/NAME.ARCH */
static gfx_object *load_file(const char *name, char error[SIM_ERROR_TEXT]) {
    char path[1000];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, arch);
    FILE *f = fopen(path, "rb");
    gfx_object *o = NULL;
    void *data = f && fstat(fileno(f), &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    if (data && fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size)
        o = gfx_object_load(data, (size_t)st.st_size, error, SIM_ERROR_TEXT);
    else
        snprintf(error, SIM_ERROR_TEXT, "%.300s cannot be read", path);
    if (f) fclose(f);
    free(data);
    return o;
}

static gfx_object *load_built_in(const char *name, char error[SIM_ERROR_TEXT]) {
    const gpu_code *code = gpu_code_find(name, arch);
    char *data;
    nb_error err;
    if (!code) {
        snprintf(error, SIM_ERROR_TEXT, "there is no code \"%s\" for %s", name, arch);
        return NULL;
    }
    if (gpu_code_unpack(code, &data, &err)) {
        snprintf(error, SIM_ERROR_TEXT, "%.300s", err.text);
        return NULL;
    }
    gfx_object *o = gfx_object_load(data, code->size, error, SIM_ERROR_TEXT);
    free(data);
    return o;
}

static gfx_object *module_of(const char *name, char error[SIM_ERROR_TEXT]) {
    for (size_t i = 0; i < n_modules; i++)
        if (strcmp(modules[i].name, name) == 0) return modules[i].object;
    if (n_modules == MOST_MODULES) {
        snprintf(error, SIM_ERROR_TEXT, "too many modules");
        return NULL;
    }
    gfx_object *o = folder ? load_file(name, error) : load_built_in(name, error);
    if (!o) return NULL;
    snprintf(modules[n_modules].name, sizeof modules[n_modules].name, "%s", name);
    modules[n_modules++].object = o;
    return o;
}

static bool gemm(const gpu_gemm *g, char error[SIM_ERROR_TEXT]) {
    if (!sim_gemm(g, error)) return false;
    for (int64_t i = 0; i < g->m; i++)
        gfx_memory_written((const float *)g->y + i * g->y_stride, (size_t)g->n * sizeof(float));
    return true;
}

static bool launch(const gpu_launch *l, char error[SIM_ERROR_TEXT]) {
    if (!l->kernel) return gemm(&l->gemm, error);
    const gfx_object *o = module_of(l->kernel->module, error);
    if (!o) return false;
    const gfx_launch g = {.object = o,
                          .kernel = gfx_object_kernel(o, l->kernel->name),
                          .grid = {l->grid[0], l->grid[1], l->grid[2]},
                          .block = {l->block, 1, 1},
                          .dynamic_lds = l->shared,
                          .kernarg = l->params,
                          .kernarg_size = l->params_size};
    if (!g.kernel) {
        snprintf(error, SIM_ERROR_TEXT, "\"%s\" for %s has no kernel %s", l->kernel->module, arch, l->kernel->name);
        return false;
    }
    return gfx_run(&g, error, SIM_ERROR_TEXT);
}

const sim_device_kind gfx_device = {.backend = "hip",
                                    .name = "executed gfx11",
                                    .traits = {.caps = GPU_AMD | GPU_WMMA11 | GPU_MATRIX | GPU_GEMM16,
                                               .warp = 32,
                                               .n_processors = 4,
                                               .shared_max = GFX_LDS_MAX},
                                    .launch = launch,
                                    .added = gfx_memory_add_new,
                                    .wrote = gfx_memory_written,
                                    .removed = gfx_memory_remove};
