/* SPDX-License-Identifier: Apache-2.0
 *
 * An executor over two: the first layers of a model on one device (the CPU), the others on another one. What crosses
 * from one to the other goes through the host's memory. */
#ifndef NB_ENGINE_SPLIT_H
#define NB_ENGINE_SPLIT_H

#include "plan/backend.h"
#include "plan/split.h"

/* Where a part runs. */
typedef struct split_side {
    const backend *backend;
    device *device;
} split_side;

/* sides: of PLAN_HEAD and PLAN_TAIL. p and its parts, the devices and the files must outlive the executor. To the
 * outside it is one of the whole plan: an observer gets the whole plan's step numbers. */
nb_status split_executor_new(const plan *p, const plan_parts *parts, const split_side sides[2], const weights *files,
                             const executor_options *options, executor **out, nb_error *err);
/* The executor of one part, for whom a single device's memory is what it can read (a watch). */
executor *split_executor_part(executor *e, int part);

#endif
