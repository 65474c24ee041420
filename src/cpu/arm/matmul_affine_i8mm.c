/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL of affine weights with the 8-bit matrix products of Armv8.6 (smmla), which do a prompt's tokens in pairs;
 * single tokens take the dot product instructions. */
#include <arm_neon.h>

#define INSTRUCTIONS "i8mm"
#define ITS_RANK     40
#define ITS_NEEDS    (CPU_NEON | CPU_DOTPROD | CPU_I8MM)

#define dot_step(sum, codes, x, step) vdotq_laneq_s32(sum, codes, x, step)
#define dot_pairs(sum, a, b)          vmmlaq_s32(sum, a, b)

#include "cpu/arm/matmul_affine_tmpl.h"

const krow_table matmul_affine_i8mm_rows = KROW_TABLE(rows);
