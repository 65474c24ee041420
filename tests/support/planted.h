/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU backend with a fault in rows that a test names, and a model as the verification wants it. Faults can be
 * switched on and off while they run; child processes get them as they are when they begin. */
#ifndef NB_TESTS_SUPPORT_PLANTED_H
#define NB_TESTS_SUPPORT_PLANTED_H

#include "engine/engine.h"
#include "verify/session.h"
#include "verify/used.h"

typedef enum planted_fault {
    PLANTED_NOTHING,
    PLANTED_WRONG, /* its first output is off by a tenth */
    PLANTED_NAN,   /* its first row, or group of a form, is NaN */
    PLANTED_MIXED, /* of a form: codes and sums do not belong together; else as PLANTED_WRONG */
    PLANTED_CRASH,
    PLANTED_HANG,
    PLANTED_SLOW /* right, but it takes long: planted_now.seconds for one token, ten times as much for more; and the
                    first time that it is made ready as well */
} planted_fault;

/* Which rows have it, and when. */
typedef struct planted {
    planted_fault fault;
    const char *row; /* name; NULL: every row of the operation op */
    kop op;
    /* Only in calls whose weight (of a product the codes, else the vector) begins with these bytes; NULL: in all. */
    const void *weight;
    double seconds;
} planted;

extern planted planted_now;
extern const backend planted_backend;

/* How often planted_backend was opened, by this process and its children, since planted_count_reset. */
void planted_count_reset(void);
int planted_count(void);

/* Fails the test with the error's text. */
void must(nb_status status, const nb_error *err);

/* An opened model with a made-up prompt. */
typedef struct subject {
    nb_model *model;
    verify_model m;
    int32_t tokens[24];
    const int32_t *prompts[1];
    int64_t lengths[1];
    const char *texts[1];
} subject;

/* path: under the source folder, or absolute. *s must stay where it is. */
void subject_open(subject *s, const char *path);
void subject_close(subject *s);

/* The row of the real CPU that computes the model's first step with this operation, for one token; a plan_step's
 * number to *step unless it is NULL. */
const char *subject_row(const subject *s, kop op, int *step);

/* used_set of the plan with the subject's options. */
uint64_t subject_set(const subject *s, const plan *p);

/* A home of its own in a temporary folder, $NIBBLE_HOME until home_remove; $NIBBLE_VERIFY and its kin are unset. */
void home_make(void);
void home_remove(void);

#endif
