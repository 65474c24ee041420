/* SPDX-License-Identifier: Apache-2.0
 *
 * The parent's side: starts a child for each level, keeps what it tells, blames the row that was running when a child
 * ends badly, and goes on without that row. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "verify/session_impl.h"

/* ---- In the child ----------------------------------------------------------------------------------------------- */

void session_fail(session *s, const nb_error *err) {
    worker_send(s->worker, REC_ERROR, err, sizeof *err);
}

void session_stop(session *s, const nb_error *err) {
    if (err->status == NB_ERR_UNSUPPORTED)
        worker_send(s->worker, REC_IMPOSSIBLE, err->text, sizeof s->report->impossible);
    else
        session_fail(s, err);
}

bool session_open_device(session *s, worker *w) {
    nb_error err = {0};
    s->worker = w;
    nb_log_set(NULL, NULL, NB_LOG_ERROR); /* the parent has said it all */
    nb_status status = s->o->backend->open(s->o->index, &s->o->device, &s->device, &err);
    if (!status && s->device->start) status = s->device->start(s->device, &err);
    if (status) {
        session_fail(s, &err);
        return false;
    }
    for (size_t i = 0; i < s->n_rows; i++)
        if (s->aside[i] || s->report->rows[i].aside)
            kreg_set_aside(s->device->registry, kreg_at(s->device->registry, i), true);
    return true;
}

plan_on_device session_plan(const session *s) {
    const verify_model *m = s->o->model;
    return (plan_on_device){s->o->backend, s->device, m->plan, m->files, m->executor};
}

int session_row(const session *s, const krow *row) {
    for (size_t i = 0; i < s->n_rows; i++)
        if (kreg_at(s->device->registry, i) == row) return (int)i;
    return -1;
}

void session_found(session *s, finding *f) {
    f->level = s->level;
    worker_send(s->worker, REC_FOUND, f, sizeof *f);
}

void session_case(session *s, int row, double worst, double seconds) {
    const rec_case r = {row, worst, seconds};
    worker_send(s->worker, REC_CASE, &r, sizeof r);
}

void session_runs(session *s, double reference) {
    s->run_began = clock_now();
    worker_send(s->worker, REC_RUNS, &reference, sizeof reference);
}

void session_back(session *s) {
    const double seconds = clock_now() - s->run_began;
    worker_send(s->worker, REC_BACK, &seconds, sizeof seconds);
}

static void run_begins(void *user, double reference) {
    session_runs(user, reference);
}

static void run_ends(void *user) {
    session_back(user);
}

check_clock session_clock(session *s) {
    return (check_clock){run_begins, run_ends, s};
}

void session_ran(session *s) {
    worker_send(s->worker, REC_RAN, NULL, 0);
}

void session_progress(session *s, double done, double total) {
    const double both[2] = {done, total};
    worker_send(s->worker, REC_PROGRESS, both, sizeof both);
}

/* ---- Records ---------------------------------------------------------------------------------------------------- */

static const char *stage_of(const session *s) {
    return verify_level_name(s->level);
}

static void take_finding(session *s, const finding *f) {
    report *r = s->report;
    size_t i = 0;
    while (i < r->n_rows && strcmp(r->rows[i].name, f->kernel) != 0) i++;
    if (i < r->n_rows) {
        s->new_aside |= !s->aside[i];
        s->aside[i] = true;
        if (r->rows[i].n_findings >= MOST_FINDINGS) return; /* several children found the same at once */
        r->rows[i].n_findings++;
    }
    finding *all = realloc(r->findings, (r->n_findings + 1) * sizeof *all);
    if (!all) {
        s->no_memory = true;
        return;
    }
    r->findings = all;
    all[r->n_findings++] = *f;
}

