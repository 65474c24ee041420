/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry: the table of all rows that can run on this device, and which of them are set aside. */
#ifndef NB_KERNELS_REGISTRY_H
#define NB_KERNELS_REGISTRY_H

#include "kernels/kernel.h"

typedef struct kregistry kregistry;

nb_status kreg_new(kregistry **out, nb_error *err);
void kreg_free(kregistry *r);

/* Adds rows; the array must outlive the registry. Names must be new. */
nb_status kreg_add(kregistry *r, const krow *rows, size_t n, nb_error *err);

size_t kreg_count(const kregistry *r);
const krow *kreg_at(const kregistry *r, size_t i);
const krow *kreg_named(const kregistry *r, const char *name); /* NULL when there is none */

/* The best row that takes the call and is not set aside; NULL when none does. For MATMUL the call's weight and x.type
 * must be what the row reads (row->layout NULL or equal to w->layout; x.type == row->x_type). */
const krow *kreg_find(const kregistry *r, const kcall *c);
/* Whether this one row takes the call (set aside or not). */
bool kreg_takes(const krow *row, const kcall *c);

/* Sets rows aside, or takes them back, by a list of patterns as NIBBLE_KERNELS has it: "-matmul.*avx512*,+matmul.*".
 * '*' stands for any text; later entries win. An entry that matches no row changes nothing: the list may be meant for
 * several devices, of which each has its own rows. NB_ERR_ARGUMENT for one without a sign. */
nb_status kreg_select(kregistry *r, const char *patterns, nb_error *err);
/* The first entry of such a list that matches no row of any of n registries, and its length; NULL: there is none. */
const char *kreg_unmatched(const kregistry *const *all, size_t n, const char *patterns, size_t *length);
bool kreg_is_aside(const kregistry *r, const krow *row);
void kreg_set_aside(kregistry *r, const krow *row, bool aside);

#endif
