/* SPDX-License-Identifier: Apache-2.0
 *
 * Before weights are used: every scale and bias of a quantized matrix must be a number. */
#ifndef NB_PLAN_SCALES_H
#define NB_PLAN_SCALES_H

#include "base/pool.h"
#include "plan/plan.h"

/* NB_ERR_FORMAT names the tensor. Reads all scales, on all threads of the pool. */
nb_status plan_check_scales(const plan *p, pool *threads, nb_error *err);

#endif
