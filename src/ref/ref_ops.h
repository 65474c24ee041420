/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of the reference, one a file; ref_run (ref.c) chooses among them. Each writes the output and, when
 * `mag` is not NULL, the magnitude of every element as ref.h describes it. */
#ifndef NB_REF_REF_OPS_H
#define NB_REF_REF_OPS_H

#include "ref/ref.h"

void ref_embed(const kcall *c, double *y, double *mag);
void ref_rmsnorm(const kcall *c, double *y, double *mag);
void ref_quantize(const kcall *c, double *y, double *mag);
void ref_matmul(const kcall *c, double *y, double *mag);
void ref_rope_table(const kcall *c, double *y, double *mag);
void ref_rope(const kcall *c, double *y, double *mag);
void ref_kv_store(const kcall *c, double *y, double *mag);
void ref_attention(const kcall *c, double *y, double *mag);
void ref_act_mul(const kcall *c, double *y, double *mag);
void ref_add(const kcall *c, double *y, double *mag);
void ref_select_rows(const kcall *c, double *y, double *mag);
void ref_select_cols(const kcall *c, double *y, double *mag);
void ref_scale(const kcall *c, double *y, double *mag);
void ref_softcap(const kcall *c, double *y, double *mag);
void ref_route(const kcall *c, double *y, double *mag);
void ref_matmul_experts(const kcall *c, double *y, double *mag);
void ref_sum_experts(const kcall *c, double *y, double *mag);
void ref_conv1d(const kcall *c, double *y, double *mag);
void ref_delta_gates(const kcall *c, double *y, double *mag);
void ref_delta(const kcall *c, double *y, double *mag);

double ref_sigmoid(double x);
/* Element d of position p's key or value in token t's sequence. */
double ref_page_at(const kcall *c, const kpages *pages, int64_t t, int64_t p, int64_t head, int64_t d);
/* act(x) as ACT_MUL has it (of swiglu_oai the gate's part), and its magnitude. */
double ref_act(kact act, double x, double *mag);

/* Row i of a weight, [k], and of each element the bias that kernels may add to its scaled code in a rounding of its
 * own. The element's magnitude is therefore |value - bias| + |bias|. */
void ref_weight_row(const kweight *w, int64_t i, double *values, double *biases);

/* What a product does with its operands: x as doubles [x.rows, x.cols], a row of the weight with its biases and
 * magnitudes, [k] each. One allocation; `x` is NULL when there was no memory. */
typedef struct ref_product {
    double *x, *values, *biases, *magnitudes;
} ref_product;
ref_product ref_product_new(const kcall *c);
void ref_product_row(ref_product *p, const kweight *w, int64_t i);
/* The sum of x[j] * w[j] for j < k, and of the terms' magnitudes. */
void ref_product_dot(const ref_product *p, const double *x, int64_t k, double *sum, double *magnitude);

/* A factor below the smallest normal fp32 number may become 0 in a kernel (an exponential that underflows). In the
 * error model, where a magnitude is multiplied by the spacing of fp32, that is a term of this size times the rest. */
#define REF_UNDERFLOW 0x1p-102

#endif
