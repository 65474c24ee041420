/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose rows are the GPU's and whose launches run in the simulation, in this process and without a driver:
 * what the walk over GPU rows needs, and no more. */
#ifndef NB_TESTS_GPU_SIM_DEVICE_H
#define NB_TESTS_GPU_SIM_DEVICE_H

#include "gpu/launch.h"
#include "gpu/sim/sim.h"
#include "kernels/device.h"

/* What such a device is: its rows' traits, and who runs its launches. */
typedef struct sim_device_kind {
    const char *backend, *name;
    gpu_traits traits; /* memory is filled in */
    bool (*launch)(const gpu_launch *l, char error[SIM_ERROR_TEXT]);
    void (*added)(const void *p, size_t bytes); /* told of its memory; NULL: need not know */
    void (*wrote)(const void *p, size_t bytes);
    void (*removed)(const void *p);
} sim_device_kind;

/* With the rows whose names match one of the patterns (separated by commas; NULL: all). */
nb_status sim_device_new(const char *patterns, device **out, nb_error *err);
nb_status sim_device_of(const sim_device_kind *kind, const char *patterns, device **out, nb_error *err);
/* Launches that have failed, each said on stderr unless the one before was of the same row. */
size_t sim_device_errors(const device *d);

#endif
