/* SPDX-License-Identifier: Apache-2.0
 *
 * A verification of one device, from its options to a report: what `nibble verify` does, and what is done when a model
 * is loaded. Kernels run in child processes (worker.h), so that one that crashes or hangs is a finding like another. */
#ifndef NB_VERIFY_SESSION_H
#define NB_VERIFY_SESSION_H

#include "plan/backend.h"
#include "verify/check.h"
#include "verify/report.h"
#include "verify/verdict.h"

/* A model to verify with. Nothing here is owned. */
typedef struct verify_model {
    const plan *plan;
    const weights *files;
    executor_options executor; /* threads, batch, type of the KV cache; pages and slots are the verification's own */
    int64_t vocab_size;
    const char *path, *model_type, *quantization;
    /* Prompts for the levels paths, plan (the first one) and answer; tokens. */
    const int32_t *const *prompts;
    const int64_t *prompt_lengths;
    const char *const *prompt_texts;
    int n_prompts;
    /* Tokens to text, into `to`; may be NULL. */
    void (*text)(void *user, const int32_t *ids, int64_t n, char *to, size_t size);
    bool (*is_end)(void *user, int32_t token); /* whether an answer ends with it; may be NULL */
    void *user;
} verify_model;

typedef struct verify_options {
    const backend *backend;
    int index; /* of the device */
    device_options device;
    const backend *host;       /* whose executor runs rows on the CPU: for the run that the reference backs */
    const verify_model *model; /* NULL: the whole registry; only the level kernels */
    bool levels[VERIFY_LEVELS];
    check_level depth;
    uint64_t seed;
    double silence; /* seconds for which a kernel may run */
    int n_children; /* processes that share the level kernels; 0: as many as there are processors, at most 16 */
    /* At load: checks in a process that is no child, and leaves a verdict, where the device's driver runs in this one.
     * NULL: it never does. */
    nb_status (*elsewhere)(void *user, nb_error *err);
    void *elsewhere_user;
    nb_progress_fn progress; /* stages "kernels", "paths", "plan", "answer"; may be NULL */
    void *progress_user;
} verify_options;

/* Runs the levels. NB_OK whatever was found; *out is the caller's to free (report_free), also after an error. */
nb_status verify_run(const verify_options *o, report *out, nb_error *err);
/* What follows from a report: a verdict to be remembered. */
nb_status verify_judge(const report *r, uint64_t model_set, verdict *out, nb_error *err);

/* The check at load: the rows that the model's plan uses on `d`, which has been opened with o->device and has set aside
 * what the environment says, within `budget` seconds or so (0: as long as the depth takes). Rows that are wrong are set
 * aside in d; the verdict is remembered, and a remembered one spares the check. Says in the log what was found. Where
 * nothing is left for some step, the executor cannot be made any more: NB_ERR_UNSUPPORTED then. */
nb_status verify_at_load(const verify_options *o, device *d, double budget, nb_error *err);

#endif
