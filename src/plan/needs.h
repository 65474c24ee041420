/* SPDX-License-Identifier: Apache-2.0
 *
 * How much memory a plan needs, and how much of it its layers: for saying before loading what does not fit. */
#ifndef NB_PLAN_NEEDS_H
#define NB_PLAN_NEEDS_H

#include "plan/executor.h"

/* Bytes on a device that holds weights as they are stored. */
typedef struct plan_bytes {
    int64_t weights; /* matrices and vectors */
    int64_t kv;      /* of n_pages pages */
    int64_t states;  /* of n_slots slots */
} plan_bytes;

/* Of what stands in the layers from first_layer on and behind them (as the tail of plan_split has it); PLAN_NONE: of
 * the whole plan. What several steps share counts once. options: pages, slots and the cache's type; NULL: weights only.
 */
plan_bytes plan_needs(const plan *p, int first_layer, const executor_options *options);
/* What a layer by itself adds. */
plan_bytes plan_layer_needs(const plan *p, int layer, const executor_options *options);
int64_t plan_bytes_sum(const plan_bytes *b);

#endif
