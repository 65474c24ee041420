/* SPDX-License-Identifier: Apache-2.0
 *
 * The level `kernels`: rows against the reference on made-up operands. Without a model all rows are walked over all
 * cases. With one, first every row that could compute one of its calls, in the model's own shapes; then the cases of
 * the walk for those rows. At load only the rows that the plan uses, for as long as there is time. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/num.h"
#include "verify/session_impl.h"

typedef struct walk {
    session *s;
    bool counting;    /* only how many cases there are */
    int64_t n, total; /* cases made; of all */
    int64_t resume;   /* cases that an earlier child has done */
    bool *wanted;     /* [n_rows]; NULL: all rows */
    bool failed;      /* told */
} walk;

static const krow *row_at(const session *s, size_t i) {
    return kreg_at(s->device->registry, i);
}

/* ---- One row on one case ---------------------------------------------------------------------------------------- */

/* False when no more can be done at all. *wrong: something was found. */
static bool run_row(session *s, int i, const check_spec *spec, int64_t position, bool *wrong) {
    const rec_begin begin = {.row = i, .position = position, .has_spec = true, .spec = *spec};
    finding found;
    nb_error err;
    double worst = 0, start = clock_now();
    worker_send(s->worker, REC_BEGIN, &begin, sizeof begin);
    nb_status status = check_row(s->check, s->device, row_at(s, (size_t)i), &found, &worst, &err);
    if (status) {
        session_fail(s, &err);
        return false;
    }
    *wrong = found.kind != FOUND_NOTHING;
    if (*wrong) {
        session_found(s, &found);
        s->report->rows[i].n_findings++;
    }
    session_case(s, i, worst, clock_now() - start);
    return true;
}

/* ---- All rows that take a case ---------------------------------------------------------------------------------- */

static bool is_wanted(const walk *w, size_t i, kop op) {
    const session *s = w->s;
    return row_at(s, i)->op == op && !s->dead[i] && s->report->rows[i].n_findings < MOST_FINDINGS &&
           (!w->wanted || w->wanted[i]);
}

/* Counts a case. Whether this child is the one to do it, and has not done so. */
static bool is_mine(walk *w) {
    w->n++;
    return !w->counting && w->n > w->resume && w->n % w->s->n_children == w->s->index;
}

static bool visit(void *user, const check_spec *spec) {
    walk *w = user;
    session *s = w->s;
    if (!is_mine(w)) return true;
    bool any = false;
    for (size_t i = 0; i < s->n_rows && !any; i++) any = is_wanted(w, i, spec->op);
    if (!any) return true;
    nb_error err;
    bool wrong, taken;
    if (check_load_for(s->check, spec, s->device->registry, &taken, &err)) {
        session_fail(s, &err);
        return !(w->failed = true);
    }
    if (!taken) return true;
    for (size_t i = 0; i < s->n_rows; i++)
        if (is_wanted(w, i, spec->op) && check_takes(s->check, row_at(s, i)))
            if (!run_row(s, (int)i, spec, w->n - 1, &wrong)) return !(w->failed = true);
    if (w->n / w->s->n_children % 8 == 0) session_progress(s, (double)w->n, (double)w->total);
    return true;
}

static void walk_all(walk *w) {
    for (kop op = 0; op < KOP_COUNT && !w->failed; op++) check_specs(op, w->s->o->depth, w->s->o->seed, visit, w);
}

/* Operands past 2^31 elements, for every row that may have such. */
static void visit_far(walk *w) {
    session *s = w->s;
    for (size_t i = 0; i < s->n_rows && !w->failed; i++) {
        const krow *row = row_at(s, i);
        if (!is_mine(w) || !is_wanted(w, i, row->op)) continue;
        const rec_begin begin = {.row = (int)i, .position = w->n, .layer = -1, .where = "operands past 2^31 elements"};
        check_far_count count = {0};
        finding found;
        nb_error err;
        double worst = 0, start = clock_now();
        worker_send(s->worker, REC_BEGIN, &begin, sizeof begin);
        const check_clock clock = session_clock(s);
        w->failed = check_far(s->device, row, s->o->seed + 1, &clock, &found, &count, &worst, &err) != NB_OK;
        session_ran(s);
        if (w->failed)
            session_fail(s, &err);
        else if (found.kind != FOUND_NOTHING)
            session_found(s, &found);
        if (count.n > count.left_out) session_case(s, (int)i, worst, clock_now() - start);
        session_progress(s, (double)w->n, (double)w->total);
    }
}

/* ---- The cases of a model --------------------------------------------------------------------------------------- */

