/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/scales.h"

#include <stdatomic.h>

typedef struct check_job {
    const plan *p;
    _Atomic int next, failed; /* failed: number of the first bad weight + 1 */
} check_job;

static nb_status check_weight(const plan_weight *w, nb_error *err) {
    nb_status status = NB_OK;
    for (int i = 0; w->w.mode != W_PLAIN && i < w->n_tensors && !status; i++)
        if (dtype_is_float(w->tensors[i]->type)) status = tensor_check_finite(w->tensors[i], err);
    return status;
}

static void check_some(void *user, int thread) {
    (void)thread;
    check_job *job = user;
    for (int i; (i = atomic_fetch_add(&job->next, 1)) < job->p->n_weights;)
        if (check_weight(&job->p->weights[i], NULL)) atomic_store(&job->failed, i + 1);
}

nb_status plan_check_scales(const plan *p, pool *threads, nb_error *err) {
    check_job job = {.p = p};
    pool_run(threads, check_some, &job);
    return job.failed ? check_weight(&p->weights[job.failed - 1], err) : NB_OK;
}
