/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over all cases and rows. */
#include "verify/check.h"

#include <stdlib.h>

typedef struct walk {
    const kregistry *registry;
    const check_report *report;
    check *check;
    size_t *cases, *failures; /* of each row */
    nb_status fatal;          /* not a wrong row: no memory */
    nb_error *err;
} walk;

enum { MOST_FAILURES = 3 };

static bool visit(void *user, const check_spec *spec) {
    walk *w = user;
    w->fatal = check_load(w->check, spec, w->err);
    for (size_t i = 0; w->fatal == NB_OK && i < kreg_count(w->registry); i++) {
        const krow *row = kreg_at(w->registry, i);
        if (w->failures[i] >= MOST_FAILURES || !check_takes(w->check, row)) continue;
        w->cases[i]++;
        if (w->report->running) w->report->running(w->report->user, row, spec);
        nb_error error;
        nb_status status = check_row(w->check, row, &error);
        if (status == NB_ERR_NO_MEMORY) {
            if (w->err) *w->err = error;
            w->fatal = status;
        } else if (status != NB_OK) {
            w->failures[i]++;
            w->report->failed(w->report->user, error.text);
        }
    }
    return w->fatal == NB_OK;
}

static bool has_rows(const kregistry *r, kop op) {
    for (size_t i = 0; i < kreg_count(r); i++)
        if (kreg_at(r, i)->op == op) return true;
    return false;
}

static nb_status judge(const walk *w) {
    size_t wrong = 0, n = kreg_count(w->registry);
    for (size_t i = 0; i < n; i++) {
        const krow *row = kreg_at(w->registry, i);
        if (w->cases[i] == 0) {
            nb_error error;
            err_set(&error, NB_ERR_INTERNAL, "kernel %s: no case of the walk reached it", row->name);
            w->report->failed(w->report->user, error.text);
        }
        wrong += w->cases[i] == 0 || w->failures[i] > 0;
    }
    if (wrong == 0) return NB_OK;
    return err_set(w->err, NB_ERR_INTERNAL, "%zu of %zu kernels failed their check", wrong, n);
}

nb_status check_walk(const kregistry *r, check_level level, const check_report *report, size_t *cases, nb_error *err) {
    walk w = {.registry = r, .report = report, .cases = cases, .err = err};
    for (size_t i = 0; i < kreg_count(r); i++) cases[i] = 0;
    nb_status status = check_new(&w.check, err);
    if (status != NB_OK) return status;
    w.failures = calloc(kreg_count(r) + 1, sizeof *w.failures);
    if (!w.failures) status = err_no_memory(err, "a kernel check", 0);
    for (kop op = 0; status == NB_OK && op < KOP_COUNT; op++)
        if (has_rows(r, op) && !check_specs(op, level, visit, &w)) status = w.fatal;
    if (status == NB_OK) status = judge(&w);
    free(w.failures);
    check_free(w.check);
    return status;
}
