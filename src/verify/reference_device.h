/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference as a device: each operation has one row, which computes it in double precision and rounds to fp32. An
 * executor on it runs a whole model by the definitions, slowly. */
#ifndef NB_VERIFY_REFERENCE_DEVICE_H
#define NB_VERIFY_REFERENCE_DEVICE_H

#include "kernels/device.h"

nb_status reference_device_new(device **out, nb_error *err);

#endif
