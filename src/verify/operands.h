/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands of a call, whole: where each lies and how long it is. What has to bring a call's operands from one
 * memory into another goes through this one list. */
#ifndef NB_VERIFY_OPERANDS_H
#define NB_VERIFY_OPERANDS_H

#include "kernels/kernel.h"

typedef struct operand {
    const char *name; /* "x", "page table", ...; static */
    const void *data;
    size_t bytes;   /* from data on */
    bool written;   /* by the call; what is only written in part is also read */
    bool of_weight; /* codes, scales, biases or a packed matrix */
} operand;

/* Gives back where the operand lies from now on (its own place: it stays), or NULL to stop. */
typedef void *operand_move(void *user, const operand *o);

/* A call with operands of its own, and what its pointers lead to on the host: descriptions of weights, and the list of
 * page tables while it is made. */
typedef struct call_copy {
    kcall call;
    kweight w;
    kweight *experts;
    const int32_t **tables;
} call_copy;

/* Makes copy->call from c with every operand moved. Small integers are moved first and then read in their new place if
 * `to_host`, else in the old one: one of the two is the host's memory. The call's page tables, whose list is an operand
 * as well, are moved once for each sequence. Operands at the same place stay together (a call that works in place).
 * False when move gave NULL or there is no memory. Free with call_copy_free in any case. */
bool call_move(const kcall *c, call_copy *copy, bool to_host, operand_move *move, void *user);
void call_copy_free(call_copy *copy);

/* Bytes of a matrix from its first element to its last. */
size_t kmat_bytes(const kmat *m);

#endif