static void take_answer(session *s, const report_answer *a) {
    report *r = s->report;
    report_answer *all = realloc(r->answers, (r->n_answers + 1) * sizeof *all);
    if (!all) {
        s->no_memory = true;
        return;
    }
    r->answers = all;
    all[r->n_answers++] = *a;
    r->levels[VERIFY_ANSWER].cases += a->n_tokens;
}

static void take_instead(session *s, const rec_instead *in) {
    for (size_t i = 0; i < s->report->n_rows; i++) {
        report_row *row = &s->report->rows[i];
        if (strcmp(row->name, in->kernel) != 0) continue;
        memcpy(row->instead, in->instead, sizeof row->instead);
        row->slowdown = in->slowdown;
    }
}

static void take_case(session *s, const rec_case *c) {
    report_row *row = &s->report->rows[c->row];
    row->cases[s->level]++;
    row->seconds += c->seconds;
    if (c->worst > row->worst[s->level]) row->worst[s->level] = c->worst;
    s->report->levels[s->level].cases++;
}

/* How long a row may run: some seconds, as the options say. Where the reference takes long for a case, or the row has
 * been slow on this device before, more: a slow device is no broken one. The floor is what a launch takes, whatever
 * there is to compute. */
static const double TIMES_SLOWNESS = 20, TIMES_REFERENCE = 5, FLOOR = 1e-3;
static const double OWN_WORK = 900; /* what a child may take for all else, and a row at most */

static void take_begin_of_run(child *c, double reference) {
    const session *s = c->session;
    const double times = fmax(TIMES_REFERENCE, TIMES_SLOWNESS * s->slowness[c->running.row]);
    c->in_run = true;
    c->reference = reference;
    c->limit = reference > 0 ? fmax(s->o->silence, fmin(OWN_WORK, times * (reference + FLOOR))) : s->o->silence;
}

static void take_end_of_run(child *c, double seconds) {
    double *slowness = &c->session->slowness[c->running.row];
    c->in_run = false;
    if (c->reference > 0) *slowness = fmax(*slowness, seconds / (c->reference + FLOOR));
}

static bool show_progress(session *s, const double both[2]) {
    const verify_options *o = s->o;
    if (both[0] > s->shown) s->shown = both[0]; /* children are not in step with one another */
    if (o->progress && !o->progress(o->progress_user, stage_of(s), s->shown, both[1])) s->cancelled = true;
    return !s->cancelled;
}

static bool take_record(child *c, int kind, const void *data, size_t size) {
    session *s = c->session;
    union {
        rec_begin begin;
        double seconds;
        rec_case one;
        finding found;
        int row;
        double progress[2];
        report_answer answer;
        rec_instead instead;
        nb_error error;
    } u;
    if (kind == REC_IMPOSSIBLE) {
        memcpy(s->report->impossible, data, size < sizeof s->report->impossible ? size : sizeof s->report->impossible);
        return true;
    }
    if (size > sizeof u) return true;
    memcpy(&u, data, size);
    switch (kind) {
    case REC_BEGIN:
        c->running = u.begin;
        c->has_running = true;
        c->in_run = false;
        c->position = u.begin.position;
        break;
    case REC_RUNS:
        if (c->has_running) take_begin_of_run(c, u.seconds);
        break;
    case REC_BACK:
        if (c->has_running) take_end_of_run(c, u.seconds);
        break;
    case REC_RAN:
        c->has_running = false;
        break;
    case REC_CASE:
        c->has_running = false;
        take_case(s, &u.one);
        break;
    case REC_FOUND:
        take_finding(s, &u.found);
        break;
    case REC_USED:
        s->report->rows[u.row].used = true;
        break;
    case REC_PROGRESS:
        return show_progress(s, u.progress);
    case REC_ANSWER:
        take_answer(s, &u.answer);
        break;
    case REC_INSTEAD:
        take_instead(s, &u.instead);
        break;
    case REC_ERROR:
        /* A device whose kernels run elsewhere tells of what would have ended the process here. */
        if (u.error.status == NB_ERR_INTERNAL && c->has_running)
            c->failure = u.error;
        else
            s->error = u.error;
        break;
    default:
        break;
    }
    return !s->no_memory && !s->error.status && !c->failure.status;
}

