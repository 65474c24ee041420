/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/rows.h"

static const gpu_row_list *const lists[] = {
    &gpu_rows_qmv,     &gpu_rows_qmm,          &gpu_rows_few,  &gpu_rows_form,      &gpu_rows_gemm,
    &gpu_rows_experts, &gpu_rows_experts_many, &gpu_rows_rope, &gpu_rows_attention, &gpu_rows_ops,
    &gpu_rows_moe,     &gpu_rows_delta,        &gpu_rows_draw};

nb_status gpu_register(kregistry *r, unsigned caps, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t j = 0; j < lists[i]->n && !status; j++) {
            const krow *row = &lists[i]->rows[j];
            if ((row->needs & ~caps) == 0) status = kreg_add(r, row, 1, err);
        }
    return status;
}
