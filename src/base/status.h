/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors as values with text for people. Every fallible internal function returns an nb_status and takes an
 * nb_error* (may be NULL) that it fills on failure; on success the error is left untouched. */
#ifndef NB_BASE_STATUS_H
#define NB_BASE_STATUS_H

#include <stdarg.h>

#include "nibble.h"

#if defined(__GNUC__)
#    define NB_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#    define NB_PRINTF(f, a)
#endif

/* Fills *err (when not NULL) with a one-line text and returns `status`. */
nb_status err_set(nb_error *err, nb_status status, const char *format, ...) NB_PRINTF(3, 4);

/* The usual "out of memory" error; `what` names what the memory was for, `bytes` how much (0 = unknown). */
nb_status err_no_memory(nb_error *err, const char *what, size_t bytes);

/* Puts "<prefix>: " in front of the text of an error that is already set; returns its status. */
nb_status err_prefix(nb_error *err, nb_status status, const char *format, ...) NB_PRINTF(3, 4);

#endif
