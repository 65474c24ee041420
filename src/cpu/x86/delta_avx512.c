/* SPDX-License-Identifier: Apache-2.0
 *
 * CONV1D, DELTA_GATES and DELTA with AVX-512. */
#include "cpu/x86/vec_avx512.h"

#define INSTRUCTIONS "avx512"
#define ITS_RANK     30
#define NEEDS        CPU_AVX512

#include "cpu/delta_tmpl.h"

const krow_table delta_avx512_rows = KROW_TABLE(rows);
