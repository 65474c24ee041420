/* SPDX-License-Identifier: Apache-2.0
 *
 * Registration: what stands in front of cpu_register, and the rows that wrap real ones. */
#include "support/faults/faults.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/num.h"

/* A row of the faulty backend. row comes first: what is given a row to run finds the rest behind it. */
typedef struct wrapper {
    krow row;
    const krow *real;
    const fault *fault;
    char name[96];
} wrapper;

/* Rows must outlive registries, of which a process may make many: wrappers are kept, and used again. */
enum { MOST_WRAPPERS = 4096 };
static wrapper *wrappers[MOST_WRAPPERS];
static size_t n_wrappers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *fault_alloc(size_t bytes) {
    void *p = aligned_alloc(64, round_up(bytes + 1, 64));
    if (!p) abort();
    return p;
}

void fault_run_real(const krow *real, const kcall *c) {
    size_t size = real->scratch ? real->scratch(real, c) : 0;
    void *scratch = size > 0 ? fault_alloc(size) : NULL;
    real->run(real, c, 0, real->tasks(real, c), scratch);
    free(scratch);
}

const fault *fault_named(const char *name) {
    for (const fault *f = faults; f->name; f++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static int64_t one_task(const krow *row, const kcall *c) {
    (void)row, (void)c;
    return 1;
}

/* A call without tokens has nothing to be wrong about. */
static void faulty_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const wrapper *w = (const wrapper *)row;
    const int64_t n_tokens = c->op == KOP_KV_STORE ? c->x.rows : c->y.rows;
    if (begin >= end) return;
    if (n_tokens == 0)
        fault_run_real(w->real, c);
    else if (w->fault->weight)
        fault_product(c, w->fault->weight);
    else
        w->fault->run(w->real, c);
}

bool fault_is_in(const krow *row) {
    return row->run == faulty_run;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool matches(const char *patterns, const char *name) {
    for (const char *at = patterns; *at;) {
        size_t length = strcspn(at, ",");
        if (glob_matches(at, length, name)) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static bool is_only_row(const kregistry *r, const krow *row) {
    size_t n = 0;
    for (size_t i = 0; i < kreg_count(r); i++) n += kreg_at(r, i)->op == row->op;
    return n == 1;
}

/* A kept row that stands for `real`: with a fault, or (fault NULL) as a plain second one. NULL: no memory. */
static const krow *wrap(const krow *real, const fault *f) {
    for (size_t i = 0; i < n_wrappers; i++)
        if (wrappers[i]->real == real && wrappers[i]->fault == f) return &wrappers[i]->row;
    wrapper *w = n_wrappers < MOST_WRAPPERS ? calloc(1, sizeof *w) : NULL;
    if (!w) return NULL;
    *w = (wrapper){.row = *real, .real = real, .fault = f};
    if (f) {
        w->row.tasks = one_task;
        w->row.scratch = NULL;
        w->row.run = faulty_run;
    } else {
        snprintf(w->name, sizeof w->name, "%s.plain", real->name);
        w->row.name = w->name;
        w->row.rank = -1;
    }
    wrappers[n_wrappers++] = w;
    return &w->row;
}

static nb_status add_wrapped(kregistry *r, const krow *real, const fault *f, nb_error *err) {
    pthread_mutex_lock(&lock);
    const krow *row = wrap(real, f);
    pthread_mutex_unlock(&lock);
    return row ? kreg_add(r, row, 1, err) : err_no_memory(err, "a faulty row", sizeof(wrapper));
}

static nb_status add(kregistry *r, const kregistry *all, const krow *real, const fault *f, nb_error *err) {
    bool only = is_only_row(all, real);
    if (!matches(f->rows, real->name) || (ends_with(real->name, ".scalar") && !only)) return kreg_add(r, real, 1, err);
    nb_status status = add_wrapped(r, real, f, err);
    return only && !status ? add_wrapped(r, real, NULL, err) : status;
}

nb_status __real_cpu_register(kregistry *r, unsigned caps, nb_error *err);
nb_status __wrap_cpu_register(kregistry *r, unsigned caps, nb_error *err);
nb_status __wrap_cpu_register(kregistry *r, unsigned caps, nb_error *err) {
    const char *name = getenv("NB_FAULT");
    if (!name || !name[0]) return __real_cpu_register(r, caps, err);
    const fault *f = fault_named(name);
    if (!f) return err_set(err, NB_ERR_ARGUMENT, "NB_FAULT=%s: there is no such fault", name);
    kregistry *all;
    nb_status status = kreg_new(&all, err);
    if (status) return status;
    status = __real_cpu_register(all, caps, err);
    for (size_t i = 0; i < kreg_count(all) && !status; i++) status = add(r, all, kreg_at(all, i), f, err);
    kreg_free(all);
    return status;
}
