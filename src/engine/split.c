/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/split.h"

#include <stdio.h>
#include <stdlib.h>

#include "plan/needs.h"

typedef struct split split;

/* One of the two, with what is to be said to it and heard from it. */
typedef struct side {
    split *whole;
    const plan_part *part;
    executor *executor;
    double begin, share; /* of loading both, for progress */
} side;

struct split {
    executor base;
    side at[2];
    char device[512];
    kweight *weights;
    nb_progress_fn progress;
    void *progress_user;
    /* Of `calls`. */
    executor_call_fn visit;
    void *visit_user;
    int n_head_calls; /* that it visited last */
};

/* ---- Running --------------------------------------------------------------------------------------------------- */

static void observe(void *user, int step, bool done, const krow *row, const kcall *call) {
    const side *s = user;
    const executor *e = &s->whole->base;
    e->observer(e->observer_user, s->part->steps[step], done, row, call);
}

/* The part's own number of a step that is to be observed; false: it has none. */
static bool observed_step(const side *s, int *out) {
    *out = PLAN_NONE;
    if (s->whole->base.observed_step == PLAN_NONE) return true;
    for (int i = 0; i < s->part->plan->n_steps && *out == PLAN_NONE; i++)
        if (s->part->steps[i] == s->whole->base.observed_step) *out = i;
    return *out != PLAN_NONE;
}

static nb_status run_part(side *s, const batch *b, const float **logits, nb_error *err) {
    executor *e = s->executor;
    int step;
    if (!s->whole->base.observer || !observed_step(s, &step)) return e->run(e, b, logits, err);
    e->observer = observe;
    e->observer_user = s;
    e->observed_step = step;
    nb_status status = e->run(e, b, logits, err);
    e->observer = NULL;
    e->observed_step = PLAN_NONE;
    return status;
}

static nb_status run(executor *base, const batch *b, const float **logits, nb_error *err) {
    split *s = (split *)base;
    batch first = *b, second = *b;
    const float *none;
    first.n_outputs = 0;
    nb_status status = run_part(&s->at[PLAN_HEAD], &first, &none, err);
    second.inputs = s->at[PLAN_HEAD].executor->results;
    return status ? status : run_part(&s->at[PLAN_TAIL], &second, logits, err);
}

static executor *tail_of(const executor *base) {
    return ((const split *)base)->at[PLAN_TAIL].executor;
}

static bool can_draw(const executor *base, const nb_sampling *s) {
    return tail_of(base)->can_draw(tail_of(base), s);
}

static nb_status draw(executor *base, executor_draw *draws, int64_t n, nb_error *err) {
    return tail_of(base)->draw(tail_of(base), draws, n, err);
}

static void draws(const executor *base, int64_t n, executor_call_fn visit, void *user) {
    tail_of(base)->draws(tail_of(base), n, visit, user);
}

static nb_status fetch(executor *base, const float **logits, nb_error *err) {
    return tail_of(base)->fetch(tail_of(base), logits, err);
}

static nb_status copy_page(executor *base, int32_t from, int32_t to, int64_t n_slots, nb_error *err) {
    split *s = (split *)base;
    nb_status status = NB_OK;
    for (int i = 0; i < 2 && !status; i++)
        status = s->at[i].executor->copy_page(s->at[i].executor, from, to, n_slots, err);
    return status;
}

static nb_status copy_state(executor *base, int32_t from, int32_t to, nb_error *err) {
    split *s = (split *)base;
    nb_status status = NB_OK;
    for (int i = 0; i < 2 && !status; i++) status = s->at[i].executor->copy_state(s->at[i].executor, from, to, err);
    return status;
}

static void visit_call(void *user, int step, const krow *row, const kcall *call) {
    const side *s = user;
    s->whole->n_head_calls += s == &s->whole->at[PLAN_HEAD];
    s->whole->visit(s->whole->visit_user, s->part->steps[step], row, call);
}

static nb_status calls(executor *base, int64_t n_tokens, int64_t n_outputs, executor_call_fn visit, void *user,
                       nb_error *err) {
    split *s = (split *)base;
    s->visit = visit;
    s->visit_user = user;
    s->n_head_calls = 0;
    executor *head = s->at[PLAN_HEAD].executor, *tail = s->at[PLAN_TAIL].executor;
    nb_status status = head->calls(head, n_tokens, 0, visit_call, &s->at[PLAN_HEAD], err);
    return status ? status : tail->calls(tail, n_tokens, n_outputs, visit_call, &s->at[PLAN_TAIL], err);
}

