/* SPDX-License-Identifier: Apache-2.0
 *
 * What reduce.h needs of shared memory. */
#ifndef NB_GPU_KERNELS_REDUCE_PARAMS_H
#define NB_GPU_KERNELS_REDUCE_PARAMS_H

enum { REDUCE_FLOATS = 32 /* the most warps that a block has */ };

#endif
