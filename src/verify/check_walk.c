/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over all cases and rows. */
#include "verify/check.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct walk {
    device *device;
    const check_report *report;
    check *check;
    check_tally *tallies; /* of each row */
    finding found;        /* the last one */
    nb_status fatal;      /* not a wrong row: no memory, a lost device */
    nb_error *err;
} walk;

enum { MOST_FINDINGS = 3 };

static void judge(walk *w, check_tally *tally, double worst) {
    if (worst > tally->worst) tally->worst = worst;
    if (w->found.kind == FOUND_NOTHING) return;
    tally->findings++;
    w->report->found(w->report->user, &w->found);
}

static bool visit(void *user, const check_spec *spec) {
    walk *w = user;
    bool taken;
    w->fatal = check_load_for(w->check, spec, w->device->registry, &taken, w->err);
    for (size_t i = 0; w->fatal == NB_OK && taken && i < kreg_count(w->device->registry); i++) {
        const krow *row = kreg_at(w->device->registry, i);
        check_tally *tally = &w->tallies[i];
        if (tally->findings >= MOST_FINDINGS || !check_takes(w->check, row)) continue;
        double worst;
        tally->cases++;
        if (w->report->running) w->report->running(w->report->user, row, spec);
        w->fatal = check_row(w->check, w->device, row, &w->found, &worst, w->err);
        if (w->fatal == NB_OK) judge(w, tally, worst);
    }
    return w->fatal == NB_OK;
}

static bool has_rows(const kregistry *r, kop op) {
    for (size_t i = 0; i < kreg_count(r); i++)
        if (kreg_at(r, i)->op == op) return true;
    return false;
}

bool check_each(const kregistry *r, check_level level, uint64_t seed, check_visit *visitor, void *user) {
    for (kop op = 0; op < KOP_COUNT; op++)
        if (has_rows(r, op) && !check_specs(op, level, seed, visitor, user)) return false;
    return true;
}

static nb_status walk_far(walk *w, uint64_t seed) {
    nb_status status = NB_OK;
    for (size_t i = 0; status == NB_OK && i < kreg_count(w->device->registry); i++) {
        check_tally *tally = &w->tallies[i];
        if (tally->findings >= MOST_FINDINGS) continue;
        check_far_count count = {0};
        double worst = 0;
        status = check_far(w->device, kreg_at(w->device->registry, i), seed, NULL, &w->found, &count, &worst, w->err);
        tally->cases += (size_t)count.n;
        tally->far_left_out = count.left_out;
        if (status == NB_OK) judge(w, tally, worst);
    }
    return status;
}

static void report_unreached(walk *w) {
    for (size_t i = 0; i < kreg_count(w->device->registry); i++) {
        const krow *row = kreg_at(w->device->registry, i);
        if (w->tallies[i].cases > 0) continue;
        w->found = (finding){.kind = FOUND_NOT_REACHED, .op = row->op, .layer = -1};
        snprintf(w->found.kernel, sizeof w->found.kernel, "%s", row->name);
        snprintf(w->found.what, sizeof w->found.what, "no case of the walk reached it");
        judge(w, &w->tallies[i], 0);
    }
}

nb_status check_walk(device *d, check_level level, uint64_t seed, const check_report *report, check_tally *tallies,
                     nb_error *err) {
    walk w = {.device = d, .report = report, .tallies = tallies, .err = err};
    for (size_t i = 0; i < kreg_count(d->registry); i++) tallies[i] = (check_tally){0};
    nb_status status = check_new(&w.check, err);
    if (status != NB_OK) return status;
    if (!check_each(d->registry, level, seed, visit, &w)) status = w.fatal;
    if (status == NB_OK && level == CHECK_FULL) status = walk_far(&w, seed);
    if (status == NB_OK) report_unreached(&w);
    check_free(w.check);
    return status;
}