static nb_status profile(executor *base, double *seconds, int n, nb_error *err) {
    split *s = (split *)base;
    executor *head = s->at[PLAN_HEAD].executor, *tail = s->at[PLAN_TAIL].executor;
    const int n_head = s->n_head_calls;
    if (n < n_head) return err_set(err, NB_ERR_INTERNAL, "a profile of %d calls, there are more than %d", n, n_head);
    nb_status status = head->profile(head, seconds, n_head, err);
    return status ? status : tail->profile(tail, seconds + n_head, n - n_head, err);
}

executor *split_executor_part(executor *e, int part) {
    return ((split *)e)->at[part].executor;
}

/* ---- Making and freeing ---------------------------------------------------------------------------------------- */

static void split_free(executor *base) {
    split *s = (split *)base;
    for (int i = 0; i < 2; i++)
        if (s->at[i].executor) s->at[i].executor->free(s->at[i].executor);
    free(s->weights);
    free(s);
}

static bool show_progress(void *user, const char *stage, double done, double total) {
    const side *s = user;
    const double of_both = s->begin + (total > 0 ? done / total : 1) * s->share;
    return s->whole->progress(s->whole->progress_user, stage, of_both, 1);
}

/* The tail comes first: where a GPU has too little memory that is found before the CPU packs anything. */
static nb_status make_part(split *s, int part, const split_side *where, const weights *files,
                           const executor_options *options, nb_error *err) {
    executor_options own = *options;
    const int64_t tail = plan_needs(s->at[PLAN_TAIL].part->plan, PLAN_NONE, NULL).weights;
    const int64_t head = plan_needs(s->at[PLAN_HEAD].part->plan, PLAN_NONE, NULL).weights;
    const double tail_share = (double)tail / ((double)(head + tail) + 1);
    s->at[part].begin = part == PLAN_TAIL ? 0 : tail_share;
    s->at[part].share = part == PLAN_TAIL ? tail_share : 1 - tail_share;
    if (options->progress) {
        own.progress = show_progress;
        own.progress_user = &s->at[part];
    }
    return where->backend->executor_new(where->device, s->at[part].part->plan, files, &own, &s->at[part].executor, err);
}

/* What both have in sum; of a weight that both have, the tail's. */
static void describe(split *s) {
    executor *e = &s->base;
    int first = 0, cut = 0, end = 0;
    plan_layers(s->at[PLAN_TAIL].part->plan, &cut, &end);
    plan_layers(s->base.plan, &first, &end);
    for (int i = 0; i < 2; i++) {
        const executor *part = s->at[i].executor;
        e->packed_bytes += part->packed_bytes;
        e->work_bytes += part->work_bytes;
        e->kv_bytes_per_token += part->kv_bytes_per_token;
        e->state_bytes += part->state_bytes;
        for (int w = 0; w < part->plan->n_weights; w++) s->weights[s->at[i].part->weights[w]] = part->weights[w];
    }
    e->weights = s->weights;
    e->n_threads = s->at[PLAN_HEAD].executor->n_threads;
    snprintf(s->device, sizeof s->device, "%d layer%s on %s, %d on %s", cut - first, cut - first == 1 ? "" : "s",
             s->at[PLAN_HEAD].executor->device, end - cut, s->at[PLAN_TAIL].executor->device);
    e->device = s->device;
}

nb_status split_executor_new(const plan *p, const plan_parts *parts, const split_side sides[2], const weights *files,
                             const executor_options *options, executor **out, nb_error *err) {
    *out = NULL;
    split *s = calloc(1, sizeof *s);
    if (!s) return err_no_memory(err, "the executor of two devices", sizeof *s);
    s->base = (executor){.run = run,
                         .copy_page = copy_page,
                         .copy_state = copy_state,
                         .calls = calls,
                         .free = split_free,
                         .observed_step = PLAN_NONE,
                         .plan = p};
    s->progress = options->progress;
    s->progress_user = options->progress_user;
    for (int i = 0; i < 2; i++) s->at[i] = (side){.whole = s, .part = &parts->at[i]};
    s->weights = calloc((size_t)p->n_weights + 1, sizeof *s->weights);
    nb_status status = s->weights ? NB_OK : err_no_memory(err, "the table of weights", 0);
    if (!status) status = make_part(s, PLAN_TAIL, &sides[PLAN_TAIL], files, options, err);
    if (!status) status = make_part(s, PLAN_HEAD, &sides[PLAN_HEAD], files, options, err);
    if (!status && s->at[PLAN_TAIL].executor->draw) {
        s->base.can_draw = can_draw;
        s->base.draw = draw;
        s->base.draws = draws;
        s->base.fetch = fetch;
    }
    if (!status && s->at[PLAN_HEAD].executor->profile && s->at[PLAN_TAIL].executor->profile) s->base.profile = profile;
    if (status) {
        split_free(&s->base);
        return status;
    }
    describe(s);
    *out = &s->base;
    return NB_OK;
}
