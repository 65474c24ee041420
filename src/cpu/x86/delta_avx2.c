/* SPDX-License-Identifier: Apache-2.0
 *
 * CONV1D, DELTA_GATES and DELTA with AVX2. */
#include "cpu/x86/vec_avx2.h"

#define INSTRUCTIONS "avx2"
#define ITS_RANK     20
#define NEEDS        CPU_AVX2

#include "cpu/delta_tmpl.h"

const krow_table delta_avx2_rows = KROW_TABLE(rows);
