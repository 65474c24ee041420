/* SPDX-License-Identifier: Apache-2.0
 *
 * GPUs as devices and backends: `cuda` and `hip`, which differ in nothing but the driver. */
#ifndef NB_GPU_DEVICE_H
#define NB_GPU_DEVICE_H

#include "gpu/driver.h"
#include "plan/backend.h"

extern const backend cuda_backend, hip_backend;

/* Of a device that one of these has opened. The context starts the driver when it is first asked for, and lives as long
 * as the device. */
nb_status gpu_device_context(device *d, gpu_context **out, nb_error *err);
const gpu_driver *gpu_device_driver(const device *d);
const gpu_traits *gpu_device_traits(const device *d);

/* A device of which its driver says `info`. The backends open theirs with it; tests those of drivers of their own. */
nb_status gpu_device_new(const gpu_driver *driver, int index, const gpu_info *info, device **out, nb_error *err);

/* executor.c */
nb_status gpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err);

#endif
