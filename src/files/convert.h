/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantizing and dequantizing whole model directories: what the parts of it share. convert_choose.c decides what
 * becomes of every tensor, convert_write.c computes and writes them, convert_config.c writes config.json and the index,
 * convert.c holds it together and can take up an interrupted run. */
#ifndef NB_FILES_CONVERT_H
#define NB_FILES_CONVERT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/pool.h"
#include "files/quant_config.h"

typedef enum convert_kind {
    CONVERT_COPY,   /* perhaps cast */
    CONVERT_ENCODE, /* out: codes, scales, and for affine biases */
    CONVERT_DECODE
} convert_kind;

typedef struct convert_output {
    const char *name; /* in the files that are written */
    dtype type;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    size_t bytes;
    size_t index; /* in its file, for the writer */
} convert_output;

/* What becomes of one tensor, or (DECODE) of a weight with its scales and biases. */
typedef struct convert_step {
    convert_kind kind;
    quant_module from; /* scales, biases and params for DECODE only */
    dtype cast; /* the type in which floats are taken: COPY, ENCODE: of the weight, DECODE: of scales and biases */
    quant_format format;
    convert_output out[3];
    int n_out;
    size_t bytes; /* of all outputs */
} convert_step;

/* A file that is written: steps [first, end). */
typedef struct convert_shard {
    const char *name;
    size_t first, end;
} convert_shard;

typedef struct conversion {
    const nb_convert_options *options;
    bool decode; /* nb_dequantize */
    const char *from, *to;
    model_config config;
    const checkpoint_family *family;
    weights *files;
    checkpoint *table;
    quant_config *quantization; /* of the source */
    arena *memory;
    quant_format format; /* ENCODE: the one for all that have none of their own */
    dtype dtype;         /* DT_NONE: floats stay as they are */
    convert_step *steps;
    size_t n_steps;
    convert_shard *shards;
    size_t n_shards;
    cJSON *block; /* config.json's "quantization" to write; NULL: none */
    int64_t n_parameters;
} conversion;

/* Fills format, dtype, steps, shards, block. */
nb_status convert_choose(conversion *c, nb_error *err);

/* config.json and model.safetensors.index.json as mlx-lm writes them, into directory `dir`. */
nb_status convert_write_config(const conversion *c, const char *dir, nb_error *err);
nb_status convert_write_index(const conversion *c, const char *dir, nb_error *err);

/* Writes the shards into directory `dir`, from step *done on, which it counts up. sync is called from time to time,
 * when everything before *done is on the disk. */
typedef struct convert_progress {
    size_t done;
    nb_status (*sync)(void *user, size_t done, nb_error *err);
    void *user;
} convert_progress;
nb_status convert_write(const conversion *c, const char *dir, convert_progress *p, nb_error *err);

/* Python's json.dump(.., indent=4) of a JSON text that is known to be valid: numbers and strings stay as they are
 * written. */
void json_indent(buf *out, const char *text, size_t n, int level);

#endif
