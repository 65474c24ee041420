/* SPDX-License-Identifier: Apache-2.0
 *
 * A weight in device code: the matrix of an expert. */
#ifndef NB_GPU_KERNELS_WEIGHT_H
#define NB_GPU_KERNELS_WEIGHT_H

#include "params.h"

/* One matrix of a weight: of expert e, or of a single one with e = 0. */
typedef struct one_matrix {
    const GLOBAL u8 *codes, *scales, *biases;
} one_matrix;

INLINE one_matrix matrix_of(const gpu_weight *w, u32 e) {
    if (w->table) {
        const GLOBAL u64 *entry = w->table + 3 * (u64)e;
        return (one_matrix){(const GLOBAL u8 *)entry[0], (const GLOBAL u8 *)entry[1], (const GLOBAL u8 *)entry[2]};
    }
    one_matrix m = {w->codes + e * w->codes_step, w->scales + e * w->scales_step, w->biases};
    if (m.biases) m.biases += e * w->scales_step;
    return m;
}

#endif
