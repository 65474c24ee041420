/* SPDX-License-Identifier: Apache-2.0
 *
 * A GPU whose memory is the host's and whose launches run the CPU's plain rows: for tests of the executor, which needs
 * neither kernels nor a driver for them. Its memory can be small, and can run out. */
#ifndef NB_TESTS_SUPPORT_HOST_GPU_H
#define NB_TESTS_SUPPORT_HOST_GPU_H

#include "nibble.h"
#include "plan/backend.h"

extern const backend host_gpu_backend;

enum { HOST_GPU_MEMORY = 1 << 30 };

/* Bytes that the device has from now on. */
void host_gpu_set_memory(uint64_t total);
/* Bytes that are taken. */
uint64_t host_gpu_used(void);
/* After so many more allocations the next one fails; negative: none does. */
void host_gpu_fail_after(int n);
/* After so many more calls of the driver one fails, once; negative: none does. What was not called fails nothing. */
void host_gpu_fail_call_after(int n);
bool host_gpu_has_failed(void); /* since then */
/* Launches and graphs that ran. */
int host_gpu_launches(void);

/* A context of a model on such a device, with a cache of fp32 and the first n_host layers on the CPU. */
nb_context *host_gpu_context(nb_model *m, int64_t n_batch, int n_sequences, int n_host);

#endif
