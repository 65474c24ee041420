/* SPDX-License-Identifier: Apache-2.0
 *
 * MATMUL of affine weights with the dot product instructions of Armv8.2 (sdot by element). */
#include <arm_neon.h>

#define INSTRUCTIONS "dotprod"
#define ITS_RANK     30
#define ITS_NEEDS    (CPU_NEON | CPU_DOTPROD)

#define dot_step(sum, codes, x, step) vdotq_laneq_s32(sum, codes, x, step)

#include "cpu/arm/matmul_affine_tmpl.h"

const krow_table matmul_affine_dotprod_rows = KROW_TABLE(rows);
