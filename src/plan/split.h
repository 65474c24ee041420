/* SPDX-License-Identifier: Apache-2.0
 *
 * Cutting a plan in two at a layer, for devices that run one part each. Values that the second part reads and the first
 * one makes cross from one to the other; what costs nothing is done twice instead. */
#ifndef NB_PLAN_SPLIT_H
#define NB_PLAN_SPLIT_H

#include "plan/plan.h"

typedef struct plan_part {
    plan *plan;   /* value numbers are the whole plan's; steps, weights, caches and states are counted anew: */
    int *steps;   /* [plan->n_steps]: numbers in the whole plan */
    int *weights; /* [plan->n_weights] */
} plan_part;

enum { PLAN_HEAD, PLAN_TAIL };
typedef struct plan_parts {
    plan_part at[2];
} plan_parts;

/* head: what comes before the layers, and those below first_layer; tail: the other layers and what comes behind. The
 * head's results are the tail's inputs, in the same order. In both stand: tables of angles, weights that both read, and
 * a cache that the tail reads and the head writes (layers that share keys and values), which each fills for itself.
 * p is a whole plan and must outlive the parts. Free with plan_parts_free, also after a failure. */
nb_status plan_split(const plan *p, int first_layer, plan_parts *out, nb_error *err);
void plan_parts_free(plan_parts *parts);

/* The first step of the tail. */
int plan_split_step(const plan *p, int first_layer);

#endif
