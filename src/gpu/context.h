/* SPDX-License-Identifier: Apache-2.0
 *
 * A device that is open: its queue, the modules that were loaded, and what went wrong for good. */
#ifndef NB_GPU_CONTEXT_H
#define NB_GPU_CONTEXT_H

#include "gpu/api.h"
#include "gpu/blas.h"

enum { GPU_MAX_MODULES = 64, GPU_MAX_FUNCTIONS = 1024, GPU_STAGING = 4 << 20 /* bytes of a piece */ };

typedef struct gpu_module {
    const gpu_code *code;
    void *module;
} gpu_module;

typedef struct gpu_function {
    const gpu_kernel *kernel;
    void *function;
    uint32_t shared; /* bytes that a block may have */
} gpu_function;

struct gpu_context {
    const gpu_vendor *vendor;
    gpu_calls calls;
    gpu_info info;
    char name[128];          /* "cuda:0 (NVIDIA H100 80GB HBM3)" */
    int index, dev, version; /* of the driver */
    void *context;           /* CUDA's; NULL: HIP has none */
    bool retained;           /* the context, which is to be released */
    void *stream;
    gpu_module modules[GPU_MAX_MODULES];
    int n_modules;
    gpu_function functions[GPU_MAX_FUNCTIONS]; /* a hash table by the kernel's address */
    gpu_blas *blas;
    void *blas_memory;
    bool overlaps; /* launches may begin before the one in front has ended: PTX says where they wait */
    struct {
        void *memory;     /* pinned: two pieces */
        void *written[2]; /* events: the piece may be written again */
    } staging;
    char lost[700]; /* the error after which nothing works any more; "": none */
};

/* Made of an error of a call: what failed, where, and what it means. A lasting one is kept. `wanted`: bytes, where
 * memory was asked for. */
nb_status gpu_failed(gpu_context *c, gpu_call call, int error, size_t wanted, nb_error *err);
/* At the beginning of each function: the context becomes the thread's; fails when the device is lost. */
nb_status gpu_enter(gpu_context *c, nb_error *err);

/* Calls the driver; an nb_status. */
#define GPU_TRY(c, call, ...) gpu_checked((c), CALL_##call, (c)->calls.call(__VA_ARGS__), err)
static inline nb_status gpu_checked(gpu_context *c, gpu_call call, int error, nb_error *err) {
    return error ? gpu_failed(c, call, error, 0, err) : NB_OK;
}

/* For calls that give something back: there is nobody to tell, so the log says what failed. On a device that was lost
 * before all of them fail, which is no news. */
#define GPU_DROP(c, call, ...) gpu_dropped((c), CALL_##call, (c)->calls.call(__VA_ARGS__))
void gpu_dropped(gpu_context *c, gpu_call call, int error);

/* module.c */
nb_status gpu_function_of(gpu_context *c, const gpu_launch *l, void **out, nb_error *err);
nb_status gpu_launch_kernel(gpu_context *c, const gpu_launch *l, nb_error *err);
void gpu_modules_free(gpu_context *c);

#endif
