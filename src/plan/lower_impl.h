/* SPDX-License-Identifier: Apache-2.0
 *
 * What lower.c and fuse.c share. */
#ifndef NB_PLAN_LOWER_IMPL_H
#define NB_PLAN_LOWER_IMPL_H

#include "plan/lower.h"

enum { PLACE_UNIT = 256 }; /* values lie at multiples of it */

/* A step of the plan, with what other steps it computes as well. */
typedef struct unit {
    int step;              /* what it is at heart */
    int x, z, residual, y; /* values */
    int norm;              /* RMSNORM step that x goes through first; PLAN_NONE: none */
    int rope;              /* KV_STORE: ROPE step that x goes through then */
    int scale;             /* RMSNORM: SCALE step that y goes through then */
    int pair;              /* products: ACT_MUL step whose pair of weights it multiplies with */
    bool gone;             /* another unit computes it, or nothing is to be done */
    const krow *row;       /* of products */
} unit;

/* A piece of work memory: a plan's value as fp32, or in a form. */
typedef struct slot {
    dtype type;
    int64_t rows, cols, group;
    size_t bytes, offset;
    int first, last; /* calls that make it and read it last */
} slot;

/* How one value is wanted by its readers. */
typedef struct want {
    bool f32;   /* someone reads it as fp32 */
    dtype form; /* someone reads it in this form; DT_NONE: nobody */
    int64_t group;
    bool many_forms; /* readers disagree about the form */
} want;

/* For each call: its slots. */
typedef struct call_slots {
    int x, z, residual, y;
} call_slots;

typedef struct lowering {
    const lower_target *t;
    program *program;
    int cap_calls;
    unit *units; /* [n_steps] */
    slot *slots;
    int n_slots, cap_slots;
    int *f32_slot;  /* [n_values], -1: not there */
    int *form_slot; /* [n_values]: the form last made of this value */
    want *wants;    /* [n_values] */
    call_slots *uses;
    bool failed; /* out of memory */
} lowering;

int64_t lower_rows_of(const lowering *l, int value);
/* The call of a unit with operands that are somewhere, x and y as fp32. */
kcall lower_probe(const lowering *l, const unit *u);
/* The best row for a unit, of a product whatever form of x it reads. */
const krow *lower_best_row(const lowering *l, const unit *u);

/* fuse.c: merges units. False: no memory. */
bool lower_fuse(lowering *l);

#endif
