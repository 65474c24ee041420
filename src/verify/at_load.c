/* SPDX-License-Identifier: Apache-2.0
 *
 * The check when a model is loaded: a short verification of the rows that its plan uses, unless a verdict is at hand,
 * and what is said of it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "verify/report_impl.h"
#include "verify/session_impl.h"

static void say_aside(const verdict *v, const verdict_aside *a) {
    char name[32], instead[200] = "This model does not need it";
    if (a->instead[0] && a->slowdown >= 1)
        snprintf(instead, sizeof instead, "nibble uses %s instead, %.1f times slower", a->instead, a->slowdown);
    else if (a->instead[0])
        snprintf(instead, sizeof instead, "nibble uses %s instead", a->instead);
    log_msg(
        NB_LOG_WARN,
        "kernel %s is set aside on %s (%s): %s: %s. %s. Please report it: `nibble verify MODEL --json FILE` writes all "
        "about it; `nibble verify --forget` forgets it",
        a->kernel, device_text(&v->device, name), v->device.name, finding_kind_name(a->kind), a->what, instead);
}

/* Rows that the model uses although none of its cases could be made for them. */
static void say_unchecked(const report *r, const device *d) {
    char name[32];
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].used && !r->rows[i].aside && report_row_verdict(r, &r->rows[i]) == VERDICT_NOT_REACHED)
            log_msg(
                NB_LOG_WARN,
                "kernel %s is used on %s (%s) but was not checked: a small case of what it computes here is one that "
                "it does not take. `nibble verify MODEL` checks it on other cases",
                r->rows[i].name, device_text(&d->info, name), d->info.name);
}

/* Sets aside what the verdict says. */
static void apply(const verdict *v, device *d) {
    for (size_t i = 0; i < v->n_aside; i++) {
        const krow *row = kreg_named(d->registry, v->aside[i].kernel);
        if (row) kreg_set_aside(d->registry, row, true);
    }
}

static nb_status check_now(const verify_options *o, const device *d, double budget, uint64_t set, verdict *v,
                           nb_error *err) {
    session s;
    report r;
    nb_status status = session_begin(&s, o, d, &r, err);
    *v = (verdict){0};
    s.budget = budget;
    s.only_used = true;
    if (!status) status = session_run_level(&s, VERIFY_KERNELS, err);
    if (!status && session_any_aside(&s)) status = session_run_job(&s, job_instead, 1, err);
    if (!status) status = verify_judge(&r, set, v, err);
    v->full = o->depth == CHECK_FULL;
    log_msg(NB_LOG_INFO, "verified %" PRId64 " kernels in %.2f s", v->n_kernels, clock_now() - s.started);
    for (size_t i = 0; i < r.n_rows; i++)
        if (r.rows[i].cases[VERIFY_KERNELS])
            log_msg(NB_LOG_DEBUG, "kernel %s: %" PRId64 " cases, %.3f s", r.rows[i].name,
                    r.rows[i].cases[VERIFY_KERNELS], r.rows[i].seconds);
    for (size_t i = 0; i < v->n_aside && !status; i++) say_aside(v, &v->aside[i]);
    if (!status) say_unchecked(&r, d);
    session_end(&s);
    report_free(&r);
    return status;
}

/* In short, since it was said before. */
static void say_known(const verdict *v) {
    buf names = {.limit = 500};
    for (size_t i = 0; i < v->n_aside; i++) buf_printf(&names, "%s%s", i ? ", " : "", v->aside[i].kernel);
    if (v->n_aside > 0)
        log_msg(NB_LOG_WARN, "known to be wrong on this device and not used: %s%s (`nibble verify --list` says more)",
                names.data ? names.data : "", names.failed ? ", ..." : "");
    buf_free(&names);
}

/* What takes the place of a row that a later verdict, or that of another model, has set aside was not checked yet. */
static bool is_enough(const verdict *v, const verdict *known, check_level depth) {
    return v->n_kernels > 0 && (v->full || depth != CHECK_FULL) && v->without == verdict_names(known);
}

/* Checks what is left, and remembers it together with what the verdict has said before. */
static nb_status renew(const verify_options *o, device *d, double budget, uint64_t set, const verdict *old,
                       verdict *known, nb_error *err) {
    verdict v;
    nb_error error;
    nb_status status = check_now(o, d, budget, set, &v, err);
    if (!status && (!verdict_merge(&v, old) || !verdict_merge(known, &v))) status = err_no_memory(err, "a verdict", 0);
    v.without = verdict_names(known);
    if (!status && verdict_write(&v, &error))
        log_msg(NB_LOG_WARN, "the verdict about the kernels cannot be remembered: %s", error.text);
    if (!status) apply(&v, d);
    verdict_free(&v);
    return status;
}

/* The same where children of this process cannot: somebody else leaves the verdict. */
static nb_status renew_elsewhere(const verify_options *o, device *d, uint64_t set, const verdict *known,
                                 nb_error *err) {
    verdict v = {0}, now = {0};
    char text[32];
    bool found;
    nb_status status = o->elsewhere(o->elsewhere_user, err);
    if (!status) status = verdict_known(&d->info, &now, err);
    if (!status) status = verdict_read(&d->info, set, &v, &found, err);
    if (!status && !is_enough(&v, &now, o->depth))
        status = err_set(err, NB_ERR_INTERNAL,
                         "the process that checked the kernels of %s has left no verdict in $NIBBLE_HOME/verdicts",
                         device_text(&d->info, text));
    for (size_t i = 0; i < now.n_aside && !status; i++)
        if (!verdict_find(known, now.aside[i].kernel)) say_aside(&now, &now.aside[i]);
    if (!status) apply(&now, d);
    verdict_free(&now);
    verdict_free(&v);
    return status;
}

/* A row that was found to be wrong with one model is used for none. */
nb_status verify_at_load(const verify_options *o, device *d, double budget, nb_error *err) {
    uint64_t set;
    verdict v = {0}, known = {0};
    bool found;
    nb_status status = used_set(o->model->plan, &o->model->executor, &set, err);
    if (!status) status = verdict_known(&d->info, &known, err);
    if (!status) status = verdict_read(&d->info, set, &v, &found, err);
    if (!status) {
        apply(&known, d);
        say_known(&known);
        if (!is_enough(&v, &known, o->depth))
            status = o->elsewhere && d->driver_runs && d->driver_runs(d) ? renew_elsewhere(o, d, set, &known, err)
                                                                         : renew(o, d, budget, set, &v, &known, err);
    }
    verdict_free(&known);
    verdict_free(&v);
    return status;
}
