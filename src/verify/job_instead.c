/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model uses in the place of rows that were set aside, and what that costs. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "verify/session_impl.h"

static const double MIN_SECONDS = 0.01; /* that a row is timed for */
enum { MIN_RUNS = 3, MAX_RUNS = 200 };

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

static void tell(session *s, const step_row *was, const step_row *is) {
    rec_instead r = {.slowdown = 0};
    memcpy(r.kernel, was->row->name,
           strlen(was->row->name) < sizeof r.kernel ? strlen(was->row->name) : sizeof r.kernel - 1);
    if (is && is->row != was->row) {
        const double before = time_row(s, was->row, &was->spec), after = time_row(s, is->row, &is->spec);
        memcpy(r.instead, is->row->name,
               strlen(is->row->name) < sizeof r.instead ? strlen(is->row->name) : sizeof r.instead - 1);
        if (before > 0 && after > 0) r.slowdown = after / before;
    }
    worker_send(s->worker, REC_INSTEAD, &r, sizeof r);
}

/* For each row that was found to be wrong, the first step that it computed and that now another one computes. */
static void compare(session *s, const step_rows *was, const step_rows *is, bool *told) {
    for (size_t i = 0; i < was->n; i++) {
        const int row = session_row(s, was->items[i].row);
        if (!s->aside[row] || told[row]) continue;
        told[row] = true;
        tell(s, &was->items[i], row_of(is, was->items[i].step, was->items[i].row->op));
    }
}

static nb_status run(session *s, bool *told, nb_error *err) {
    const plan_on_device p = session_plan(s);
    const kregistry *all = s->device->registry;
    const int64_t sizes[] = {1, p.options.n_batch};
    nb_status status = NB_OK;
    for (int i = 0; i < 2 && !status; i++) {
        step_rows was = {0}, is = {0};
        for (int with = 0; with < 2 && !status; with++) {
            for (size_t r = 0; r < s->n_rows; r++)
                kreg_set_aside(s->device->registry, kreg_at(all, r), s->report->rows[r].aside || (with && s->aside[r]));
            status = find(&p, sizes[i], with ? &is : &was, err);
        }
        if (!status) compare(s, &was, &is, told);
        free(was.items);
        free(is.items);
    }
    return status;
}

void job_instead(void *user, worker *w) {
    session *s = user;
    nb_error err = {0};
    bool *told = calloc(s->n_rows + 1, sizeof *told);
    if (!session_open_device(s, w)) return;
    if (!told) {
        err_no_memory(&err, "a verification", 0);
        session_fail(s, &err);
        return;
    }
    if (check_new(&s->check, &err))
        session_fail(s, &err);
    else if (run(s, told, &err))
        session_stop(s, &err);
}
