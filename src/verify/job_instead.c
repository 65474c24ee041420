/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model uses in the place of rows that were set aside, and what that costs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "verify/session_impl.h"

static const double MIN_SECONDS = 0.01; /* that a row is timed for */

/* The rows of each step of the plan, for one size of batch. */
typedef struct step_row {
    int step;
    const krow *row;
    check_spec spec;
} step_row;

typedef struct step_rows {
    step_row *items;
    size_t n, cap;
    bool no_memory;
} step_rows;

static void collect(void *user, int step, const krow *row, const kcall *call) {
    step_rows *r = user;
    if (r->n == r->cap) {
        const size_t cap = 2 * r->cap + 64;
        step_row *items = realloc(r->items, cap * sizeof *items);
        if (!items) {
            r->no_memory = true;
            return;
        }
        r->items = items;
        r->cap = cap;
    }
    r->items[r->n++] = (step_row){step, row, used_spec(call)};
}

static nb_status find(const plan_on_device *p, int64_t n_tokens, step_rows *out, nb_error *err) {
    executor_options options = p->options;
    executor *e;
    options.dry = true;
    options.n_pages = options.n_slots = 1;
    nb_status status = p->backend->executor_new(p->device, p->plan, p->files, &options, &e, err);
    if (status) return status;
    status = e->calls(e, n_tokens, n_tokens, collect, out, err);
    e->free(e);
    return !status && out->no_memory ? err_no_memory(err, "the calls of a plan", 0) : status;
}

static const step_row *row_of(const step_rows *r, int step, kop op) {
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].step == step && r->items[i].row->op == op) return &r->items[i];
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

static void copy_name(char to[96], const krow *row) {
    snprintf(to, 96, "%s", row->name);
}

/* The first step that `row` would compute, and what computes it in its place. */
static bool tell(session *s, const krow *row, const step_rows *with, const step_rows *without) {
    for (size_t i = 0; i < with->n; i++) {
        if (with->items[i].row != row) continue;
        const step_row *was = &with->items[i], *is = row_of(without, was->step, row->op);
        rec_instead r = {.slowdown = 0};
        if (!is) return false;
        copy_name(r.kernel, row);
        copy_name(r.instead, is->row);
        const double before = time_row(s, row, &was->spec), after = time_row(s, is->row, &is->spec);
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
    step_rows without[2] = {{0}};
    nb_status status = NB_OK;
    set_aside(s, NULL);
    for (int i = 0; i < 2 && !status; i++) status = find(&p, sizes[i], &without[i], err);
    for (size_t r = 0; r < s->n_rows && !status; r++) {
        const krow *row = kreg_at(s->device->registry, r);
        bool told = !s->aside[r];
        for (int i = 0; i < 2 && !told && !status; i++) {
            step_rows with = {0};
            set_aside(s, row);
            status = find(&p, sizes[i], &with, err);
            if (!status) told = tell(s, row, &with, &without[i]);
            free(with.items);
        }
    }
    for (int i = 0; i < 2; i++) free(without[i].items);
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
