/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the CPU backend's rows. A new file of kernels defines one table, declares it here and adds one line to
 * the list in cpu_rows.c. */
#ifndef NB_CPU_ROWS_H
#define NB_CPU_ROWS_H

#include "kernels/kernel.h"

typedef struct krow_table {
    const krow *rows;
    size_t n;
} krow_table;

#define KROW_TABLE(array)                                                                                              \
    { (array), sizeof(array) / sizeof((array)[0]) }

extern const krow_table scalar_ops_rows, scalar_attention_rows, scalar_matmul_rows, scalar_experts_rows,
    scalar_delta_rows;
/* src/cpu/x86/ */
extern const krow_table attention_avx2_rows, attention_avx512_rows, ops_avx2_rows;
extern const krow_table delta_avx2_rows, delta_avx512_rows;
extern const krow_table embed_affine_rows, activations_avx2_rows, matmul_affine_avx2_rows, matmul_affine_avx512_rows;
extern const krow_table matmul_plain_avx2_rows, matmul_plain_avx512_rows;
/* src/cpu/arm/ */
extern const krow_table delta_neon_rows, ops_neon_rows, activations_neon_rows, attention_neon_rows;
extern const krow_table matmul_affine_neon_rows, matmul_affine_dotprod_rows, matmul_affine_i8mm_rows;
extern const krow_table matmul_plain_neon_rows;

#endif
