/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of a GPU's driver that nibble makes. CUDA's driver API and HIP agree in nearly all of them up to the name,
 * so both are one table of function pointers, and one implementation of gpu_driver (driver.c) serves both; what differs
 * is in a gpu_vendor. Handles and device addresses are pointers here, as wide as they are there. */
#ifndef NB_GPU_API_H
#define NB_GPU_API_H

#include "gpu/driver.h"
#include "gpu/library.h"

/* All return 0 or the driver's error. Names as in CUDA; a vendor that has no such call leaves its name out. */
#define GPU_CALLS(X)                                                                                                   \
    X(init, (unsigned flags))                                                                                          \
    X(driver_version, (int *out))                                                                                      \
    X(device_count, (int *out))                                                                                        \
    X(device_get, (int *out, int index))                                                                               \
    X(device_name, (char *to, int size, int dev))                                                                      \
    X(device_attribute, (int *out, int attribute, int dev))                                                            \
    X(device_memory, (size_t * out, int dev))                                                                          \
    X(device_properties, (void *out, int index))                                                                       \
    X(device_properties_6, (void *out, int index))                                                                     \
    X(context_retain, (void **out, int dev))                                                                           \
    X(context_release, (int dev))                                                                                      \
    X(context_use, (void *context))                                                                                    \
    X(device_use, (int index))                                                                                         \
    X(memory_info, (size_t * free_bytes, size_t * total))                                                              \
    X(alloc, (void **out, size_t bytes))                                                                               \
    X(release, (void *p))                                                                                              \
    X(host_alloc, (void **out, size_t bytes, unsigned flags))                                                          \
    X(host_release, (void *p))                                                                                         \
    X(write, (void *to, const void *from, size_t bytes, void *stream))                                                 \
    X(read, (void *to, const void *from, size_t bytes, void *stream))                                                  \
    X(copy, (void *to, const void *from, size_t bytes, void *stream))                                                  \
    X(fill, (void *to, unsigned char value, size_t bytes, void *stream))                                               \
    X(stream_new, (void **out, unsigned flags))                                                                        \
    X(stream_free, (void *stream))                                                                                     \
    X(stream_wait, (void *stream))                                                                                     \
    X(module_load, (void **out, const void *image, unsigned n, int *options, void **values))                           \
    X(module_unload, (void *module))                                                                                   \
    X(function_get, (void **out, void *module, const char *name))                                                      \
    X(function_set, (void *function, int attribute, int value))                                                        \
    X(launch, (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,  \
               unsigned block_z, unsigned shared, void *stream, void **params, void **extra))                          \
    X(launch_with, (const void *config, void *function, void **params, void **extra))                                  \
    X(capture_begin, (void *stream, int mode))                                                                         \
    X(capture_end, (void *stream, void **graph))                                                                       \
    X(graph_make, (void **out, void *graph, unsigned long long flags))                                                 \
    X(graph_launch, (void *executable, void *stream))                                                                  \
    X(graph_exec_free, (void *executable))                                                                             \
    X(graph_free, (void *graph))                                                                                       \
    X(event_new, (void **out, unsigned flags))                                                                         \
    X(event_free, (void *event))                                                                                       \
    X(event_record, (void *event, void *stream))                                                                       \
    X(event_wait, (void *event))                                                                                       \
    X(event_elapsed, (float *milliseconds, void *from, void *to))                                                      \
    X(error_string, (int error, const char **out))

typedef enum gpu_call {
#define GPU_CALL(name, args) CALL_##name,
    GPU_CALLS(GPU_CALL)
#undef GPU_CALL
        N_CALLS
} gpu_call;

typedef struct gpu_calls {
#define GPU_CALL(name, args) int(*name) args;
    GPU_CALLS(GPU_CALL)
#undef GPU_CALL
} gpu_calls;

typedef struct gpu_vendor {
    const char *name, *title; /* "cuda", "CUDA" */
    const char *const *libraries;
    const char *symbols[N_CALLS];
    int attribute_warp, attribute_processors, attribute_shared, attribute_unified;
    int extra_end; /* what ends the list that carries a launch's parameters */
    bool compiles; /* the driver compiles modules, and may say what is wrong with them */
    /* Fills in arch, caps of the traits and why the device cannot be used. */
    void (*identify)(const gpu_calls *calls, int index, int dev, gpu_info *out);
    /* Fills in driver; false: it is too old, and out->unusable says so. */
    bool (*describe_driver)(int version, gpu_info *out);
    /* Whether launches may overlap, where there is launch_with. */
    bool (*overlaps)(const char *arch, int version);
} gpu_vendor;

extern const gpu_vendor gpu_cuda, gpu_hip;

/* errors.c: what the driver says about an error, and what it means ("": no more than that). */
const char *gpu_error_text(const gpu_calls *calls, int error);
const char *gpu_error_meaning(int error);

/* list.c: opens the vendor's library with all calls; false: `why` says what is missing. */
bool gpu_api_open(const gpu_vendor *v, gpu_calls *calls, char *why, size_t size);
void gpu_list_devices(const gpu_vendor *v, gpu_device_list *out);
/* Adds to a list what vendors' further libraries are for: loading them takes a quarter of a second. */
void gpu_list_libraries(const gpu_vendor *v, gpu_device_list *out);

#endif
