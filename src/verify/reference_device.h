/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference as a device: each operation has one row, which computes it in double precision and rounds to fp32. An
 * executor on it runs a whole model by the definitions, slowly. */
#ifndef NB_VERIFY_REFERENCE_DEVICE_H
#define NB_VERIFY_REFERENCE_DEVICE_H

#include "kernels/device.h"

/* rounds_to: DT_F16 or DT_BF16: operands of products (x, the weights; the queries of attention) are rounded to that
 * type before they are multiplied, as a 16-bit run has them. DT_NONE: they are not. */
nb_status reference_device_new(dtype rounds_to, device **out, nb_error *err);

#endif
