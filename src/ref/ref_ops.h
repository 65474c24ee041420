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
void ref_penalize(const kcall *c, double *y, double *mag);
void ref_draw(const kcall *c, double *y, double *mag);

double ref_sigmoid(double x);
/* RMSNORM of n numbers, in place: with the call's eps and offset, weight absent = ones. */
void ref_norm(const kcall *c, const kvec *weight, double *x, int64_t n);
/* x of a call as doubles [x.rows, x.cols]: what it stands for, after RMSNORM of each `part` columns where the call is
 * normed. */
void ref_input(const kcall *c, int64_t part, const kvec *weight, double *x);
/* ROPE of one head of token t, in place. mag: of the rotated columns, may be NULL. */
void ref_rotate(const kcall *c, int64_t t, double *head, double *mag);
/* Element d of position p's key or value in token t's sequence. */
double ref_page_at(const kcall *c, const kpages *pages, int64_t t, int64_t p, int64_t head, int64_t d);
/* What ATTENTION's softcap makes of a score, and how fast that changes at most within `reach` of it. */
double ref_capped(const kcall *c, double score, double reach, double *slope);
/* act(x) as ACT_MUL has it (of swiglu_oai the gate's part), and its magnitude. */
double ref_act(kact act, double x, double *mag);
/* ACT_MUL of one pair, and its magnitude (may be NULL). */
double ref_act_pair(kact act, double x, double z, double *mag);
/* Of the pair act(x) z: how it changes with x and with z there. */
void ref_act_slopes(kact act, double x, double z, double *by_x, double *by_z);
/* The same wherever the pair may lie within dx of x and dz of z: at most so far off is act(x) z. */
double ref_act_moved(kact act, double x, double z, double dx, double dz);

/* Row i of a weight, [k], and of each element the bias that kernels may add to its scaled code in a rounding of its
 * own. The element's magnitude is therefore |value - bias| + |bias|. */
void ref_weight_row(const kweight *w, int64_t i, double *values, double *biases);

/* What a product does with its operands: x as doubles [x.rows, x.cols], normed where the call is, a row of the weight
 * with its biases and magnitudes, [k] each. One allocation; `x` is NULL when there was no memory. */
typedef struct ref_product {
    double *x, *values, *biases, *magnitudes;
} ref_product;
ref_product ref_product_new(const kcall *c);
void ref_product_row(ref_product *p, const kweight *w, int64_t i);
/* The sum of x[j] * w[j] for j < k, and of the terms' magnitudes. */
void ref_product_dot(const ref_product *p, const double *x, int64_t k, double *sum, double *magnitude);

/* Of each place (MATMUL has one, MATMUL_EXPERTS n_chosen) the outputs of a product with a gate from its weight's: p and
 * mag are [y.rows, places, w->n], y and y_mag (may be NULL, with mag) [y.rows, places, w->n / 2]. */
void ref_gate(const kcall *c, const double *p, const double *mag, double *y, double *y_mag);
/* Outputs of a call in y's place before a gate: [y.rows, this many]. */
int64_t ref_product_cols(const kcall *c);

/* A factor below the smallest normal fp32 number may become 0 in a kernel (an exponential that underflows). In the
 * error model, where a magnitude is multiplied by the spacing of fp32, that is a term of this size times the rest. */
#define REF_UNDERFLOW 0x1p-102

#endif
