#ifndef NB_GPU_DEVICE_H
#define NB_GPU_DEVICE_H
#include "gpu/driver.h"
#include "plan/backend.h"
nb_status gpu_device_context(device *d, gpu_context **out, nb_error *err);
const gpu_driver *gpu_device_driver(const device *d);
const gpu_traits *gpu_device_traits(const device *d);
nb_status gpu_executor_new(device *d, const plan *p, const weights *files, const executor_options *options,
                           executor **out, nb_error *err);
#endif
