/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference's entry: finds the operation's file, and reads elements of operands of any type. */
#include "ref/ref_ops.h"

#include "base/half.h"
#include "quant/xform.h"

double ref_at(const kmat *m, int64_t i, int64_t j) {
    if (m->type == DT_XI8X3) return xform_get(m, i, j);
    return float_at(m->data, m->type, i * m->stride + j);
}

int64_t ref_count(const kcall *c) {
    if (c->op == KOP_KV_STORE) return c->x.rows * c->x.cols;
    int64_t n = c->y.rows * c->y.cols;
    for (int64_t t = 0; c->states.data && t < c->x.rows; t = kcall_sequence_end(c, t)) n += c->states.size;
    return n;
}

void ref_run(const kcall *c, double *y, double *magnitude) {
    static void (*const ops[KOP_COUNT])(const kcall *, double *, double *) = {
        [KOP_EMBED] = ref_embed,
        [KOP_RMSNORM] = ref_rmsnorm,
        [KOP_QUANTIZE] = ref_quantize,
        [KOP_MATMUL] = ref_matmul,
        [KOP_ROPE_TABLE] = ref_rope_table,
        [KOP_ROPE] = ref_rope,
        [KOP_KV_STORE] = ref_kv_store,
        [KOP_ATTENTION] = ref_attention,
        [KOP_ACT_MUL] = ref_act_mul,
        [KOP_ADD] = ref_add,
        [KOP_SELECT_ROWS] = ref_select_rows,
        [KOP_SELECT_COLS] = ref_select_cols,
        [KOP_SCALE] = ref_scale,
        [KOP_SOFTCAP] = ref_softcap,
        [KOP_ROUTE] = ref_route,
        [KOP_MATMUL_EXPERTS] = ref_matmul_experts,
        [KOP_SUM_EXPERTS] = ref_sum_experts,
        [KOP_CONV1D] = ref_conv1d,
        [KOP_DELTA_GATES] = ref_delta_gates,
        [KOP_DELTA] = ref_delta,
        [KOP_PENALIZE] = ref_penalize,
        [KOP_DRAW] = ref_draw,
    };
    ops[c->op](c, y, magnitude);
}
