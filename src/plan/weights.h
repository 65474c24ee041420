/* SPDX-License-Identifier: Apache-2.0
 *
 * From a module path to a checked weight: which tensors it lies in, and under which quantization they are read. The
 * rules are mlx-lm's (peers' facts in docs/formats.md): an override in config.json's "quantization" decides; a module
 * without one is quantized exactly if "<path>.scales" is in the files. */
#ifndef NB_PLAN_WEIGHTS_H
#define NB_PLAN_WEIGHTS_H

#include <cjson/cJSON.h>

#include "plan/plan.h"

typedef struct weight_source {
    const weights *files;
    const cJSON *quantization; /* may be NULL */
    const char *prefix;        /* in front of every name in the files: "" or "language_model." */
    arena *memory;             /* for what plan_weight points at */
} weight_source;

/* Finds which prefix the files use. */
nb_status weight_source_init(weight_source *s, const weights *files, const cJSON *quantization, arena *memory,
                             nb_error *err);

/* "<module>.<suffix>", or "<module>" when suffix is "". */
const tensor *weight_tensor(const weight_source *s, const char *module, const char *suffix);

/* Fills out->w and its tensors with module's matrix, checked to be [n, k]. */
nb_status weight_matrix(const weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out,
                        nb_error *err);
/* The same of [n_experts, n, k]. */
nb_status weight_experts(const weight_source *s, const char *module, int64_t n_experts, int64_t n, int64_t k,
                         plan_weight *out, nb_error *err);
/* The taps of a depthwise convolution, [n, k, 1] or [n, 1, k], never quantized. */
nb_status weight_conv(const weight_source *s, const char *module, int64_t n, int64_t k, plan_weight *out,
                      nb_error *err);
/* A vector "<module>.<suffix>" of n floats; with n_experts > 0 of [n_experts, n]. */
nb_status weight_vector(const weight_source *s, const char *module, const char *suffix, int64_t n_experts, int64_t n,
                        kvec *out, nb_error *err);
/* A tensor of one number, [] or [1]. */
nb_status weight_scalar(const weight_source *s, const char *path, double *out, nb_error *err);

/* The global block: mode, bits and group size with MLX's defaults. NB_ERR_UNSUPPORTED names an unknown mode. */
typedef struct quant_params {
    bool quantized;
    wmode mode;
    int bits, group_size;
} quant_params;
nb_status quant_global(const cJSON *quantization, quant_params *out, nb_error *err);
/* What config.json says of one module: *named is false when there is no override. */
nb_status quant_for(const cJSON *quantization, const char *prefix, const char *module, quant_params *out, bool *named,
                    nb_error *err);

#endif
