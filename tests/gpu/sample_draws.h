/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn on a device of the tests against nb_sampler: the same seeds and logits give the same tokens, draw after
 * draw. */
#ifndef NB_TESTS_GPU_SAMPLE_DRAWS_H
#define NB_TESTS_GPU_SAMPLE_DRAWS_H

#include "gpu/sim_device.h"

/* What main returns. */
int sample_draws(const sim_device_kind *on);

#endif
