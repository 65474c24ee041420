/* SPDX-License-Identifier: Apache-2.0
 *
 * From a kernel call to launches. A GPU row does not compute: its `enqueue` turns the call, whose operands lie in the
 * device's memory, into a short list of launches, and knows no driver. The executor captures such lists into graphs,
 * device_run launches them at once. */
#ifndef NB_GPU_LAUNCH_H
#define NB_GPU_LAUNCH_H

#include "kernels/registry.h"

/* Traits that rows choose by. */
typedef struct gpu_traits {
    unsigned caps;     /* GPU_... */
    int warp;          /* threads that run in step: 32, on CDNA 64 */
    int n_processors;  /* multiprocessors, compute units */
    size_t shared_max; /* bytes that a block may have */
    uint64_t memory;   /* bytes of the device */
    bool unified;      /* it is the host's memory (an APU) */
} gpu_traits;

/* Bits of krow.needs on GPUs. */
enum {
    GPU_NVIDIA = 1, /* inline PTX: sm_80 and later */
    GPU_SM90 = 2,   /* what only sm_90a has */
    GPU_AMD = 4,
    GPU_WMMA11 = 8,       /* RDNA 3: wave matrix multiply */
    GPU_WMMA12 = 16,      /* RDNA 4 */
    GPU_MFMA = 32,        /* CDNA */
    GPU_MATRIX = 64,      /* any of these units: mma() of kernels/mma.h works */
    GPU_GEMM16 = 128,     /* a vendor's GEMM library is there */
    GPU_SHARED_128K = 256 /* a block may have 128 KiB of shared memory */
};

/* A kernel by the file that it stands in (src/gpu/kernels/MODULE.c) and its name. Static: the driver's handle is kept
 * by its address.
 * Launches of one kernel that stand side by side and do not depend on one another can be joined into a single one: its
 * params begin with u32 n, the number of parts, and u32 first[GPU_MAX_PARTS], the block (in grid x) that each begins
 * at; then come the parts, part_size bytes each. y and z of their grids, block and shared must agree, and as many bytes
 * of the parts' beginnings as `same` says. Where a launch has `room` for fewer blocks than there are, its blocks take
 * turns, and a part begins at a turn. */
typedef struct gpu_kernel {
    const char *module, *name;
    uint32_t part_size; /* 0: not to be joined */
    uint32_t same;
    uint32_t block_max; /* threads; 0: GPU_BLOCK_MAX. More have the modules of WIDE_BLOCKS in kernels.mk */
} gpu_kernel;
enum { GPU_MAX_PARTS = 3, GPU_PARTS_AT = 16, GPU_BLOCK_MAX = 256 };

/* A vendor's GEMM: y [m, n] f32 = x [m, k] w^T [n, k], x and w of `type` (f16 or bf16), sums in fp32; row-major,
 * strides in elements. y is overwritten, or with accumulate added to. */
typedef struct gpu_gemm {
    dtype type;
    bool accumulate;
    int64_t m, n, k, x_stride, w_stride, y_stride;
    const void *x, *w;
    void *y;
} gpu_gemm;

enum { GPU_MAX_PARAMS = 1024, GPU_MAX_LAUNCHES = 32 };

typedef struct gpu_launch {
    const gpu_kernel *kernel; /* NULL: the GEMM */
    uint32_t grid[3], block;  /* blocks; threads of each, a multiple of 64 */
    uint32_t shared;          /* bytes that each block shares */
    uint32_t room, turns;     /* room 0: grid[0] is all; else the most of grid[0], and the blocks that take turns */
    uint32_t params_size;
    _Alignas(16) uint8_t params[GPU_MAX_PARAMS];
    gpu_gemm gemm;
} gpu_launch;

/* They run one after the other. */
typedef struct gpu_launches {
    const gpu_traits *traits;
    int n;
    gpu_launch at[GPU_MAX_LAUNCHES];
} gpu_launches;

/* The launches of a call on a device with these traits; NB_ERR_INTERNAL: more, or larger ones, than fit. */
nb_status gpu_launches_of(const gpu_traits *traits, const krow *row, const kcall *c, void *scratch, gpu_launches *to,
                          nb_error *err);

/* Appends. params is the kernel's struct of kernels/params.h. grid dimensions must be at least 1, y and z at most
 * 65535. */
void gpu_add(gpu_launches *l, const gpu_kernel *k, int64_t grid_x, int64_t grid_y, int64_t grid_z, int block,
             size_t shared, const void *params, size_t params_size);
/* For kernels that can be joined: `part` becomes the first part. */
void gpu_add_part(gpu_launches *l, const gpu_kernel *k, int64_t grid_x, int64_t grid_y, int64_t grid_z, int block,
                  size_t shared, const void *part);
/* The same where blocks take turns. */
void gpu_add_turns(gpu_launches *l, const gpu_kernel *k, int64_t turns, int64_t room, int block, size_t shared,
                   const void *part);
/* Makes b part of a, if they can be joined. */
bool gpu_can_join(const gpu_launch *a, const gpu_launch *b);
void gpu_join(gpu_launch *a, const gpu_launch *b);
void gpu_add_gemm(gpu_launches *l, const gpu_gemm *g);

/* For krow.tasks: a call is a single task. */
int64_t gpu_one_task(const krow *row, const kcall *c);

/* rows.c: adds all rows of which the device has what they need. */
nb_status gpu_register(kregistry *r, unsigned caps, nb_error *err);

#endif
