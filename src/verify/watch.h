/* SPDX-License-Identifier: Apache-2.0
 *
 * Re-checks a running model: now and then a random step of the plan against the reference, from the step's own inputs.
 * It takes at most a hundredth of the time. */
#ifndef NB_VERIFY_WATCH_H
#define NB_VERIFY_WATCH_H

#include "plan/backend.h"
#include "verify/finding.h"

typedef struct watch watch;

/* d, e and p must outlive it. */
nb_status watch_new(device *d, executor *e, const plan *p, uint64_t seed, watch **out, nb_error *err);
void watch_free(watch *w);

/* Around a run of the executor: the first chooses a step if it is time for one. */
void watch_before(watch *w, int64_t n_tokens);
/* NB_ERR_INTERNAL, with what and where, when the step was wrong: what the run has made must not be used. *found: told
 * apart for a verdict. */
nb_status watch_after(watch *w, finding *found, nb_error *err);
/* Steps that were looked at. */
int64_t watch_count(const watch *w);

#endif
