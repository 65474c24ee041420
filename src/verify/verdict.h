/* SPDX-License-Identifier: Apache-2.0
 *
 * What was found out about a device's kernels, remembered: one small file for each device, driver, nibble build and set
 * of shapes and types, in $NIBBLE_HOME/verdicts. Files appear whole (rename), so that processes do not harm each other;
 * one that cannot be read, or is somebody else's, counts as none. */
#ifndef NB_VERIFY_VERDICT_H
#define NB_VERIFY_VERDICT_H

#include "kernels/device.h"
#include "verify/finding.h"

enum { VERDICT_MAX_ASIDE = 1024 }; /* more than any device has rows */

/* A row that is not to be used. */
typedef struct verdict_aside {
    char kernel[96];
    finding_kind kind;
    char what[320], where[400];
    char instead[96]; /* what the model uses in its place; "": nothing needs to be, or nothing is left */
    double slowdown;  /* how many times as long that takes; 0: not measured */
} verdict_aside;

typedef struct verdict {
    device_info device;
    char version[32];   /* nibble's */
    uint64_t model_set; /* hash of the shapes and types that it holds for; 0: the whole registry */
    char model[256];    /* the path that it was made with, for people; "" */
    char date[32];      /* ISO 8601, UTC */
    bool full;          /* made by more than the quick check */
    int64_t n_kernels;  /* that were checked on made-up operands; 0: it does not spare the check at load */
    /* verdict_names of all that was not used when it was made: what takes the place of these rows was checked. */
    uint64_t without;
    verdict_aside *aside;
    size_t n_aside;
} verdict;

/* Frees what it holds. */
void verdict_free(verdict *v);
/* Adds a row that was found to be wrong, or says more of one that is there. False: out of memory. */
bool verdict_add(verdict *v, const finding *f);
/* Adds what an older verdict for the same says beyond that. False: out of memory. */
bool verdict_merge(verdict *v, const verdict *older);
/* NULL: the row is not in it. */
verdict_aside *verdict_find(const verdict *v, const char *kernel);

/* A hash of the names of the rows in it, in any order; 0: it has none. */
uint64_t verdict_names(const verdict *v);

/* All rows that some verdict about this device as it is now says are wrong, whichever model showed it. */
nb_status verdict_known(const device_info *d, verdict *out, nb_error *err);
/* The verdict for this device and set; *found false when there is none that holds. */
nb_status verdict_read(const device_info *d, uint64_t model_set, verdict *out, bool *found, nb_error *err);
nb_status verdict_write(const verdict *v, nb_error *err);
/* Whether a verdict is of this device as it is now: its driver, and this build of nibble. */
bool verdict_is_of(const verdict *v, const device_info *d);
/* Visits all that can be read, of this and of other devices. */
nb_status verdict_each(void (*visit)(void *user, const verdict *v), void *user, nb_error *err);
/* Forgets all of them; *n: how many there were. */
nb_status verdict_forget(size_t *n, nb_error *err);

/* Now, as text. */
void verdict_date(char text[32]);

#endif
