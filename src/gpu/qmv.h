/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of few tokens: what the rows of single weights and those of experts have in common. */
#ifndef NB_GPU_QMV_H
#define NB_GPU_QMV_H

#include "gpu/kernels/qmv_params.h"
#include "gpu/launch.h"

bool qmv_any_takes(const kcall *c);
/* table: scratch for experts that are not evenly spaced. */
void qmv_add_any(const kcall *c, void *table, gpu_launches *to);

#endif