static const check_pattern patterns[] = {CHECK_NORMAL, CHECK_ONE_HOT,  CHECK_WIDE,    CHECK_SUBNORMAL,
                                         CHECK_LARGE,  CHECK_ZERO,     CHECK_EXTREME, CHECK_SIGNED_ZERO,
                                         CHECK_SMALL,  CHECK_ALTERNATE};
enum { N_PATTERNS = sizeof patterns / sizeof patterns[0], QUICK_PATTERNS = 2 };

/* A case with its numbers chosen: the pass-th ones. */
static check_spec with_numbers(const check_spec *shape, uint64_t seed, size_t pass) {
    check_spec spec = *shape;
    spec.pattern = patterns[pass % N_PATTERNS];
    spec.seed = seed + 1 + pass;
    return spec;
}

/* For more tokens and fewer. */
static void visit_counts(walk *w, const check_spec *shape) {
    static const int64_t counts[] = {1, 13, 2, 3, 8, 33, 64};
    const bool full = w->s->o->depth == CHECK_FULL;
    const size_t n_counts = full ? sizeof counts / sizeof counts[0] : 2, n_passes = full ? N_PATTERNS : QUICK_PATTERNS;
    for (size_t i = 0; i < n_counts && !w->failed; i++) {
        check_spec one = *shape;
        one.rows = counts[i];
        for (size_t pass = 0; pass < n_passes && !w->failed; pass++) {
            const check_spec spec = with_numbers(&one, w->s->o->seed, i * N_PATTERNS + pass);
            visit(w, &spec);
        }
    }
}

/* What takes a set-aside row's place may read or write another form of the activations. */
static void visit_forms(walk *w, const check_spec *shape) {
    check_spec other = *shape;
    visit_counts(w, shape);
    if (kop_is_product(shape->op) && shape->x_type != DT_F32) {
        other.x_type = DT_F32;
        other.group = 0;
        visit_counts(w, &other);
    } else if (!kop_is_product(shape->op) && shape->y_type == DT_XI8X3 && shape->op != KOP_QUANTIZE) {
        other.y_type = DT_F32;
        other.group = 0;
        visit_counts(w, &other);
    }
}

/* More than a million outputs: a fault that hits one in a million has its place here. Left out are operations whose
 * reference takes long, and what copies (SELECT_*, EMBED) is as good at another size. */
static void visit_large(walk *w, const check_spec *shape) {
    enum { OUTPUTS = 1100000, ROWS = 64 };
    check_spec large = *shape;
    switch (shape->op) {
    case KOP_MATMUL:
        large.k = shape->mode == W_PLAIN ? min_i64(shape->k, 64) : max_i64(shape->group_size, shape->group);
        large.rows = ROWS;
        large.cols = OUTPUTS / ROWS;
        break;
    case KOP_RMSNORM:
    case KOP_QUANTIZE:
    case KOP_ROPE:
    case KOP_ACT_MUL:
    case KOP_ADD:
    case KOP_SCALE:
    case KOP_SOFTCAP:
        large.rows = OUTPUTS / large.cols + 1;
        break;
    default:
        return;
    }
    const check_spec spec = with_numbers(&large, w->s->o->seed, 0);
    visit(w, &spec);
}

/* The rows of the plan's calls, from `first` on. */
static void tell_used(const session *s, const used_calls *calls, size_t first) {
    for (size_t c = first; c < calls->n; c++) {
        const int row = session_row(s, calls->items[c].row);
        worker_send(s->worker, REC_USED, &row, sizeof row);
    }
}

/* Which rows could compute something of the plan: those that take one of its cases. */
static void find_wanted(walk *w, const used_calls *calls) {
    session *s = w->s;
    tell_used(s, calls, 0);
    for (size_t c = 0; c < calls->n && !w->failed; c++) {
        for (int form = 0; form < 2; form++) {
            check_spec spec = with_numbers(&calls->items[c].spec, s->o->seed, 0);
            if (form == 1 && spec.y_type == DT_XI8X3) spec.y_type = DT_F32, spec.group = 0;
            if (form == 1 && kop_is_product(spec.op)) spec.x_type = DT_F32, spec.group = 0;
            nb_error err;
            if (check_load(s->check, &spec, &err)) {
                session_fail(s, &err);
                w->failed = true;
                return;
            }
            for (size_t i = 0; i < s->n_rows; i++)
                if (row_at(s, i)->op == spec.op && check_takes(s->check, row_at(s, i))) w->wanted[i] = true;
        }
    }
}

static void visit_model(walk *w, const used_calls *calls) {
    for (size_t c = 0; c < calls->n && !w->failed; c++) visit_forms(w, &calls->items[c].spec);
    for (size_t c = 0; c < calls->n && !w->failed; c++) {
        bool known = false;
        for (size_t before = 0; before < c && !known; before++) known = calls->items[before].row == calls->items[c].row;
        if (!known) visit_large(w, &calls->items[c].spec);
    }
}

