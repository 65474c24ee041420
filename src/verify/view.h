/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of a call, as calls of their own: some outputs of a product, since what a matrix of a quarter of a million
 * outputs should be is only worked out where one looks; some tokens of an operation that treats each alone. */
#ifndef NB_VERIFY_VIEW_H
#define NB_VERIFY_VIEW_H

#include "kernels/kernel.h"

typedef struct call_view {
    kcall call; /* MATMUL(_EXPERTS) with columns [begin, end) of what each matrix gives y; y has no data */
    kweight w;
    kweight *experts;
    void *bias, *rows; /* of experts, and of both halves of what is gated: gathered */
} call_view;

/* Columns [begin, end) of a product whose operands are in host memory, with the weight as it is stored: its outputs
 * [begin, end), and where they are gated by pairs those of the other half too. False: out of memory. */
bool call_view_make(const kcall *c, int64_t begin, int64_t end, call_view *out);
void call_view_free(call_view *v);

/* Tokens [from, from + n) of a call without states and without forms. */
kcall call_tokens(const kcall *c, int64_t from, int64_t n);

#endif
