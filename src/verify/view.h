/* SPDX-License-Identifier: Apache-2.0
 *
 * Some outputs of a product, as a call of their own: what a matrix of a quarter of a million outputs should be is only
 * worked out where one looks. */
#ifndef NB_VERIFY_VIEW_H
#define NB_VERIFY_VIEW_H

#include "kernels/kernel.h"

typedef struct call_view {
    kcall call; /* MATMUL(_EXPERTS) with outputs [begin, end) of its weight; y has no data */
    kweight w;
    kweight *experts;
    void *bias; /* of experts: gathered */
} call_view;

/* Outputs [begin, end) of a product whose operands are in host memory, with the weight as it is stored. False: out of
 * memory. */
bool call_view_make(const kcall *c, int64_t begin, int64_t end, call_view *out);
void call_view_free(call_view *v);

#endif
