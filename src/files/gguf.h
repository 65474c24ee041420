/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading GGUF files (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3, little-endian. Every count, length,
 * type and offset is checked against the file's size when it is opened, so that the getters cannot run astray. */
#ifndef NB_FILES_GGUF_H
#define NB_FILES_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Tensor types by GGUF's numbers. Only those that nibble imports have names here. */
typedef enum ggml_type {
    GGML_F32 = 0,
    GGML_F16 = 1,
    GGML_Q4_0 = 2,
    GGML_Q4_1 = 3,
    GGML_Q5_0 = 6,
    GGML_Q5_1 = 7,
    GGML_Q8_0 = 8,
    GGML_BF16 = 30
} ggml_type;

/* Value types of the metadata. */
typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

typedef struct gguf_tensor {
    const char *name;
    uint32_t type; /* a ggml_type, or another type's number */
    int n_dims;
    int64_t shape[4]; /* outermost first, as everywhere in nibble; the file has it the other way round */
    const void *data; /* in the mapping, at no particular alignment */
    size_t bytes;     /* 0 for types that nibble does not import */
} gguf_tensor;

/* An array of the metadata. */
typedef struct gguf_array {
    gguf_type type; /* of the elements */
    size_t n;
    const uint8_t *data; /* the elements as in the file; strings are a 64-bit length and bytes each */
} gguf_array;

typedef struct gguf gguf;

/* `file` is mapped until gguf_close. */
nb_status gguf_open(const char *file, gguf **out, nb_error *err);
/* The same for a file's bytes, which must outlive *out; `name` stands for the file in error texts. */
nb_status gguf_open_memory(const void *data, size_t size, const char *name, gguf **out, nb_error *err);
void gguf_close(gguf *g); /* NULL is fine */

/* "Q4_K", or "type 99". */
const char *ggml_type_name(uint32_t type, char text[24]);

size_t gguf_tensor_count(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i); /* in the order of the file's list */
const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name);
/* Gives the tensor's mapped pages back to the system. */
void gguf_tensor_release(const gguf *g, const gguf_tensor *t);

/* Typed getters of metadata: NB_OK with *found (may be NULL) false, and *out as it was, when the key is absent;
 * NB_ERR_FORMAT when the value has another type or lies outside [min, max]. */
nb_status gguf_int(const gguf *g, const char *key, int64_t min, int64_t max, int64_t *out, bool *found, nb_error *err);
nb_status gguf_num(const gguf *g, const char *key, double min, double max, double *out, bool *found, nb_error *err);
nb_status gguf_bool(const gguf *g, const char *key, bool *out, bool *found, nb_error *err);
/* *out lives as long as g; strings that are no UTF-8 or hold a NUL are NB_ERR_FORMAT. */
nb_status gguf_str(const gguf *g, const char *key, const char **out, bool *found, nb_error *err);
/* n = 0 where absent. `type` is what the elements must be. */
nb_status gguf_arr(const gguf *g, const char *key, gguf_type type, gguf_array *out, bool *found, nb_error *err);
/* Steps through a string array: *at begins as array.data; call at most array.n times. */
void gguf_next_string(const uint8_t **at, const char **text, size_t *length);
/* Element i of an array of GGUF_I32. */
int32_t gguf_i32_at(const gguf_array *a, size_t i);

#endif