static bool receive(void *user, int kind, const void *data, size_t size) {
    child *c = user;
    return take_record(c, kind, data, size) && !c->session->cancelled;
}

/* ---- A child that ended badly ----------------------------------------------------------------------------------- */

static void describe_end(const child *c, const worker_result *result, finding *f) {
    if (c->failure.status) {
        f->kind = FOUND_CRASHED;
        snprintf(f->what, sizeof f->what, "%.300s", c->failure.text);
    } else if (result->end == WORKER_HUNG) {
        f->kind = FOUND_HUNG;
        snprintf(f->what, sizeof f->what, "did not come back within %.3g seconds",
                 2 * (c->in_run ? c->limit : OWN_WORK));
    } else if (result->address[0]) {
        f->kind = FOUND_READ_OUTSIDE;
        snprintf(f->what, sizeof f->what, "touched memory %s", result->address);
    } else {
        f->kind = FOUND_CRASHED;
        snprintf(f->what, sizeof f->what, "%s", result->signal ? strsignal(result->signal) : "the process left");
    }
}

/* The row that was running is to blame. False when none was, or somebody else ended the process (a system without
 * memory does): nobody can be named. */
static bool blame(child *c, const worker_result *result) {
    session *s = c->session;
    if (!c->has_running || result->signal == SIGKILL || result->signal == SIGTERM) return false;
    const rec_begin *b = &c->running;
    const report_row *row = &s->report->rows[b->row];
    finding f = {.level = s->level, .op = row->op, .layer = b->layer};
    describe_end(c, result, &f);
    memcpy(f.kernel, row->name, sizeof f.kernel);
    memcpy(f.step, b->step, sizeof f.step);
    if (b->has_spec) {
        f.layer = -1;
        check_spec_text(&b->spec, f.where, sizeof f.where);
    } else {
        memcpy(f.where, b->where, sizeof f.where);
    }
    s->dead[b->row] = true;
    take_finding(s, &f);
    s->report->levels[s->level].cases++;
    return true;
}

static const char *on_fault(void *user, const void *address) {
    const session *s = ((const child *)user)->session;
    static char text[CHECK_ADDRESS_TEXT];
    return s->check ? check_address_text(s->check, address, text) : NULL;
}

/* ---- Children --------------------------------------------------------------------------------------------------- */

/* A row may run for so long; the reference, and a driver that compiles, may take their time. */
static double patience(void *user) {
    const child *c = user;
    if (!c->has_running || !c->in_run) return OWN_WORK;
    return c->limit * (c->suspect == c->running.row + 1 ? 2 : 1);
}

/* In the child. */
static void start(void *user, worker *w) {
    child *c = user;
    c->session->index = c->index;
    c->session->position = c->position;
    c->job(c->session, w);
}

static nb_status what_ended(const child *c, const worker_result *result, nb_error *err) {
    const session *s = c->session;
    if (s->no_memory) return err_no_memory(err, "a verification", 0);
    if (s->cancelled) return err_set(err, NB_ERR_CANCELLED, "the verification was interrupted");
    if (s->error.status) return err_set(err, s->error.status, "%s", s->error.text);
    if (result->end == WORKER_DONE || result->end == WORKER_STOPPED) return NB_OK;
    return err_set(err, NB_ERR_INTERNAL, "the process that verifies %s ended: %s", stage_of(s),
                   result->end == WORKER_HUNG ? "it hung outside of any kernel"
                   : result->signal           ? strsignal(result->signal)
                                              : "it left without a word");
}

