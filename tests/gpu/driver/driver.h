/* SPDX-License-Identifier: Apache-2.0
 *
 * Drivers' libraries for tests: libcuda over the simulation (tests/gpu/sim), libamdhip64 over the executor of AMD's
 * machine code (tests/gfx). What the two interfaces share is written once and compiled for each; what stands behind
 * them, who reads modules and runs kernels, is in device.c of each one's folder. */
#ifndef NB_TESTS_GPU_DRIVER_H
#define NB_TESTS_GPU_DRIVER_H

#include "gpu/sim/sim.h"

#define EXPORT __attribute__((visibility("default")))

/* The beginning of a function of the interface, by its name in either. */
#ifdef FAKE_HIP
#    define FN(cuda, hip) EXPORT int hip
#else
#    define FN(cuda, hip) EXPORT int cuda
#endif

/* Errors, which HIP numbers as CUDA does. */
enum {
    DRIVER_OK = 0,
    DRIVER_INVALID_VALUE = 1,
    DRIVER_NO_MEMORY = 2,
    DRIVER_NOT_INITIALIZED = 3,
    DRIVER_INVALID_DEVICE = 101,
    DRIVER_INVALID_IMAGE = 200,
    DRIVER_INVALID_CONTEXT = 201,
    DRIVER_INVALID_HANDLE = 400,
    DRIVER_NOT_FOUND = 500,
    DRIVER_NOT_READY = 600,
    DRIVER_LAUNCH_FAILED = 719,
    DRIVER_CAPTURE_UNSUPPORTED = 900
};

typedef enum work_kind { WORK_LAUNCH, WORK_GEMM, WORK_COPY, WORK_FILL, WORK_EVENT } work_kind;

typedef struct sim_event {
    bool recorded; /* at least once */
    int n_queued;  /* records that have not come about */
    double seconds;
} sim_event;

/* Something in the queue, or in a graph. */
typedef struct sim_item {
    work_kind kind;
    const void *kernel; /* the device's */
    uint32_t grid[3], block, shared;
    uint8_t params[GPU_MAX_PARAMS];
    size_t params_size;
    gpu_gemm gemm;
    void *to; /* GEMM: its workspace, which it may leave in any state */
    const void *from;
    size_t bytes;
    uint8_t value;
    sim_event *event;
} sim_item;

/* Puts it into the queue, or into the graph that is being captured. For the GEMM libraries. */
EXPORT int sim_submit(void *stream, const sim_item *item);
/* Says on stderr what was wrong; returns `error`. */
EXPORT int sim_wrong(int error, const char *format, ...) NB_PRINTF(2, 3);
/* What is wrong with a product; NULL: nothing. Checks shapes, strides, and that the memory is the device's. */
EXPORT const char *sim_wrong_gemm(const gpu_gemm *g);
EXPORT bool sim_is_memory(const void *p, size_t bytes);

/* ---- device.c of each folder, and what differs between the interfaces -------------------------------------------- */

/* What keeps a call from being made at all; 0: nothing. */
int driver_ready(void);
bool driver_started(void);

typedef struct device_module device_module;
/* NULL: `error` says what is wrong with it. */
device_module *device_load(const void *image, char error[SIM_ERROR_TEXT]);
void device_unload(device_module *m);
const void *device_kernel(device_module *m, const char *name); /* NULL: there is none */
/* Bytes of the kernel's params that a host has to give. */
size_t device_params_size(const void *kernel);
bool device_allows_shared(const void *kernel, uint32_t bytes);
bool device_waits(
    const void *kernel); /* CUDA: for the launch in front, so that it may begin before that one has ended */
bool device_run(const sim_item *item, char error[SIM_ERROR_TEXT]);
/* Memory that kernels may touch from now on, or no more. */
void device_memory(void *p, size_t bytes, bool there);

#endif
