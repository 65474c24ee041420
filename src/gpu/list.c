/* SPDX-License-Identifier: Apache-2.0
 *
 * Which devices a driver knows, and whether nibble can use them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/api.h"
#include "gpu/blas.h"

bool gpu_api_open(const gpu_vendor *v, gpu_calls *calls, char *why, size_t size) {
    gpu_library l;
    if (gpu_library_open(&l, v->libraries, NULL) && gpu_library_symbols(&l, v->symbols, N_CALLS, calls)) return true;
    snprintf(why, size, "%s", l.error);
    return false;
}

/* What a call's error says; false: it was none. */
static bool failed(const gpu_vendor *v, const gpu_calls *calls, gpu_call call, int error, char *to, size_t size) {
    const char *meaning = gpu_error_meaning(error);
    if (error == 0) return false;
    snprintf(to, size, "%s: %.120s (error %d)%s%s", v->symbols[call], gpu_error_text(calls, error), error,
             meaning[0] ? ": " : "", meaning);
    return true;
}

#define FAILED(call, to, ...) failed(v, calls, CALL_##call, calls->call(__VA_ARGS__), (to), sizeof(to))

static void describe(const gpu_vendor *v, const gpu_calls *calls, int index, int version, gpu_info *out) {
    int dev = 0, shared = 0, unified = 0;
    size_t memory = 0;
    gpu_traits *t = &out->traits;
    if (FAILED(device_get, out->unusable, &dev, index) ||
        FAILED(device_name, out->unusable, out->name, (int)sizeof out->name, dev) ||
        FAILED(device_memory, out->unusable, &memory, dev) ||
        FAILED(device_attribute, out->unusable, &t->warp, v->attribute_warp, dev) ||
        FAILED(device_attribute, out->unusable, &t->n_processors, v->attribute_processors, dev) ||
        FAILED(device_attribute, out->unusable, &shared, v->attribute_shared, dev) ||
        FAILED(device_attribute, out->unusable, &unified, v->attribute_unified, dev))
        return;
    t->memory = memory;
    t->shared_max = (size_t)shared;
    t->unified = unified != 0;
    if (!v->describe_driver(version, out)) return;
    v->identify(calls, index, dev, out);
    if (!out->unusable[0] && !gpu_code_arch(out->arch))
        snprintf(out->unusable, sizeof out->unusable, "this build of nibble has no kernels for %s", out->arch);
}

void gpu_list_devices(const gpu_vendor *v, gpu_device_list *out) {
    gpu_calls table, *calls = &table;
    int n = 0, version = 0;
    *out = (gpu_device_list){0};
    if (!gpu_api_open(v, calls, out->absent, sizeof out->absent)) return;
    if (FAILED(init, out->absent, 0) || FAILED(driver_version, out->absent, &version) ||
        FAILED(device_count, out->absent, &n))
        return;
    if (n <= 0) snprintf(out->absent, sizeof out->absent, "the driver knows no device");
    if (n > GPU_MAX_DEVICES) n = GPU_MAX_DEVICES;
    out->version = version;
    for (int i = 0; i < n; i++) describe(v, calls, i, version, &out->at[i]);
    out->n = n > 0 ? n : 0;
}

void gpu_list_libraries(const gpu_vendor *v, gpu_device_list *out) {
    char gemm[sizeof out->at[0].gemm];
    bool usable = false;
    for (int i = 0; i < out->n; i++) usable |= !out->at[i].unusable[0];
    if (!usable) return;
    const bool there = gpu_blas_there(v, out->version, gemm, sizeof gemm);
    for (int i = 0; i < out->n; i++) {
        if (there) out->at[i].traits.caps |= GPU_GEMM16;
        memcpy(out->at[i].gemm, gemm, sizeof gemm);
    }
}
