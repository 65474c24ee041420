/* SPDX-License-Identifier: Apache-2.0
 *
 * Fault injection: makes one chosen allocation of nibble's fail. Linked into tests named *_oom.c, whose calls of malloc
 * and its kin the linker redirects here (--wrap); allocations inside other libraries are not touched. */
#ifndef NB_TESTS_FAIL_ALLOC_H
#define NB_TESTS_FAIL_ALLOC_H

#include <stdbool.h>

#include "nibble.h"

/* Runs fn again and again, with its first allocation failing, then its second, ... until it succeeds untouched. Each
 * failed run must return NB_ERR_NO_MEMORY with a text. fn frees what it made; a leak check is the sanitizers' work.
 * Past the first `dense` allocations it goes on in steps that grow by an eighth of the way, since a large model has
 * very many. Returns how many runs failed as they should; fails the test (cmocka) where one did not. */
long fail_each_allocation(nb_status (*fn)(void *user, nb_error *err), void *user, long dense);

#endif
