/* SPDX-License-Identifier: Apache-2.0
 *
 * What the simulated driver's library shares with the simulated GEMM library: the queue. */
#ifndef NB_TESTS_GPU_CUDA_H
#define NB_TESTS_GPU_CUDA_H

#include "gpu/sim/sim.h"

#define EXPORT __attribute__((visibility("default")))

/* Errors, as CUDA numbers them. */
enum {
    CUDA_OK = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_NO_MEMORY = 2,
    CUDA_NOT_INITIALIZED = 3,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_IMAGE = 200,
    CUDA_INVALID_CONTEXT = 201,
    CUDA_INVALID_HANDLE = 400,
    CUDA_NOT_FOUND = 500,
    CUDA_NOT_READY = 600,
    CUDA_ILLEGAL_ADDRESS = 700,
    CUDA_OUT_OF_RESOURCES = 701,
    CUDA_LAUNCH_FAILED = 719,
    CUDA_CAPTURE_UNSUPPORTED = 900
};

typedef enum work_kind { WORK_LAUNCH, WORK_GEMM, WORK_COPY, WORK_FILL, WORK_EVENT } work_kind;

typedef struct sim_event {
    bool recorded;
    double seconds;
} sim_event;

/* Something in the queue, or in a graph. */
typedef struct sim_item {
    work_kind kind;
    const sim_kernel *kernel;
    uint32_t grid[3], block, shared;
    uint8_t params[GPU_MAX_PARAMS];
    size_t params_size;
    gpu_gemm gemm;
    void *to;
    const void *from;
    void *staged; /* COPY from memory of the host that is not pinned: a copy of it, made when it was asked for */
    size_t bytes;
    uint8_t value;
    sim_event *event;
} sim_item;

/* Puts it into the queue, or into the graph that is being captured. */
EXPORT int sim_submit(void *stream, const sim_item *item);

#endif