/* Runs one child's share of the job to its end, without the rows that ended it before. */
static void follow_child(void *user, int index) {
    child *c = &((child *)user)[index];
    session *s = c->session;
    const worker_job w = {start, on_fault, receive, c, s->o->silence, patience};
    pool_barrier(c->followers); /* all have begun: a thread that begins allocates, and a fork would keep the locks */
    for (bool again = true; again;) {
        worker_result result = {0};
        c->has_running = c->in_run = false;
        c->failure = (nb_error){0};
        c->status = worker_run(&w, &result, &c->error);
        worker_lock();
        if (!c->status && result.end == WORKER_HUNG && c->has_running && c->suspect != c->running.row + 1) {
            c->suspect = c->running.row + 1; /* it gets a second chance, of twice the time */
            worker_unlock();
            continue;
        }
        const bool badly = result.end == WORKER_CRASHED || result.end == WORKER_HUNG || c->failure.status;
        again = !c->status && badly && blame(c, &result);
        if (!c->status && !again) c->status = what_ended(c, &result, &c->error);
        if (c->status) s->cancelled = true; /* the others need not go on */
        worker_unlock();
    }
}

/* Each child has a thread that follows it. */
nb_status session_run_job(session *s, void (*job)(session *s, worker *w), int n_children, nb_error *err) {
    child children[MAX_CHILDREN] = {{0}};
    pool *followers = NULL;
    s->n_children = n_children;
    s->shown = 0;
    nb_status status = pool_new(n_children, &followers, err);
    if (status) return status;
    for (int i = 0; i < n_children; i++)
        children[i] = (child){.session = s, .job = job, .index = i, .followers = followers};
    pool_run(followers, follow_child, children);
    pool_free(followers);
    for (int i = 0; i < n_children; i++) {
        const child *c = &children[i];
        if (!c->status || (status && status != NB_ERR_CANCELLED)) continue; /* the first to fail says why */
        status = err_set(err, c->status, "%s", c->error.text);
    }
    return status;
}

/* ---- Levels ----------------------------------------------------------------------------------------------------- */

/* The cases of the level kernels have nothing to do with one another. At load there are too few to share. */
static int children_for(const session *s, verify_level level) {
    if (level != VERIFY_KERNELS || s->only_used) return 1;
    const int most = s->o->n_children > 0 ? s->o->n_children : pool_available();
    return most < MAX_CHILDREN ? most : MAX_CHILDREN;
}

/* A level whose steps depend on which rows the plan uses is run again when rows were set aside: what takes their place
 * is to be seen too. Each round sets at least one aside, so it ends. */
nb_status session_run_level(session *s, verify_level level, nb_error *err) {
    static void (*const jobs[VERIFY_LEVELS])(session *, worker *) = {job_kernels, job_paths, job_plan, job_answer};
    report_level *r = &s->report->levels[level];
    const double start = clock_now();
    s->level = level;
    r->ran = true;
    nb_status status;
    do {
        s->new_aside = false;
        if (level == VERIFY_ANSWER) s->report->n_answers = 0, r->cases = 0;
        status = session_run_job(s, jobs[level], children_for(s, level), err);
    } while (!status && s->new_aside && level != VERIFY_KERNELS && !s->report->impossible[0]);
    r->seconds += clock_now() - start;
    if (s->o->progress) s->o->progress(s->o->progress_user, stage_of(s), 1, 1);
    return status;
}

static bool make_rows(session *s, const kregistry *registry) {
    const size_t n = s->n_rows = kreg_count(registry);
    report *r = s->report;
    r->rows = calloc(n + 1, sizeof *r->rows);
    s->aside = calloc(n + 1, sizeof *s->aside);
    s->dead = calloc(n + 1, sizeof *s->dead);
    s->slowness = calloc(n + 1, sizeof *s->slowness);
    if (!r->rows || !s->aside || !s->dead || !s->slowness) return false;
    r->n_rows = n;
    for (size_t i = 0; i < n; i++) {
        const krow *row = kreg_at(registry, i);
        snprintf(r->rows[i].name, sizeof r->rows[i].name, "%s", row->name);
        r->rows[i].op = row->op;
        r->rows[i].rank = row->rank;
        r->rows[i].aside = kreg_is_aside(registry, row);
    }
    return true;
}

