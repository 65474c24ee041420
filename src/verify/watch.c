/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "verify/mirror.h"
#include "verify/sample.h"
#include "verify/view.h"

static const double SHARE = 0.01; /* of the time, at most */
static const double WORK = 2e5;   /* multiplications of the reference for a product, apart from its boundaries */
enum { MAX_STATE_TOKENS = 16, MAX_FETCH = 64 << 20 };

struct watch {
    device *device;
    executor *executor;
    const plan *plan;
    uint64_t random;
    double started, spent;
    double began, looked; /* the run; seconds of it that went into the look itself */
    double usual;         /* seconds of the last run without a look, ...*/
    int64_t usual_tokens; /* ...of so many tokens */
    int64_t n_tokens;     /* of the run */
    int64_t n_checked;
    bool armed, passed_over;
    const krow *row; /* of the step that is looked at; NULL: none */
    int step;
    kcall call; /* with its values in... */
    void *kept[4];
    int n_kept;
    fetched fetched; /* ...or, from a device's memory, all of it here */
    kstates before;  /* copies of the states, before the step */
    finding found;
};

static uint64_t next_random(watch *w) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random >> 33;
}

static bool remember_states(watch *w, const kcall *c) {
    const size_t bytes = (size_t)(c->states.n_slots * c->states.size) * sizeof(float);
    w->before = c->states;
    w->before.data = malloc(bytes);
    if (w->before.data) memcpy(w->before.data, c->states.data, bytes);
    return w->before.data != NULL;
}

/* A matrix of its own with the same content. */
static bool keep(watch *w, kmat *m) {
    if (!m->data) return true;
    void *copy = malloc(kmat_bytes(m));
    if (!copy) return false;
    memcpy(copy, m->data, kmat_bytes(m));
    m->data = w->kept[w->n_kept++] = copy;
    return true;
}

/* Keeps the call's operands for after the run, when nobody waits for the look. Pages and states stay as the step has
 * left them until the next run; values do not. False when that costs too much. */
static bool keep_call(watch *w, const kcall *c) {
    w->call = *c;
    if (!w->device->memory)
        return keep(w, &w->call.x) && keep(w, &w->call.z) && keep(w, &w->call.residual) && keep(w, &w->call.y);
    if (kpages_bytes(&c->keys) + kpages_bytes(&c->values) > MAX_FETCH) return false;
    const bool own_weight = c->w && !plan_has_weight(w->plan, w->step, c->w); /* see steps.c */
    if (call_fetch(w->device, c, own_weight, &w->fetched, NULL)) return false;
    w->call = w->fetched.copy.call;
    return true;
}

static void forget_call(watch *w) {
    for (int i = 0; i < w->n_kept; i++) free(w->kept[i]);
    call_fetched_free(&w->fetched);
    free(w->before.data);
    w->before = (kstates){0};
    w->n_kept = 0;
    w->row = NULL;
}

/* Compares what the step has made, or of an attention over many tokens what one of them got. */
static void compare(watch *w) {
    kcall c = w->call;
    const int step = w->step;
    sample right;
    comparison cmp;
    const int64_t token = (int64_t)(next_random(w) % (uint64_t)max_i64(1, c.x.rows));
    if (c.w && plan_has_weight(w->plan, step, c.w)) c.w = &w->plan->weights[w->plan->steps[step].weight].w;
    if (c.op == KOP_ATTENTION) c = call_tokens(&c, token, 1);
    kcall old = c;
    if (c.states.data) old.states = w->before;
    if (sample_make(&old, WORK, next_random(w), NULL, &right, NULL)) return;
    sample_compare(&right, w->row, &c, &cmp);
    if (comparison_end(&cmp, &w->found)) {
        char text[320];
        plan_step_text(w->plan, step, text, sizeof text);
        snprintf(w->found.where, sizeof w->found.where, "step %d: %s", step, text);
        snprintf(w->found.step, sizeof w->found.step, "%s", w->plan->steps[step].name);
        w->found.layer = w->plan->steps[step].layer;
        w->found.level = VERIFY_PLAN;
    }
    sample_free(&right);
    w->n_checked++;
}

static void observe(void *user, int step, bool done, const krow *row, const kcall *call) {
    watch *w = user;
    const double start = clock_now();
    if (!done) {
        w->passed_over = w->row && next_random(w) % 2; /* a step of several calls: one of them */
        if (!w->passed_over) forget_call(w);
        if (!w->passed_over && call->states.data && !w->device->memory) remember_states(w, call);
    } else if (!w->passed_over && (!call->states.data || w->before.data) && keep_call(w, call)) {
        w->row = row;
        w->step = step;
    }
    w->looked += clock_now() - start;
}

/* States are gone through token by token: not with many of them. */
static bool is_cheap(const watch *w, int step) {
    return w->plan->steps[step].state == PLAN_NONE || w->n_tokens <= MAX_STATE_TOKENS;
}

void watch_before(watch *w, int64_t n_tokens) {
    w->n_tokens = n_tokens;
    w->began = clock_now();
    w->looked = 0;
    if (w->spent > SHARE * (clock_now() - w->started)) return;
    const int step = (int)(next_random(w) % (uint64_t)w->plan->n_steps);
    if (!is_cheap(w, step)) return;
    w->armed = true;
    w->executor->observer = observe;
    w->executor->observer_user = w;
    w->executor->observed_step = step;
}

/* A look also makes threads wait for one another and drives what they need out of the caches: it costs what its run
 * took longer than the last one of as many tokens, at least its own time. */
static void account(watch *w) {
    const double seconds = clock_now() - w->began;
    if (w->armed) {
        w->spent += w->usual_tokens == w->n_tokens ? fmax(w->looked, seconds - w->usual) : w->looked;
        return;
    }
    w->usual = seconds;
    w->usual_tokens = w->n_tokens;
}

nb_status watch_after(watch *w, finding *found, nb_error *err) {
    const double start = clock_now();
    if (w->row) compare(w);
    forget_call(w);
    w->looked += clock_now() - start;
    account(w);
    if (w->armed) {
        w->armed = false;
        w->executor->observer = NULL;
        w->executor->observed_step = PLAN_NONE;
    }
    *found = w->found;
    if (w->found.kind == FOUND_NOTHING) return NB_OK;
    return err_set(
        err, NB_ERR_INTERNAL,
        "kernel %s is wrong, as a check while running has found: %s (%s). What the model has said so far may "
        "be wrong as well; `nibble verify MODEL` says more",
        w->found.kernel, w->found.what, w->found.where);
}

int64_t watch_count(const watch *w) {
    return w->n_checked;
}

nb_status watch_new(device *d, executor *e, const plan *p, uint64_t seed, watch **out, nb_error *err) {
    watch *w = *out = calloc(1, sizeof *w);
    if (!w) return err_no_memory(err, "the watch", sizeof *w);
    w->device = d;
    w->executor = e;
    w->plan = p;
    w->random = seed;
    w->started = clock_now();
    return NB_OK;
}

void watch_free(watch *w) {
    if (!w) return;
    forget_call(w);
    free(w);
}
