/* SPDX-License-Identifier: Apache-2.0
 *
 * How a checkpoint says that its weights are quantized: config.json's "quantization" (or "quantization_config"), read
 * by mlx-lm's rules, and what tensors must look like under it. Where a config and the shapes disagree, the shapes
 * decide if only one reading of them is possible; a tensor is never read under a wrong one. */
#ifndef NB_FILES_QUANT_CONFIG_H
#define NB_FILES_QUANT_CONFIG_H

#include "files/checkpoint.h"
#include "quant/quantize.h"

typedef struct quant_params {
    bool quantized;
    wmode mode;
    int bits, group_size;
} quant_params;

typedef struct quant_config quant_config;

/* Reads the block of a config; without one *out knows nothing (quant_config_global is not quantized).
 * NB_ERR_UNSUPPORTED names a mode or another tool's quant_method that nibble does not read. The config must outlive
 * *out. */
nb_status quant_config_open(const model_config *config, quant_config **out, nb_error *err);
void quant_config_close(quant_config *q); /* NULL is fine */

quant_params quant_config_global(const quant_config *q);
/* What the block says of one module (a path without ".weight"): its canonical name, and its name in the files (may be
 * NULL); keys are matched with and without a wrapper's prefix. *named is false when it says nothing. */
nb_status quant_config_named(const quant_config *q, const char *module, const char *original, quant_params *out,
                             bool *named, nb_error *err);

/* A module's tensors and how to read them. */
typedef struct quant_module {
    const checkpoint_tensor *weight, *scales, *biases; /* NULL: absent */
    quant_params params;
} quant_module;

/* Looks a module up and finds out how it is read. k: input columns as the model's family has them; 0: not known, then
 * weight and scales must agree with each other. A module that is not there has no weight. Scales without a block, or
 * with a type or a shape that fits no mode, and scales and biases of two types are NB_ERR_FORMAT. */
nb_status quant_module_find(quant_config *q, const checkpoint *c, const char *module, int64_t k, quant_module *out,
                            nb_error *err);

#endif