static void describe(report *r, const verify_options *o, const device_info *info) {
    r->device = *info;
    r->seed = o->seed;
    r->quick = o->depth != CHECK_FULL;
    snprintf(r->version, sizeof r->version, "%s", nb_version());
    verdict_date(r->date);
    if (!o->model) return;
    snprintf(r->model, sizeof r->model, "%s", o->model->path);
    snprintf(r->model_type, sizeof r->model_type, "%s", o->model->model_type);
    snprintf(r->quantization, sizeof r->quantization, "%s", o->model->quantization);
}

nb_status session_begin(session *s, const verify_options *o, const device *d, report *out, nb_error *err) {
    *s = (session){.o = o, .report = out, .started = clock_now()};
    *out = (report){0};
    describe(out, o, &d->info);
    return make_rows(s, d->registry) ? NB_OK : err_no_memory(err, "a verification", 0);
}

void session_end(session *s) {
    free(s->aside);
    free(s->dead);
    free(s->slowness);
}

bool session_any_aside(const session *s) {
    for (size_t i = 0; i < s->n_rows; i++)
        if (s->aside[i]) return true;
    return false;
}

static bool answers_ok(const report *r) {
    bool ok = true;
    for (size_t i = 0; i < r->n_answers; i++) ok &= r->answers[i].ok;
    return ok;
}

/* An answer that differs names no kernel. The steps do; without the ones that they name it is asked for again. */
static nb_status find_cause(session *s, nb_error *err) {
    if (s->report->levels[VERIFY_PLAN].ran) return NB_OK;
    const size_t before = s->report->n_findings;
    nb_status status = session_run_level(s, VERIFY_PLAN, err);
    if (status || s->report->n_findings == before || s->report->impossible[0]) return status;
    return session_run_level(s, VERIFY_ANSWER, err);
}

nb_status verify_run(const verify_options *o, report *out, nb_error *err) {
    session s = {0};
    device *d = NULL;
    *out = (report){0};
    nb_status status = o->backend->open(o->index, &o->device, &d, err);
    if (status) return status;
    status = device_read_environment(d, err);
    if (!status) status = session_begin(&s, o, d, out, err);
    for (verify_level level = 0; level < VERIFY_LEVELS && !status; level++)
        if (o->levels[level] && !out->impossible[0]) status = session_run_level(&s, level, err);
    if (!status && !answers_ok(out) && !out->impossible[0]) status = find_cause(&s, err);
    if (!status && o->model && session_any_aside(&s)) status = session_run_job(&s, job_instead, 1, err);
    session_end(&s);
    d->free(d);
    return status;
}

nb_status verify_judge(const report *r, uint64_t model_set, verdict *out, nb_error *err) {
    *out = (verdict){.device = r->device, .model_set = model_set, .full = r->levels[VERIFY_KERNELS].ran && !r->quick};
    memcpy(out->version, r->version, sizeof out->version);
    memcpy(out->model, r->model, sizeof out->model);
    memcpy(out->date, r->date, sizeof out->date);
    for (size_t i = 0; i < r->n_rows; i++) out->n_kernels += r->rows[i].cases[VERIFY_KERNELS] > 0;
    bool have = true;
    for (size_t i = 0; i < r->n_findings && have; i++)
        if (r->findings[i].kernel[0]) have = verdict_add(out, &r->findings[i]);
    for (size_t i = 0; i < r->n_rows && have; i++) {
        verdict_aside *a = verdict_find(out, r->rows[i].name);
        if (!a) continue;
        memcpy(a->instead, r->rows[i].instead, sizeof a->instead);
        a->slowdown = r->rows[i].slowdown;
    }
    out->without = verdict_names(out);
    return have ? NB_OK : err_no_memory(err, "a verdict", 0);
}
