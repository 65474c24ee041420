/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/steps.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"

/* ---- Text ------------------------------------------------------------------------------------------------------- */

static void describe(const steps *st, int step, int64_t rows, int64_t cols, char *where, size_t size, char name[128],
                     int *layer) {
    const plan *p = st->s->o->model->plan;
    char text[320];
    plan_step_text(p, step, text, sizeof text);
    snprintf(where, size, "step %d: %s, output [%" PRId64 ", %" PRId64 "]", step, text, rows, cols);
    snprintf(name, 128, "%s", p->steps[step].name ? p->steps[step].name : kop_name(p->steps[step].op));
    *layer = p->steps[step].layer;
}

static void shape_of(const kcall *c, int64_t *rows, int64_t *cols) {
    const kmat *m = c->op == KOP_KV_STORE ? &c->x : &c->y;
    *rows = m->rows;
    *cols = m->cols;
}

void steps_describe(const steps *st, int step, const kcall *c, finding *f) {
    int64_t rows, cols;
    shape_of(c, &rows, &cols);
    describe(st, step, rows, cols, f->where, sizeof f->where, f->step, &f->layer);
}

static void tell_begin(steps *st, int step, const krow *row, const kcall *c) {
    rec_begin b = {.row = session_row(st->s, row)};
    int64_t rows, cols;
    if (!st->s->report->rows[b.row].used) {
        st->s->report->rows[b.row].used = true;
        worker_send(st->s->worker, REC_USED, &b.row, sizeof b.row);
    }
    shape_of(c, &rows, &cols);
    describe(st, step, rows, cols, b.where, sizeof b.where, b.step, &b.layer);
    worker_send(st->s->worker, REC_BEGIN, &b, sizeof b);
}

/* ---- Observing -------------------------------------------------------------------------------------------------- */

static void stop(steps *st, const nb_error *err) {
    session_fail(st->s, err);
    st->stopped = true;
}

/* The weight as the file has it, since the device may hold it elsewhere, or in another order; of a gated pair, which no
 * file has as one matrix, what the device holds. */
static kcall with_stored_weight(const steps *st, int step, const kcall *c) {
    const plan *p = st->s->o->model->plan;
    kcall call = *c;
    if (!call.w) return call;
    call.w = plan_has_weight(p, step, c->w) ? &p->weights[p->steps[step].weight].w : st->before.copy.call.w;
    return call;
}

static void observe(void *user, int step, bool done, const krow *row, const kcall *call) {
    steps *st = user;
    nb_error err;
    if (st->stopped || (st->wants && !st->wants(st, step))) return;
    if (!done) {
        tell_begin(st, step, row, call);
        const bool own_weight = call->w && !plan_has_weight(st->s->o->model->plan, step, call->w);
        st->have_before = call_fetch(st->s->device, call, own_weight, &st->before, &err) == NB_OK;
        if (!st->have_before) stop(st, &err);
        session_runs(st->s, 0);
        return;
    }
    fetched after;
    session_ran(st->s);
    if (st->have_before && call_fetch(st->s->device, call, false, &after, &err) == NB_OK) {
        const kcall old = with_stored_weight(st, step, &st->before.copy.call);
        const kcall new = with_stored_weight(st, step, &after.copy.call);
        if (!st->look(st, step, row, &old, &new)) st->stopped = true;
        call_fetched_free(&after);
    } else if (st->have_before) {
        stop(st, &err);
    }
    if (st->have_before) call_fetched_free(&st->before);
    st->have_before = false;
    st->n_done++;
    session_progress(st->s, (double)st->n_done, (double)st->n_passes * (double)st->s->o->model->plan->n_steps);
}

/* ---- Passes ----------------------------------------------------------------------------------------------------- */

static nb_status make(steps *st, nb_error *err) {
    const verify_model *m = st->s->o->model;
    nb_status status = pool_new(m->executor.n_threads, &st->threads, err);
    if (!status) status = forward_new(st->s->o->backend, st->s->device, m->plan, m->files, &m->executor, &st->run, err);
    if (status) return status;
    st->run.executor->observer = observe;
    st->run.executor->observer_user = st;
    return NB_OK;
}

/* The prompt; then tokens of the model's own, one at a time; then both sequences, three tokens each. */
static nb_status run_passes(steps *st, nb_error *err) {
    enum { EACH = 3 };
    const verify_model *m = st->s->o->model;
    const int64_t longest = st->s->o->depth == CHECK_FULL ? 128 : 24, n = min_i64(m->prompt_lengths[0], longest);
    const int64_t skip = m->prompt_lengths[0] - n; /* of a long prompt the end, where the question stands */
    const float *logits;
    nb_status status = forward_run(&st->run, 1, m->prompts[0] + skip, n, 1, &logits, err);
    for (st->pass = 1; st->pass < st->n_passes && !status && !st->stopped; st->pass++) {
        int32_t tokens[2 * EACH];
        for (int i = 0; i < 2 * EACH; i++)
            tokens[i] = i == 0 ? forward_most_likely(logits, m->vocab_size) : m->prompts[0][i % m->prompt_lengths[0]];
        const bool both = st->pass == st->n_passes - 1 && st->n_passes > 2;
        status = both ? forward_run(&st->run, 2, tokens, EACH, 1, &logits, err)
                      : forward_run(&st->run, 1, tokens, 1, 1, &logits, err);
    }
    return status;
}

void steps_run(session *s, steps_fn *look, bool (*wants)(const steps *st, int step), int n_passes, void *user) {
    steps st = {.s = s, .look = look, .wants = wants, .n_passes = n_passes, .user = user};
    nb_error err = {0};
    nb_status status = make(&st, &err);
    if (!status) status = run_passes(&st, &err);
    if (status && !st.stopped) session_stop(s, &err);
    forward_free(&st.run);
    pool_free(st.threads);
}
