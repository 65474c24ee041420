/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens with plain 16-bit weights (qmm.h). */
#define NB_GPU_DEVICE_CODE
#include "qmm.h"

QMM_KERNELS(qmm_plain_f16, DQ_PLAIN, 16, false)
QMM_KERNELS(qmm_plain_bf16, DQ_PLAIN, 16, true)
