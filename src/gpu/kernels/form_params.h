/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of form.c. */
#ifndef NB_GPU_KERNELS_FORM_PARAMS_H
#define NB_GPU_KERNELS_FORM_PARAMS_H

#include "params.h"

enum { FORM_THREADS = 256, FORM_EACH = 8 /* columns of a thread at a time */, FORM_HELD = 4 /* times */ };

/* The form of quant/xform.h at `to`: scales, sums, and from codes_at on the codes. */
struct form_params {
    gpu_mat x;
    gpu_vec weight;
    GLOBAL u8 *to;
    u32 codes_at, group;
    float eps, offset;
};

#endif
