/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn in the simulation. */
#include "gpu/sample_draws.h"

int main(void) {
    const sim_device_kind simulation = {.launch = sim_launch};
    return sample_draws(&simulation);
}
