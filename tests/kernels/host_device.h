/* SPDX-License-Identifier: Apache-2.0
 *
 * A device for the tests of the check: rows of the CPU, run where they stand. */
#ifndef NB_TESTS_KERNELS_HOST_DEVICE_H
#define NB_TESTS_KERNELS_HOST_DEVICE_H

#include "kernels/device.h"

static inline nb_status host_device_run(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end,
                                        void *scratch, nb_error *err) {
    (void)d, (void)err;
    row->run(row, c, begin, end, scratch);
    return NB_OK;
}

static inline device host_device(kregistry *registry) {
    return (device){.info = {.backend = "cpu"}, .registry = registry, .run = host_device_run};
}

#endif
