/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of a verification share. The same struct serves the parent and, as its copy, each child: a job reads
 * what was found so far and tells of everything new by records. Internal to the session. */
#ifndef NB_VERIFY_SESSION_IMPL_H
#define NB_VERIFY_SESSION_IMPL_H

#include "base/pool.h"
#include "verify/session.h"
#include "verify/used.h"
#include "verify/worker.h"

enum session_record {
    REC_BEGIN,      /* rec_begin: it is this row's turn; if the process ends, it is to blame */
    REC_RUNS,       /* double: the row runs now, which must not take too long; seconds of the reference, or 0 */
    REC_BACK,       /* double: it has come back, after so many seconds */
    REC_RAN,        /* the row's turn is over; what may fail from here on is not its fault */
    REC_CASE,       /* rec_case: it has passed, or a finding has just told otherwise */
    REC_FOUND,      /* finding */
    REC_USED,       /* int: the plan uses this row */
    REC_PROGRESS,   /* double[2]: done, total */
    REC_ANSWER,     /* report_answer */
    REC_INSTEAD,    /* rec_instead */
    REC_IMPOSSIBLE, /* char[512]: why the model cannot run */
    REC_ERROR       /* nb_error: no fault of a row */
};

typedef struct rec_begin {
    int row;          /* of the registry */
    int64_t position; /* KERNELS: cases made so far */
    bool has_spec;
    check_spec spec;
    char where[400], step[128]; /* without a spec */
    int layer;
} rec_begin;

typedef struct rec_case {
    int row;
    double worst, seconds;
} rec_case;

typedef struct rec_instead {
    char kernel[96], instead[96];
    double slowdown;
} rec_instead;

enum { MOST_FINDINGS = 3, MAX_CHILDREN = 16 }; /* findings of a row: then it is known well enough */

/* What children tell, each of which has a thread that listens, is taken down within worker_lock. */
typedef struct session {
    const verify_options *o;
    report *report;
    verify_level level; /* that runs now */
    double budget, started;
    bool only_used; /* at load: no other rows, no walk over all cases */
    /* By row of the registry. */
    bool *aside;      /* found to be wrong: not to be used any more (report_row.aside: before that, by the user) */
    bool *dead;       /* has crashed or hung: not to be run any more */
    double *slowness; /* the most that it took, as a multiple of the reference's time */
    size_t n_rows;
    bool new_aside; /* since the level began */
    nb_error error; /* from REC_ERROR */
    bool cancelled, no_memory;
    double shown; /* progress */
    int n_children;
    /* In the child. */
    int index;        /* of n_children: it does each n_children-th case */
    int64_t position; /* KERNELS: where to go on after a crash */
    double run_began;
    worker *worker;
    device *device;
    check *check;
} session;

/* What the parent knows of one child. */
typedef struct child {
    session *session;
    void (*job)(session *s, worker *w);
    int index;
    pool *followers;         /* whose member follows it */
    int64_t position;        /* of the last... */
    rec_begin running;       /* ...row that it began */
    bool has_running;        /* and has not ended */
    bool in_run;             /* it runs, for which it has... */
    double reference, limit; /* ...`limit` seconds; the reference's */
    int suspect;             /* a row that has hung once, + 1: the machine may have been busy; 0: none */
    nb_error failure;        /* with which the row that it began has broken the device's driver; status 0: none */
    nb_status status;
    nb_error error;
} child;

/* The jobs, each in a child of its own; KERNELS in several. */
void job_kernels(session *s, worker *w);
void job_paths(session *s, worker *w);
void job_plan(session *s, worker *w);
void job_answer(session *s, worker *w);
void job_instead(session *s, worker *w);

/* The parent's side. *out and what the session holds are to be freed also after an error (session_end, report_free). */
nb_status session_begin(session *s, const verify_options *o, const device *d, report *out, nb_error *err);
void session_end(session *s);
nb_status session_run_job(session *s, void (*job)(session *s, worker *w), int n_children, nb_error *err);
nb_status session_run_level(session *s, verify_level level, nb_error *err);
bool session_any_aside(const session *s);

/* In a child: the device, with all rows set aside that are. False: it could not be opened (REC_ERROR was sent). */
bool session_open_device(session *s, worker *w);
plan_on_device session_plan(const session *s);
/* The number of a row in the registry. */
int session_row(const session *s, const krow *row);
void session_fail(session *s, const nb_error *err);
/* The same, but where no row is left for some step the model is impossible, which is a result. */
void session_stop(session *s, const nb_error *err);
void session_found(session *s, finding *f);
void session_case(session *s, int row, double worst, double seconds);
void session_runs(session *s, double reference);
void session_back(session *s);
void session_ran(session *s);
check_clock session_clock(session *s);
void session_progress(session *s, double done, double total);

#endif
