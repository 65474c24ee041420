/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of the CPU backend's row tables, and their registration. */
#include "cpu/cpu_rows.h"

#include "cpu/caps.h"

/* clang-format off */
static const krow_table *const tables[] = {
    &scalar_ops_rows,
    &scalar_attention_rows,
    &scalar_matmul_rows,
    &scalar_experts_rows,
    &scalar_delta_rows,
#if defined(__x86_64__)
    &ops_avx2_rows, &embed_affine_rows,
    &delta_avx2_rows,
    &delta_avx512_rows,
    &activations_avx2_rows,
    &attention_avx2_rows,
    &attention_avx512_rows,
    &matmul_affine_avx2_rows,
    &matmul_affine_avx512_rows,
    &matmul_plain_avx2_rows,
    &matmul_plain_avx512_rows,
#endif
#if defined(__aarch64__)
    &ops_neon_rows,
    &delta_neon_rows,
    &activations_neon_rows,
    &attention_neon_rows,
    &matmul_affine_neon_rows,
    &matmul_affine_dotprod_rows,
    &matmul_affine_i8mm_rows,
    &matmul_plain_neon_rows,
#endif
};
/* clang-format on */

nb_status cpu_register(kregistry *r, unsigned caps, nb_error *err) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const krow *row = &tables[t]->rows[i];
            if ((row->needs & caps) != row->needs) continue;
            nb_status status = kreg_add(r, row, 1, err);
            if (status != NB_OK) return status;
        }
    }
    return NB_OK;
}
