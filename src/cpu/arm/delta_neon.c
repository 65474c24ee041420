/* SPDX-License-Identifier: Apache-2.0
 *
 * CONV1D, DELTA_GATES and DELTA with NEON. */
#include "cpu/arm/neon.h"

#define INSTRUCTIONS "neon"
#define ITS_RANK     20
#define NEEDS        CPU_NEON

#include "cpu/delta_tmpl.h"

const krow_table delta_neon_rows = KROW_TABLE(rows);
