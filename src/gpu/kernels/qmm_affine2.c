/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of many tokens with affine weights of 2 bits (qmm.h). The widths have modules of their own so that a driver
 * compiles only what a model needs. */
#define NB_GPU_DEVICE_CODE
#include "qmm.h"

QMM_KERNELS(qmm_affine2_f16, DQ_AFFINE, 2, false)
QMM_KERNELS(qmm_affine2_bf16, DQ_AFFINE, 2, true)
