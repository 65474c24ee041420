/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/rows.h"

const gpu_row_list gpu_rows_delta = {0};
