/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameters of every kernel, as device code and host see them: one struct for each, at most GPU_MAX_PARAMS bytes
 * (gpu/launch.h), passed by value. Fields are pointers, 64-bit and 32-bit integers and floats, laid out alike on all
 * sides. Types are gpu_type (gpu.h), strides and offsets in elements. Each family of operations has its own header. */
#ifndef NB_GPU_KERNELS_PARAMS_H
#define NB_GPU_KERNELS_PARAMS_H

#ifdef NB_GPU_DEVICE_CODE
#    include "gpu.h"
#else
#    include <stdint.h>
#    define GLOBAL
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;
#endif

enum { GPU_KERNEL_PARTS = 3 };
/* How the params of a kernel begin that several calls can share (gpu/launch.h): parts follow. */
typedef struct gpu_parts {
    u32 n, first[GPU_KERNEL_PARTS];
} gpu_parts;

#ifdef NB_GPU_DEVICE_CODE
/* The part that this block belongs to; the block's number in it. */
INLINE u32 gpu_part_of(const gpu_parts *p, u32 *block) {
    u32 which = 0;
    UNROLL for (u32 i = 1; i < GPU_KERNEL_PARTS; i++) which += i < p->n && bid_x() >= p->first[i];
    *block = bid_x() - p->first[which];
    return which;
}
#endif

/* A row-major matrix; type 0 or data NULL: absent. */
typedef struct gpu_mat {
    GLOBAL u8 *data;
    i64 stride;
    u32 type, rows, cols, unused;
} gpu_mat;

typedef struct gpu_vec {
    const GLOBAL u8 *data;
    u32 type, unused;
} gpu_vec;

/* Keys or values: see kpages. */
typedef struct gpu_pages {
    GLOBAL u8 *data;
    u32 type, n_heads, page_size, head_dim;
} gpu_pages;

/* A weight: see kweight. Matrices of experts lie evenly spaced, or where a table says. Where codes are words of 32 bits
 * and where not, how far the addresses are aligned is for the row to ask (gpu/weight.h). */
typedef struct gpu_weight {
    const GLOBAL u8 *codes, *scales, *biases; /* biases NULL: they are 0 */
    i64 codes_step, scales_step;              /* bytes from one expert's to the next one's; biases as scales */
    const GLOBAL u64 *table;                  /* NULL: evenly spaced; else [n_experts][3]: addresses */
    u32 n, k;
    u32 type; /* of the elements, of affine scales and biases; else 0 */
    u32 group_size;
} gpu_weight;

struct fill_table_params {
    GLOBAL u64 *table;
    u32 first, n; /* entries of 3 addresses */
    u64 entries[3 * 8];
};

#endif
