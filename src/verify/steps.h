/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's steps under observation: runs a prompt and some tokens more on a device, and shows each kernel call of the
 * plan with its operands on the host, as they were before it and as they are after. Internal to the session. */
#ifndef NB_VERIFY_STEPS_H
#define NB_VERIFY_STEPS_H

#include "verify/forward.h"
#include "verify/mirror.h"
#include "verify/sample.h"
#include "verify/session_impl.h"

typedef struct steps steps;

/* A call that has run: before and after are calls on the host, with the weight as the file has it. pass: of the passes
 * that steps_run makes, which one. False: no more. */
typedef bool steps_fn(steps *st, int step, const krow *row, const kcall *before, const kcall *after);

struct steps {
    session *s;
    forward run;
    pool *threads; /* to compute references on */
    steps_fn *look;
    /* Whether a step is of interest; NULL: all are. The others run unobserved. */
    bool (*wants)(const steps *st, int step);
    int pass, n_passes; /* of 0: the prompt; then single tokens; then two sequences at once */
    int n_done;         /* calls that were looked at, of all passes */
    fetched before;
    bool have_before, stopped;
    void *user;
};

/* Runs the passes; tells the session of errors. */
void steps_run(session *s, steps_fn *look, bool (*wants)(const steps *st, int step), int n_passes, void *user);

/* Fills in what a finding about a step says of it. */
void steps_describe(const steps *st, int step, const kcall *c, finding *f);

#endif
