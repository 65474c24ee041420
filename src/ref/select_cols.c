/* SPDX-License-Identifier: Apache-2.0
 *
 * SELECT_COLS: copies of chosen columns, such as the queries and the gates that one matrix makes side by side. Exact.
 */
#include "ref/ref_ops.h"

void ref_select_cols(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            y[t * c->y.cols + j] = ref_at(&c->x, t, c->columns[j]);
            if (mag) mag[t * c->y.cols + j] = 0;
        }
    }
}
