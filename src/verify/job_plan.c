/* SPDX-License-Identifier: Apache-2.0
 *
 * The level `plan`: each step of the model's plan on the device and by the reference, both from the device's own
 * inputs, so that errors do not pile up and the first step that differs is the culprit. */
#include "base/clock.h"
#include "verify/steps.h"

/* Multiplications of the reference for one product, when in a hurry. */
static const double QUICK_WORK = 4e6;

static bool look(steps *st, int step, const krow *row, const kcall *before, const kcall *after) {
    session *s = st->s;
    const int i = session_row(s, row);
    const double work = s->o->depth == CHECK_FULL ? 0 : QUICK_WORK, start = clock_now();
    nb_error err;
    sample right;
    if (s->aside[i]) return true; /* known to be wrong, at an earlier step */
    if (sample_make(before, work, s->o->seed + (uint64_t)st->n_done, st->threads, &right, &err)) {
        session_fail(s, &err);
        return false;
    }
    comparison cmp;
    finding f;
    sample_compare(&right, row, after, &cmp);
    const double worst = cmp.worst;
    if (comparison_end(&cmp, &f)) {
        steps_describe(st, step, after, &f);
        session_found(s, &f);
        s->aside[i] = true; /* in this child; the parent starts another one without it */
    }
    sample_free(&right);
    session_case(s, i, worst, clock_now() - start);
    /* Parts of a form that do not fit together have no one meaning: who reads it could not be judged. */
    return !s->aside[i] || after->y.type != DT_XI8X3;
}

void job_plan(session *s, worker *w) {
    if (session_open_device(s, w)) steps_run(s, look, NULL, 4, NULL);
}
