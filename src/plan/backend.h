/* SPDX-License-Identifier: Apache-2.0
 *
 * A backend: devices, and executors of plans on them. */
#ifndef NB_PLAN_BACKEND_H
#define NB_PLAN_BACKEND_H

#include "kernels/device.h"
#include "plan/executor.h"

typedef struct device_options {
    const char *cpu; /* see nb_context_options; NULL: all that there is */
} device_options;

/* A device as it is listed, without opening it. */
typedef struct device_summary {
    char name[96], arch[64], driver[96];
    uint64_t memory;    /* bytes; 0: not known */
    char unusable[200]; /* why it cannot be opened; "": it can */
    char gemm[420];     /* whose large products it uses: see nb_device */
} device_summary;

typedef struct backend {
    const char *name;            /* "cpu" */
    int (*count)(void);          /* devices that there are, also those that cannot be used */
    const char *(*absent)(void); /* why there are none */
    void (*look)(int index, device_summary *out);
    /* A device with all rows that it can run. NB_ERR_NOT_FOUND when there is no such device,
     * NB_ERR_UNSUPPORTED when it cannot be used. Its driver is not started yet: that waits for the first run or
     * executor. Kernels are checked in child processes, in which a driver that the parent has started does not work
     * (device.driver_runs tells of that). */
    nb_status (*open)(int index, const device_options *options, device **out, nb_error *err);
    /* The plan, the files that its tensors lie in and the device must outlive the executor. */
    nb_status (*executor_new)(device *d, const plan *p, const weights *files, const executor_options *options,
                              executor **out, nb_error *err);
} backend;

#endif
