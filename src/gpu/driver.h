/* SPDX-License-Identifier: Apache-2.0
 *
 * What nibble asks of a GPU's driver, and of the vendor's GEMM library: one small interface, behind which CUDA's and
 * HIP's libraries are opened at run time. Nothing of them is needed to build or to start. */
#ifndef NB_GPU_DRIVER_H
#define NB_GPU_DRIVER_H

#include "gpu/launch.h"

/* A device as its driver describes it. */
typedef struct gpu_info {
    char name[96];      /* "NVIDIA H100 80GB HBM3" */
    char arch[32];      /* "sm_90", "gfx1151" */
    char driver[96];    /* "CUDA 13.0, driver 580.159" */
    char unusable[200]; /* why nibble does not use it; "": it does */
    char gemm[400];     /* the vendor's libraries for products, or why there is none; "": nobody has looked */
    gpu_traits traits;
    uint64_t free_memory; /* when it was asked */
} gpu_info;

enum { GPU_MAX_DEVICES = 64 };

typedef struct gpu_device_list {
    int n;
    int version; /* of the driver, as it numbers them */
    gpu_info at[GPU_MAX_DEVICES];
    char absent[400]; /* n == 0: why: "libcuda.so.1 cannot be opened: ..." */
} gpu_device_list;

typedef struct gpu_context gpu_context; /* a device that is open: the driver's own */
typedef struct gpu_graph gpu_graph;
typedef struct gpu_event gpu_event;

/* All functions but `list` belong to an open context; each fails with NB_ERR_INTERNAL (NB_ERR_NO_MEMORY where memory
 * ran out) and a line that names the call, the driver's error and the device. After an error that the device does not
 * recover from in this process, all of them fail with it. A context is used by one thread at a time, any one.
 * Work is put into one queue and runs in order; copies from and to the host wait for what is before them. */
typedef struct gpu_driver {
    const char *name; /* "cuda", "hip" */
    /* Opens the library in this process and starts the driver: from then on, no child process of it can use the device.
     * Who only wants to know what there is asks gpu_devices. */
    void (*list)(gpu_device_list *out);
    nb_status (*open)(int index, gpu_context **out, nb_error *err);
    bool (*runs)(void); /* whether `list` or `open` was called in this process */
    void (*close)(gpu_context *c);
    nb_status (*alloc)(gpu_context *c, size_t bytes, void **out, nb_error *err); /* aligned to 256 */
    void (*release)(gpu_context *c, void *p);
    nb_status (*alloc_host)(gpu_context *c, size_t bytes, void **out, nb_error *err); /* pinned: fast copies */
    void (*release_host)(gpu_context *c, void *p);
    nb_status (*memory)(gpu_context *c, uint64_t *free_bytes, uint64_t *total, nb_error *err);
    nb_status (*write)(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err);
    nb_status (*read)(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err);
    /* In the queue, without waiting; `from` / `to` of the host must be from alloc_host and stay untouched until sync.
     */
    nb_status (*write_async)(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err);
    nb_status (*read_async)(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err);
    nb_status (*copy)(gpu_context *c, void *to, const void *from, size_t bytes, nb_error *err);
    nb_status (*clear)(gpu_context *c, void *to, size_t bytes, nb_error *err); /* to zero */
    nb_status (*launch)(gpu_context *c, const gpu_launch *l, nb_error *err); /* loads the kernel's module if need be */
    nb_status (*sync)(gpu_context *c, nb_error *err);
    /* What is put into the queue between the two becomes a graph instead of running. Kernels and the GEMM library must
     * have been made ready by `prepare` before. */
    nb_status (*prepare)(gpu_context *c, const gpu_launch *l, nb_error *err);
    nb_status (*capture_begin)(gpu_context *c, nb_error *err);
    nb_status (*capture_end)(gpu_context *c, gpu_graph **out, nb_error *err); /* after a failure too: *out = NULL */
    nb_status (*graph_launch)(gpu_context *c, gpu_graph *g, nb_error *err);
    void (*graph_free)(gpu_context *c, gpu_graph *g);
    nb_status (*event_new)(gpu_context *c, gpu_event **out, nb_error *err);
    void (*event_free)(gpu_context *c, gpu_event *e);
    nb_status (*event_record)(gpu_context *c, gpu_event *e, nb_error *err);
    nb_status (*event_seconds)(gpu_context *c, gpu_event *from, gpu_event *to, double *out, nb_error *err); /* waits */
} gpu_driver;

extern const gpu_driver gpu_cuda_driver, gpu_hip_driver;

/* enumerate.c: what `list` says, asked in a child process, once; a driver that crashes or hangs only harms that one. */
const gpu_device_list *gpu_devices(const gpu_driver *d);

/* Machine code of the kernels, embedded by the build (kernels.mk), packed by zstd. */
typedef struct gpu_code {
    const char *module, *arch; /* "qmv", "ptx" or "gfx1151" or "gfx11-generic" */
    const unsigned char *packed;
    size_t packed_size, size;
} gpu_code;
extern const gpu_code gpu_code_table[]; /* module NULL: behind the last */
extern const char gpu_code_compiler[];  /* what made it: "Debian clang version 19.1.7"; "": nothing */

/* code.c. For a module of src/gpu/kernels/ and an architecture of the table; NULL: this build has none. */
const gpu_code *gpu_code_find(const char *module, const char *arch);
/* Unpacks it: code->size bytes and a zero byte, which is what the CUDA driver takes for the end of PTX. The caller
 * frees them. Errors: NB_ERR_NO_MEMORY. */
nb_status gpu_code_unpack(const gpu_code *code, char **out, nb_error *err);
/* The architecture of the table that a device of this one ("sm_90", "gfx1151") runs; NULL: none. */
const char *gpu_code_arch(const char *device_arch);
/* Whether there is any code for devices whose architecture begins so. */
bool gpu_code_any(const char *prefix);
uint64_t gpu_code_hash(const char *arch); /* NULL: of nothing */

#endif
