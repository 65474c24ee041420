/* SPDX-License-Identifier: Apache-2.0
 *
 * From a module path to a checked weight: which tensors it lies in (files/checkpoint.h), under which quantization they
 * are read (files/quant_config.h), and that they have the shapes that the family expects. */
#ifndef NB_PLAN_WEIGHTS_H
#define NB_PLAN_WEIGHTS_H

#include "files/quant_config.h"
#include "plan/plan.h"

typedef struct weight_source {
    const checkpoint *table; /* NULL: a dry build */
    quant_config *quantization;
    arena *memory; /* for what plan_weight points at */
    size_t n_used; /* entries of the table that became weights */
} weight_source;

/* "<module>.<suffix>", or "<module>" when suffix is "". */
const checkpoint_tensor *weight_tensor(const weight_source *s, const char *module, const char *suffix);

/* Fills out->w and its tensors with module's matrix, checked to be [n, k]. */
nb_status weight_matrix(weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out, nb_error *err);
/* The same of [n_experts, n, k]. */
nb_status weight_experts(weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                         plan_weight *out, nb_error *err);
/* The taps of a depthwise convolution, [n, k, 1] or [n, 1, k], never quantized. */
nb_status weight_conv(weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out, nb_error *err);
/* A vector "<module>.<suffix>" of n floats; with n_experts > 0 of [n_experts, n]. */
nb_status weight_vector(weight_source *s, const char *module, const char *suffix, int64_t n_experts, int64_t n,
                        kvec *out, nb_error *err);
/* A tensor of one number, [] or [1]. */
nb_status weight_scalar(weight_source *s, const char *path, double *out, nb_error *err);

#endif