static void count(session *s, const used_calls *calls, walk *w) {
    *w = (walk){.s = s, .counting = true};
    if (calls) visit_model(w, calls);
    walk_all(w);
    if (!s->only_used) visit_far(w);
    *w = (walk){.s = s, .total = w->n, .resume = s->position};
}

/* calls: the model's, NULL without one. */
static void verify_all(session *s, const used_calls *calls, bool *wanted) {
    walk w;
    count(s, calls, &w);
    w.wanted = calls ? wanted : NULL;
    if (calls) find_wanted(&w, calls);
    if (calls && !w.failed) visit_model(&w, calls);
    if (!w.failed) walk_all(&w);
    if (!w.failed) visit_far(&w);
}

/* ---- At load ---------------------------------------------------------------------------------------------------- */

/* Case c in its pass-th numbers; a row that is wrong is set aside. */
static bool check_call(session *s, const used_call *call, size_t pass, bool *wrong) {
    const int i = session_row(s, call->row);
    const check_spec spec = with_numbers(&call->spec, s->o->seed, pass);
    nb_error err;
    *wrong = false;
    if (s->aside[i] || s->dead[i]) return true;
    if (check_load(s->check, &spec, &err)) {
        session_fail(s, &err);
        return false;
    }
    /* A case cannot have all that a call has (weights of its size, ...). The load names a row that none has reached. */
    if (!check_takes(s->check, call->row)) return true;
    if (!run_row(s, i, &spec, 0, wrong)) return false;
    if (*wrong) {
        s->aside[i] = true;
        kreg_set_aside(s->device->registry, call->row, true);
    }
    return true;
}

/* All cases from `first` on in one kind of numbers; false to stop. */
static bool check_calls(session *s, const used_calls *calls, size_t first, size_t pass, double deadline, bool *any) {
    for (size_t c = first; c < calls->n; c++) {
        bool wrong;
        if (deadline > 0 && clock_now() > deadline) return false;
        if (!check_call(s, &calls->items[c], pass, &wrong)) return false;
        *any |= wrong;
    }
    return true;
}

/* Until all rows that the plan uses have passed: one that is wrong makes the plan use others, which are new cases. Then
 * the same with other numbers while there is time. */
static void verify_used(session *s, used_calls *calls) {
    const double deadline = s->budget > 0 ? s->started + s->budget : 0;
    const plan_on_device p = session_plan(s);
    size_t done = 0;
    for (size_t pass = 0; pass < N_PATTERNS;) {
        nb_error err = {0};
        bool any = false;
        if (used_find(&p, calls, &err)) {
            session_stop(s, &err);
            return;
        }
        tell_used(s, calls, done);
        /* The first pass is owed to every case, whatever the time. */
        if (!check_calls(s, calls, done, 0, 0, &any)) return;
        done = calls->n;
        if (any) continue;
        if (deadline > 0 && clock_now() > deadline) return;
        if (++pass < N_PATTERNS && !check_calls(s, calls, 0, pass, deadline, &any)) return;
    }
}

/* All cases of the walk, for the rows that the plan uses. */
static void verify_used_fully(session *s, const used_calls *calls, bool *wanted) {
    walk w;
    for (size_t c = 0; c < calls->n; c++) wanted[session_row(s, calls->items[c].row)] = true;
    count(s, NULL, &w);
    w.wanted = wanted;
    walk_all(&w);
}

/* ---- The job ---------------------------------------------------------------------------------------------------- */

void job_kernels(session *s, worker *w) {
    used_calls calls = {0};
    nb_error err = {0};
    if (!session_open_device(s, w)) return;
    if (check_new(&s->check, &err)) {
        session_fail(s, &err);
        return;
    }
    const check_clock clock = session_clock(s);
    check_set_clock(s->check, &clock);
    bool *wanted = calloc(s->n_rows + 1, sizeof *wanted);
    const plan_on_device p = s->o->model ? session_plan(s) : (plan_on_device){0};
    if (!wanted) {
        err_no_memory(&err, "a verification", 0);
        session_fail(s, &err);
    } else if (s->only_used) {
        verify_used(s, &calls);
        if (s->o->depth == CHECK_FULL) verify_used_fully(s, &calls, wanted);
    } else if (!s->o->model) {
        verify_all(s, NULL, wanted);
    } else if (used_find(&p, &calls, &err) == NB_OK) {
        verify_all(s, &calls, wanted);
    } else {
        session_stop(s, &err);
    }
}
