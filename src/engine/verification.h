/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification of a model on a device: brings what the engine knows (backends, prompts, texts) to src/verify/. */
#ifndef NB_ENGINE_VERIFICATION_H
#define NB_ENGINE_VERIFICATION_H

#include "engine/engine.h"
#include "verify/session.h"
#include "verify/used.h"

/* What a person may ask for. */
typedef struct verification_request {
    const char *backend; /* NULL: all that there are */
    int index;           /* of the device; -1: all of the backend */
    bool levels[VERIFY_LEVELS];
    bool full;
    uint64_t seed;
    int n_threads;
    nb_kv_type kv_type;
    nb_progress_fn progress;
    void *progress_user;
} verification_request;

/* Verifies model (NULL: the whole registry) on each device asked for; *reports, *n: one for each, to be freed with
 * verification_free also after an error. Remembers the verdicts. */
nb_status verification_run(nb_model *model, const verification_request *request, report **reports, size_t *n,
                           nb_error *err);
void verification_free(report *reports, size_t n);

/* Visits the verdicts about this machine's devices as they are now; *n_others: how many there are of other devices,
 * drivers or builds of nibble. */
nb_status verification_list(void (*visit)(void *user, const verdict *v), void *user, size_t *n_others, nb_error *err);

/* "quick", "full", "off" or "watch" to *out; NB_ERR_ARGUMENT for another word, which `what` has given. */
nb_status verification_mode(const char *word, const char *what, nb_verify *out, nb_error *err);

/* At load, before the executor is made: checks the rows that a model's plan, or the part of it that has the last
 * gpu_layers or the layers before them (0: all), uses on a device, which was opened with `how`, and sets those aside
 * that are wrong. */
nb_status verification_at_load(nb_model *model, const plan_on_device *on, const device_options *how, nb_verify mode,
                               int gpu_layers, nb_error *err);
/* What a watch has found is remembered for the next load. */
void verification_remember(const nb_context *c, const finding *f);

#endif
