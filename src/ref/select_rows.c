/* SPDX-License-Identifier: Apache-2.0
 *
 * SELECT_ROWS: copies of chosen rows, such as the last token of each sequence before the lm_head. Exact. */
#include "ref/ref_ops.h"

void ref_select_rows(const kcall *c, double *y, double *mag) {
    for (int64_t i = 0; i < c->y.rows; i++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            y[i * c->y.cols + j] = ref_at(&c->x, c->rows[i], j);
            if (mag) mag[i * c->y.cols + j] = 0;
        }
    }
}
