/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors on disk: the safetensors files of a model directory, read through a mapping with every number in them
 * checked first, and a writer that streams a new file. Formats: huggingface.co/docs/safetensors. */
#ifndef NB_FILES_SAFETENSORS_H
#define NB_FILES_SAFETENSORS_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

enum { TENSOR_MAX_DIMS = 8 };

/* One tensor of a model directory. Everything lives as long as its weights. `data` points into the mapped file, at any
 * address: MLX writes headers of any length, so elements need not be aligned (load_f32 and its kin in base/half.h). */
typedef struct tensor {
    const char *name;
    dtype type;
    int n_dims; /* 0 for a scalar */
    int64_t shape[TENSOR_MAX_DIMS];
    const void *data; /* never NULL */
    size_t bytes;
    const char *file; /* base name of its file, for error texts */
} tensor;

typedef struct weights weights;

/* Opens DIR/model.safetensors; else the shards that DIR/model.safetensors.index.json names; else every
 * model*.safetensors, else every *.safetensors of DIR. NB_ERR_FORMAT when a header, type, shape or offset is not as
 * the format demands (tensors must fill the file without overlaps and holes), when two tensors have one name, or
 * when the index names a file or a tensor that is not there. *out is closed with weights_close. */
nb_status weights_open(const char *dir, weights **out, nb_error *err);
/* The same for one file. */
nb_status weights_open_file(const char *path, weights **out, nb_error *err);
/* The same for the bytes of one file, which must outlive *out; `name` stands for the file in error texts. */
nb_status weights_open_memory(const void *data, size_t size, const char *name, weights **out, nb_error *err);
void weights_close(weights *w); /* NULL is fine */

const tensor *weights_find(const weights *w, const char *name); /* NULL when absent */
size_t weights_count(const weights *w);
/* i < weights_count: files in the order of their names, tensors in the order of their data. */
const tensor *weights_at(const weights *w, size_t i);
/* A value of the first file's __metadata__, NULL when absent. */
const char *weights_metadata(const weights *w, const char *key);
/* Gives the tensor's mapped pages back to the system; a later read of t->data gets them from the file again. */
void weights_release(const weights *w, const tensor *t);
/* The same, and the system does not keep them in memory either. */
void weights_evict(const weights *w, const tensor *t);

/* NB_ERR_FORMAT naming the tensor and the element when a float tensor holds a NaN or an infinity. Reads all of it. */
nb_status tensor_check_finite(const tensor *t, nb_error *err);
/* "[512, 16]" into text; returns text. For error messages. */
const char *tensor_shape_text(int n_dims, const int64_t *shape, char text[200]);

/* ---- Writing ------------------------------------------------------------------------------------------------- */

/* Writes one file: declare every tensor, begin, put each tensor's bytes (tensors in any order and interleaved, the
 * bytes of one tensor in order), finish. Nothing but the header is held in memory. The file appears under its name
 * only when finish succeeds. Tensors with wider elements are laid out first, so that all are aligned. */
typedef struct st_writer st_writer;

nb_status st_writer_new(const char *path, st_writer **out, nb_error *err);
nb_status st_writer_metadata(st_writer *w, const char *key, const char *value, nb_error *err);
/* *index (may be NULL) receives the number for st_writer_put: 0, 1, 2, ... */
nb_status st_writer_declare(st_writer *w, const char *name, dtype type, int n_dims, const int64_t *shape, size_t *index,
                            nb_error *err);
/* Writes the header. NB_ERR_ARGUMENT when a name was declared twice. */
nb_status st_writer_begin(st_writer *w, nb_error *err);
nb_status st_writer_put(st_writer *w, size_t index, const void *data, size_t bytes, nb_error *err);
/* Checks that every tensor is complete, flushes and renames. Frees w, whether it succeeds or not. */
nb_status st_writer_finish(st_writer *w, nb_error *err);
/* For work that may be interrupted and taken up again. st_writer_continue: a writer whose unfinished file is called
 * PATH.part and stays after st_writer_abort; declared anew in the same way, it goes on where it was. st_writer_put_at
 * puts bytes anywhere into a tensor and may be called by several threads at once; what was put so is only complete when
 * st_writer_mark_done says so. st_writer_sync: what was put is on the disk. */
nb_status st_writer_continue(const char *path, st_writer **out, nb_error *err);
nb_status st_writer_put_at(const st_writer *w, size_t index, size_t offset, const void *data, size_t bytes,
                           nb_error *err);
void st_writer_mark_done(st_writer *w, size_t index);
nb_status st_writer_sync(const st_writer *w, nb_error *err);
/* Removes what was written and frees w; NULL is fine. */
void st_writer_abort(st_writer *w);

#endif
