/* SPDX-License-Identifier: Apache-2.0
 *
 * Machine code made wrong: what a compiler did once to kernels for gfx1151, done to the code objects that ship. */
#ifndef NB_TESTS_GPU_FAULT_H
#define NB_TESTS_GPU_FAULT_H

#include "gpu/sim/sim.h"

/* NB_HIP_FAULT is the name of a fault; where the object has kernels that it is for, *changed becomes a copy of it with
 * the fault, for the caller to free, else NULL. False: `error` says why that could not be done. */
bool fault_apply(const void *image, uint8_t **changed, char error[SIM_ERROR_TEXT]);

#endif
