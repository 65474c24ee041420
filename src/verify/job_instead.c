/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model uses in the place of rows that were set aside, and what that costs. */
#include <stdio.h>

#include "verify/session_impl.h"

static const double MIN_SECONDS = 0.01; /* that a row is timed for */

/* What takes the place of a call. */
static const used_call *place_of(const used_call *was, const used_calls *r) {
    for (size_t i = 0; i < r->n; i++) {
        const used_call *is = &r->items[i];
        if (is->step == was->step && is->row->op == was->row->op && is->spec.samplers == was->spec.samplers) return is;
    }
    return NULL;
}

/* Seconds of a row on a case; 0 when it does not take it, or must not be run. */
static double time_row(session *s, const krow *row, const check_spec *shape) {
    check_spec spec = *shape;
    nb_error err;
    double seconds = 0;
    spec.pattern = CHECK_NORMAL;
    spec.seed = s->o->seed + 1;
    if (s->dead[session_row(s, row)] || check_load(s->check, &spec, &err) || !check_takes(s->check, row)) return 0;
    return check_time(s->check, s->device, row, MIN_SECONDS, &seconds, &err) ? 0 : seconds;
}

/* Tokens that the device cannot draw are drawn by the host. */
static void copy_name(char to[96], const krow *row) {
    snprintf(to, 96, "%s", row ? row->name : "the host's sampler");
}

/* The first step that `row` would compute, and what computes it in its place. */
static bool tell(session *s, const krow *row, const used_calls *with, const used_calls *without) {
    for (size_t i = 0; i < with->n; i++) {
        if (with->items[i].row != row) continue;
        const used_call *was = &with->items[i], *is = place_of(was, without);
        rec_instead r = {.slowdown = 0};
        if (!is && was->step != PLAN_NONE) return false;
        copy_name(r.kernel, row);
        copy_name(r.instead, is ? is->row : NULL);
        const double before = is ? time_row(s, row, &was->spec) : 0, after = is ? time_row(s, is->row, &is->spec) : 0;
        if (before > 0 && after > 0) r.slowdown = after / before;
        worker_send(s->worker, REC_INSTEAD, &r, sizeof r);
        return true;
    }
    return false;
}

/* All rows that were found to be wrong are set aside, but for `keep`. */
static void set_aside(session *s, const krow *keep) {
    for (size_t i = 0; i < s->n_rows; i++) {
        const krow *row = kreg_at(s->device->registry, i);
        kreg_set_aside(s->device->registry, row, s->report->rows[i].aside || (s->aside[i] && row != keep));
    }
}

/* Each of them would be used if it alone were right, or is not needed. */
static nb_status run(session *s, nb_error *err) {
    const plan_on_device p = session_plan(s);
    const int64_t sizes[] = {1, p.options.n_batch};
    used_calls without[2] = {{0}};
    nb_status status = NB_OK;
    set_aside(s, NULL);
    for (int i = 0; i < 2 && !status; i++) status = used_collect(&p, sizes[i], false, &without[i], err);
    for (size_t r = 0; r < s->n_rows && !status; r++) {
        const krow *row = kreg_at(s->device->registry, r);
        bool told = !s->aside[r];
        for (int i = 0; i < 2 && !told && !status; i++) {
            used_calls with = {0};
            set_aside(s, row);
            status = used_collect(&p, sizes[i], false, &with, err);
            if (!status) told = tell(s, row, &with, &without[i]);
            used_free(&with);
        }
    }
    for (int i = 0; i < 2; i++) used_free(&without[i]);
    return status;
}

void job_instead(session *s, worker *w) {
    nb_error err = {0};
    if (!session_open_device(s, w)) return;
    if (check_new(&s->check, &err))
        session_fail(s, &err);
    else if (run(s, &err))
        session_stop(s, &err);
}
