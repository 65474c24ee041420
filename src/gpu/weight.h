/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands of calls as kernels get them (kernels/params.h). */
#ifndef NB_GPU_WEIGHT_H
#define NB_GPU_WEIGHT_H

#include "gpu/kernels/params.h"
#include "gpu/launch.h"

/* A weight, or its experts. Matrices that are not evenly spaced need a table of GPU_TABLE_BYTES each at `table`, which
 * launches are added for: put them in front of those that read it. */
enum { GPU_TABLE_BYTES = 24, GPU_TABLE_MAX = 32 /* experts that a table may have */ };
gpu_weight gpu_weight_of(const kweight *w, void *table, gpu_launches *to);
/* Whether its matrices are evenly spaced, or few enough for a table; a row with experts takes no other. */
bool gpu_weight_ok(const kweight *w);
/* Whether all codes, and all scales and biases, lie at multiples of so many bytes. */
bool gpu_weight_aligned(const kweight *w, size_t codes, size_t scales);

gpu_mat gpu_mat_of(const kmat *m); /* absent: data NULL */
gpu_vec gpu_vec_of(const kvec *v);
gpu_pages gpu_pages_of(const kpages *p);
/* Whether data and rows lie at multiples of so many bytes (rows: of an absent or single row nothing is asked). */
bool gpu_mat_aligned(const kmat *m, size_t bytes);

#endif
