/* SPDX-License-Identifier: Apache-2.0
 *
 * Every tensor of a model directory under its canonical name, whatever the checkpoint's own layout: MLX's or Hugging
 * Face's names, wrapped in a multimodal model or not, experts one by one or stacked, fused or interleaved. The loader
 * and `nibble quantize` both read through this table; nothing else knows what names in files mean.
 *
 * Nothing is copied: an entry says where its rows lie in the mapped files, which must outlive the table. */
#ifndef NB_FILES_CHECKPOINT_H
#define NB_FILES_CHECKPOINT_H

#include "files/checkpoint_names.h"
#include "files/config.h"
#include "files/safetensors.h"

/* Rows that lie at equal distances: of an [.., n, k] tensor rows of k elements, of a vector single elements. */
typedef struct checkpoint_piece {
    const tensor *from;
    const uint8_t *data;
    int64_t n_rows;
    size_t row_bytes, stride; /* stride == row_bytes: without gaps */
} checkpoint_piece;

typedef struct checkpoint_tensor {
    const char *name;     /* canonical */
    const char *original; /* in the files; of several the first */
    const char *file;     /* its base name, for error texts */
    dtype type;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    int64_t n_pieces; /* 1, or one for each expert (the first axis), all with equal n_rows and row_bytes */
    const checkpoint_piece *pieces;
    bool plus_one; /* the value is what is stored plus one, rounded to `type` (norms of unconverted Qwen models) */
    bool aside;    /* a multi-token prediction weight: kept, not part of the model */
} checkpoint_tensor;

typedef struct checkpoint checkpoint;

/* Logs one line when vision or audio tensors are left out. NB_ERR_FORMAT names the tensors when two have one meaning,
 * an expert is missing (config.json's num_experts or num_local_experts counts, if given), experts differ in shape or
 * type, or a head is there that is not the embedding it is tied to. */
nb_status checkpoint_open(const model_config *config, const weights *files, checkpoint **out, nb_error *err);
void checkpoint_close(checkpoint *c); /* NULL is fine */

const checkpoint_tensor *checkpoint_find(const checkpoint *c, const char *name); /* NULL when absent */
size_t checkpoint_count(const checkpoint *c);
const checkpoint_tensor *checkpoint_at(const checkpoint *c, size_t i); /* in the order of names */

typedef struct checkpoint_skipped {
    int64_t n_other, other_bytes; /* vision and audio */
    int64_t n_aside, aside_bytes; /* multi-token prediction */
} checkpoint_skipped;
checkpoint_skipped checkpoint_get_skipped(const checkpoint *c);

/* Whether all of it lies in one run of bytes, at pieces[0].data. */
bool checkpoint_is_plain(const checkpoint_tensor *t);
/* Bytes of the whole tensor. */
size_t checkpoint_bytes(const checkpoint_tensor *t);
/* Copies rows [first, first + n), counted through all pieces, to `to` without gaps; values as stored. */
void checkpoint_read(const checkpoint_tensor *t, int64_t first, int64_t n, void *to);

#endif
